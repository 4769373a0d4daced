//! Images that ordinary users build, push and pull.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::XattrFlags;
use testkit::{Image, Kista, Registry, User, needs};

use super::kista;

const DOCKERFILE: &str = "\
FROM busybox
RUN mkdir -p /a/deep /b /gone && touch /a/deep/low /b/low /gone/low && chown -R 33:34 /b
RUN rm -rf /b /gone && mkdir /b && echo new > /b/new && ln -s /a /link && mv /a/deep/low /a/moved
COPY --chown=7:8 tree/ /a/
RUN --mount=type=cache,target=/cache touch /cache/x && chmod 4755 /a/file
USER 33:34
CMD [\"sh\", \"-c\", \"id -u; ls /a /a/deep /b; stat -c %u:%g:%a /a/file\"]
";

/// A context that everybody may read, with an attribute by which an overlay would hide what is
/// below a directory.
fn context() -> tempfile::TempDir {
    let context = tempfile::tempdir().unwrap();
    let path = |name: &str| context.path().join(name);
    fs::create_dir_all(path("tree/deep")).unwrap();
    fs::write(path("Dockerfile"), DOCKERFILE).unwrap();
    fs::write(path("tree/file"), "x").unwrap();
    fs::write(path("tree/deep/high"), "x").unwrap();
    fs::set_permissions(context.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mark = |name: &Path| {
        rustix::fs::setxattr(name, "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
        rustix::fs::setxattr(name, "user.kept", b"y", XattrFlags::empty()).unwrap();
    };
    mark(&path("tree/deep"));
    context
}

fn built(kista: &Kista, context: &Path) -> String {
    let build = ["build", "--quiet", "-t", "built", context.to_str().unwrap()];
    kista.command(&build).env("SOURCE_DATE_EPOCH", "1000000000").run().ok()
}

#[test]
fn a_user_builds_the_same_image_as_root() {
    needs!(Root, Busybox, Uidmap);
    let context = context();
    let users = kista();
    let id = built(&users, context.path());
    let out = users.ok(&["run", "--rm", "built"]);
    let wanted = "33\n/a:\ndeep\nfile\nmoved\n\n/a/deep:\nhigh\n\n/b:\nnew\n7:8:4755";
    assert_eq!(out, wanted);
    assert_eq!(built(&users, context.path()), id, "all of it is cached");
    let roots = Kista::with_busybox();
    assert_eq!(built(&roots, context.path()), id);
    users.ok(&["rmi", "built"]);
    assert_eq!(users.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
}

#[test]
fn a_user_makes_the_same_image_by_commands_as_root() {
    needs!(Root, Busybox, Uidmap);
    let context = context();
    let file = context.path().join("tree/file").display().to_string();
    let made = |kista: &Kista| {
        let with =
            |words: &[&str]| kista.command(words).env("SOURCE_DATE_EPOCH", "1000000000").run().ok();
        let name = with(&["from", "busybox"]);
        let script = "mkdir /b && touch /b/low && chown -R 33:34 /b && rm /etc/passwd";
        with(&["run", "--working", &name, "--network", "none", "--", "sh", "-c", script]);
        with(&["copy", "--chown", "7:8", &name, &file, "/b/"]);
        with(&["config", "--user", "33:34", "--cmd", "[\"ls\", \"-ln\", \"/b\"]", &name]);
        let ids = [with(&["commit", &name, "made"]), with(&["commit", "--squash", &name, "one"])];
        assert_eq!(kista.ok(&["run", "--rm", "made", "stat", "-c", "%u:%g", "/b/file"]), "7:8");
        assert_eq!(kista.ok(&["run", "--rm", "one", "stat", "-c", "%u:%g", "/b/low"]), "33:34");
        kista.ok(&["rm", &name]);
        ids
    };
    let users = kista();
    let ids = made(&users);
    assert_eq!(users.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
    assert_eq!(made(&Kista::with_busybox()), ids);
}

#[test]
fn images_come_and_go_by_registries_and_files() {
    needs!(Root, Busybox, Uidmap);
    let registry = Registry::kista(&[]);
    let kista = Kista::on_this_machine_of(User::new());
    let name = format!("{}/a/b:1", registry.host());
    let image = Image::busybox(&name);
    kista.load(&image);
    kista.ok(&["push", "--quiet", &name]);
    kista.ok(&["rmi", &name]);
    let run =
        ["run", "--rm", "--quiet", "--network", "none", &name, "stat", "-c", "%u", "/home/app"];
    assert_eq!(kista.ok(&run), "1000");
    assert_eq!(kista.format("{{.Id}}", &name), image.id());
    let file = kista.user().home().join("image.tar").display().to_string();
    kista.ok(&["save", "-o", &file, &name]);
    kista.ok(&["rmi", &name]);
    kista.ok(&["load", "-q", "-i", &file]);
    assert_eq!(kista.ok(&run), "1000");
}
