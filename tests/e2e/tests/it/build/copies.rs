//! `COPY` and `ADD`: what comes where, whose it is, and what stays out.

use testkit::{Kista, needs};

use super::{Case, Context, check, check_failures};

const TREE: &[(&str, &str)] = &[
    ("a.txt", "a\n"),
    ("b.txt", "b\n"),
    ("run.sh", "#!/bin/sh\n"),
    ("d/c.txt", "c\n"),
    ("d/e/f.md", "f\n"),
    ("link", "-> a.txt"),
    ("empty/", ""),
];

#[test]
fn destinations() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let case = |dockerfile, command, output| Case { dockerfile, files: TREE, command, output };
    check(
        &kista,
        &[
            case("FROM busybox\nCOPY a.txt /x", "cat /x", "a"),
            case("FROM busybox\nCOPY a.txt /x/", "cat /x/a.txt", "a"),
            case("FROM busybox\nCOPY a.txt /x/y/z", "cat /x/y/z; stat -c %a /x/y", "a\n755"),
            case("FROM busybox\nWORKDIR /w\nCOPY a.txt .", "cat /w/a.txt", "a"),
            case("FROM busybox\nWORKDIR /w\nCOPY a.txt b.txt ./s/", "ls /w/s", "a.txt\nb.txt"),
            case("FROM busybox\nRUN mkdir /x\nCOPY a.txt /x", "cat /x/a.txt", "a"),
            case(
                "FROM busybox\nRUN ln -s /tmp /x\nCOPY a.txt /x/",
                "cat /tmp/a.txt; ls -d /x",
                "a\n/x",
            ),
            case("FROM busybox\nCOPY d /x", "cd /x; find . | sort", ".\n./c.txt\n./e\n./e/f.md"),
            case("FROM busybox\nCOPY d/ /x/", "cat /x/c.txt", "c"),
            case("FROM busybox\nCOPY *.txt /x/", "ls /x", "a.txt\nb.txt"),
            case("FROM busybox\nCOPY [ab].tx? /x/", "ls /x", "a.txt\nb.txt"),
            case("FROM busybox\nCOPY none* a.txt /x/", "ls /x", "a.txt"),
            case("FROM busybox\nCOPY [\"a.txt\", \"/with blank\"]", "cat '/with blank'", "a"),
            case("FROM busybox\nCOPY link /x", "cat /x; test -L /x || echo file", "a\nfile"),
            case("FROM busybox\nCOPY . /x", "readlink /x/link", "a.txt"),
            case("FROM busybox\nCOPY empty /x/", "ls -A /x; stat -c %F /x", "directory"),
            case("FROM busybox\nENV D=/x\nCOPY a.txt $D/", "cat /x/a.txt", "a"),
            case(
                "FROM busybox\nCOPY <<one <<\"two\" /x/\n$HOME.\none\n$HOME.\ntwo",
                "cat /x/one /x/two",
                ".\n$HOME.",
            ),
            case(
                "FROM busybox\nCOPY --parents d/e/f.md a.txt /x/",
                "cd /x; find . -type f | sort",
                "./a.txt\n./d/e/f.md",
            ),
            case("FROM busybox\nCOPY --parents ./d/./e /x/", "cd /x; find . -type f", "./e/f.md"),
            case(
                "FROM busybox\nCOPY --exclude=**/*.md --exclude=c* d /x/",
                "cd /x; find . -type f",
                "",
            ),
            case(
                "FROM busybox\nCOPY --link a.txt /x/",
                "cat /x/a.txt; busybox true && echo ok",
                "a\nok",
            ),
            // A link is written through; a folder's own content stays.
            case(
                "FROM busybox\nRUN ln -s /etc/passwd /x\nCOPY a.txt /x",
                "cat /x; head -n1 /etc/passwd | cut -c1-4",
                "a\na",
            ),
            case("FROM busybox\nRUN mkdir -p /x/k\nCOPY d /x", "ls /x", "c.txt\ne\nk"),
        ],
    );
}

#[test]
fn owners_and_modes() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let case = |dockerfile, command, output| Case { dockerfile, files: TREE, command, output };
    check(
        &kista,
        &[
            case("FROM busybox\nCOPY run.sh /x", "stat -c '%a %u:%g' /x", "755 0:0"),
            case("FROM busybox\nCOPY --chown=app a.txt /x", "stat -c %u:%g /x", "1000:1000"),
            case(
                "FROM busybox\nCOPY --chown=app:extra d /x",
                "stat -c %u:%g /x/e/f.md",
                "1000:2000",
            ),
            case("FROM busybox\nCOPY --chown=7 a.txt /n/x", "stat -c %u:%g /n /n/x", "7:7\n7:7"),
            case("FROM busybox\nCOPY --chmod=640 a.txt /x", "stat -c %a /x", "640"),
            case(
                "FROM busybox\nCOPY --chmod=u=rwX,go= d /x",
                "stat -c %a /x/e /x/e/f.md",
                "700\n600",
            ),
            case("FROM busybox\nARG M=600\nCOPY --chmod=$M a.txt /x", "stat -c %a /x", "600"),
            // From a stage owners are kept.
            case(
                "FROM busybox AS s\nCOPY --chown=5:6 a.txt /x\nFROM busybox\nCOPY --from=s /x /y",
                "stat -c %u:%g /y",
                "5:6",
            ),
        ],
    );
    check_failures(
        &kista,
        &[
            ("FROM busybox\nCOPY --chmod=9 a.txt /x", "invalid chmod parameter: '9'"),
            ("FROM busybox\nCOPY --chown=nobody-here a.txt /x", "unable to find user nobody-here"),
            ("FROM busybox\nRUN mkdir /a.txt\nCOPY a.txt /", "cannot copy to directory: /a.txt"),
        ],
    );
}

#[test]
fn hard_links_and_attributes_come_along() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nCOPY . /x", &[("a", "1")]);
    std::fs::hard_link(context.file("a"), context.file("b")).unwrap();
    context.build(&kista, &["-t", "links"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "links", "stat", "-c", "%h", "/x/a"]), "2");
}

#[test]
fn an_ignore_file_keeps_files_out() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let files: &[(&str, &str)] = &[
        ("a", "a"),
        ("secret/key", "canary"),
        ("secret/public", "p"),
        ("deep/x/y.o", "o"),
        ("deep/x/y.c", "c"),
        (".dockerignore", "# no\nsecret\n!secret/public\n**/*.o\nDockerfile\n"),
    ];
    let context = Context::new("FROM busybox\nCOPY . /x", files);
    context.build(&kista, &["-t", "ignored"]).ok();
    let found = kista.ok(&["run", "--rm", "ignored", "sh", "-c", "cd /x; find . -type f | sort"]);
    assert_eq!(found, "./.dockerignore\n./a\n./deep/x/y.c\n./secret/public");
    for dockerfile in ["FROM busybox\nCOPY secret/key /x", "FROM busybox\nCOPY deep/x/y.o /x"] {
        let context = Context::new(dockerfile, files);
        context.build(&kista, &[]).fails(1, "not found");
    }
    // A link to it does not help.
    let context = Context::new("FROM busybox\nCOPY link /x", files);
    std::os::unix::fs::symlink("secret/key", context.file("link")).unwrap();
    context.build(&kista, &[]).fails(1, "not found");
}

#[test]
fn archives_are_unpacked_by_add() {
    needs!(Root, Busybox, Compressors);
    let kista = Kista::with_busybox();
    let mut tar = testkit::tar::Writer::new();
    tar.directory("d/", 0o755).file("d/f", 0o644, b"1").symlink("l", "d/f");
    let bytes = tar.finish();
    for (name, program) in [("x.tar", None), ("x.tgz", Some("gzip")), ("x.zst", Some("zstd"))] {
        let dockerfile = format!("FROM busybox\nADD {name} /x/\nADD --unpack=false {name} /y");
        let context = Context::new(&dockerfile, &[]);
        std::fs::write(context.file("plain"), &bytes).unwrap();
        match program {
            None => std::fs::write(context.file(name), &bytes).unwrap(),
            Some(program) => {
                let out = std::process::Command::new(program)
                    .args(["-c", context.file("plain").to_str().unwrap()])
                    .output()
                    .unwrap();
                std::fs::write(context.file(name), out.stdout).unwrap();
            }
        }
        context.build(&kista, &["-t", "add"]).ok();
        let command = "cat /x/l; test -f /y && echo archive";
        assert_eq!(kista.ok(&["run", "--rm", "add", "sh", "-c", command]), "1archive", "{name}");
    }
    // What is no archive is a file like others.
    let context = Context::new("FROM busybox\nADD a.tar /x/", &[("a.tar", "no")]);
    context.build(&kista, &["-t", "add"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "add", "cat", "/x/a.tar"]), "no");
}

#[test]
fn named_contexts() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let other = Context::new("", &[("f", "other\n")]);
    let dockerfile =
        "FROM base\nCOPY --from=other f /f\nRUN --mount=from=other,target=/m cat /m/f >> /f";
    let context = Context::new(dockerfile, &[]);
    let folder = format!("other={}", other.path().display());
    let arguments = [
        "-t",
        "named",
        "--build-context",
        &folder,
        "--build-context",
        "base=docker-image://busybox",
    ];
    context.build(&kista, &arguments).ok();
    assert_eq!(kista.ok(&["run", "--rm", "named", "cat", "/f"]), "other\nother");
}
