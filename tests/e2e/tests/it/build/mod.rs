//! `build`: Dockerfiles become images.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::{Kista, Output};

mod attest;
mod cache;
mod call;
mod carried;
mod contexts;
mod copies;
mod corpus;
mod debug;
mod devices;
mod hostile;
mod instructions;
mod mounts;
mod network;
mod output;
mod real;

/// A directory to build from.
struct Context {
    temp: tempfile::TempDir,
}

impl Context {
    /// With a Dockerfile, and files: a path that ends in a slash is a directory, content that
    /// begins with `-> ` a link, `#!` makes it executable.
    fn new(dockerfile: &str, files: &[(&str, &str)]) -> Self {
        let context = Self { temp: tempfile::tempdir().unwrap() };
        context.write("Dockerfile", dockerfile);
        for (path, content) in files {
            context.write(path, content);
        }
        context
    }

    fn path(&self) -> &Path {
        self.temp.path()
    }

    fn file(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let target = self.file(path);
        if path.ends_with('/') {
            fs::create_dir_all(&target).unwrap();
            return;
        }
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if let Some(link) = content.strip_prefix("-> ") {
            std::os::unix::fs::symlink(link, &target).unwrap();
            return;
        }
        fs::write(&target, content).unwrap();
        let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// `kista build --progress plain ARGUMENTS CONTEXT`.
    fn build(&self, kista: &Kista, arguments: &[&str]) -> Output {
        let path = self.path().to_str().unwrap();
        let words = [&["build", "--progress", "plain"], arguments, &[path]].concat();
        kista.run(&words)
    }
}

/// What a Dockerfile should come to: the output of a command in the image.
struct Case {
    dockerfile: &'static str,
    files: &'static [(&'static str, &'static str)],
    command: &'static str,
    output: &'static str,
}

/// Builds each and runs its command.
fn check(kista: &Kista, cases: &[Case]) {
    for case in cases {
        let context = Context::new(case.dockerfile, case.files);
        let built = context.build(kista, &["-t", "case"]);
        assert_eq!(built.code, 0, "{}\n{}", case.dockerfile, built.stderr);
        let out = kista.run(&["run", "--rm", "case", "sh", "-c", case.command]);
        assert_eq!(out.stdout.trim_end(), case.output, "{}\n{}", case.dockerfile, out.stderr);
    }
}

/// Builds each, which fails with the text.
fn check_failures(kista: &Kista, cases: &[(&str, &str)]) {
    for (dockerfile, text) in cases {
        let context = Context::new(dockerfile, &[("a.txt", "a")]);
        let built = context.build(kista, &[]);
        assert_ne!(built.code, 0, "{dockerfile}");
        assert!(built.stderr.contains(text), "{dockerfile}\n{}", built.stderr);
    }
}
