//! Dockerfiles as people write them, on Debian.

use testkit::{Image, Kista, needs};

use super::Context;

#[test]
fn debian_packages_and_users() {
    needs!(Root, Debian);
    let kista = Kista::new();
    kista.command(&["import", "-", "debian:12"]).stdin(testkit::image::debian()).run().ok();
    let dockerfile = "\
        # syntax=docker/dockerfile:1\n\
        FROM debian:12 AS base\n\
        ARG DEBIAN_FRONTEND=noninteractive\n\
        SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\n\
        RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\\n\
            groupadd -r web && useradd -r -g web -d /srv web && dpkg -l | wc -l > /count\n\
        FROM base AS build\n\
        WORKDIR /src\n\
        COPY . .\n\
        RUN set -eux; tar -C / -cf app.tar src/main.sh && sha256sum app.tar\n\
        FROM base\n\
        COPY --from=build --chown=web:web /src/main.sh /srv/\n\
        ADD app.d /srv/app.d/\n\
        USER web\n\
        WORKDIR /srv\n\
        HEALTHCHECK --interval=5s CMD [\"true\"]\n\
        ENTRYPOINT [\"/srv/main.sh\"]\n\
        CMD [\"hello\"]\n";
    let files =
        [("main.sh", "#!/bin/bash\necho \"$1 from $(whoami) in $PWD\"\n"), ("app.d/x", "1")];
    let context = Context::new(dockerfile, &files);
    let built = context.build(&kista, &["-t", "real"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let check = kista.inspect("real")["Config"]["Healthcheck"].clone();
    assert_eq!(check, serde_json::json!({"Test": ["CMD", "true"], "Interval": 5_000_000_000_i64}));
    // Health checks are not run yet, and a container with one has to say that it wants none.
    let out = kista.run(&["run", "--rm", "--no-healthcheck", "real"]);
    assert_eq!(out.stdout.trim_end(), "hello from web in /srv", "{}", out.stderr);
}

#[test]
fn another_engine_can_read_what_was_built() {
    needs!(Root, Busybox, Skopeo);
    let kista = Kista::new();
    kista.load(&Image::busybox("busybox"));
    Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]).build(&kista, &["-t", "built"]).ok();
    let source = format!("oci:{}:docker.io/library/built:latest", kista.root().display());
    let temp = tempfile::tempdir().unwrap();
    let target = format!("docker-archive:{}", temp.path().join("x.tar").display());
    let out = std::process::Command::new("skopeo")
        .args(["copy", "-q", &source, &target])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
