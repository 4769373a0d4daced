//! The cases: a Dockerfile each, with what is in its context and how it is built.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::super::Context;
use super::OLD;

/// What every case finds in its context: `-> ` begins a link's target, a slash ends a folder.
const CONTEXT: [(&str, &str, u32); 21] = [
    ("a.txt", "a\n", 0o644),
    ("b.txt", "b\n", 0o644),
    ("script.sh", "#!/bin/sh\necho run\n", 0o755),
    ("empty.txt", "", 0o644),
    (".hidden", "hidden\n", 0o644),
    ("with blank", "blank\n", 0o644),
    ("link", "-> a.txt", 0),
    ("dlink", "-> dir", 0),
    ("broken", "-> nowhere", 0),
    ("dir/one", "1\n", 0o644),
    ("dir/two", "2\n", 0o600),
    ("dir/sub/deep", "deep\n", 0o644),
    ("emptydir/", "", 0o755),
    ("links/to-file", "-> ../a.txt", 0),
    ("links/to-folder", "-> ../dir", 0),
    ("links/broken", "-> nowhere", 0),
    ("links/absolute", "-> /etc/passwd", 0),
    ("modes/sticky/", "", 0o1777),
    ("modes/readonly", "r\n", 0o400),
    ("modes/none", "n\n", 0o000),
    ("fake.tar", "no archive\n", 0o644),
];

/// One Dockerfile.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) dockerfile: String,
    /// Flags of `docker build`, each followed by its value.
    pub(super) arguments: Vec<String>,
    files: Vec<(String, String)>,
    modes: Vec<(String, u32)>,
    attributes: Vec<(String, String, String)>,
    /// All must refuse it.
    pub(super) fails: bool,
    /// The peers beside which Kista differs, and why.
    pub(super) differs: BTreeMap<String, String>,
    /// The peers besides the current BuildKit that know what it is about; `None` for those of the
    /// whole file.
    pub(super) beside: Option<Vec<String>>,
}

/// Reads a file of cases: `tests/e2e/corpus/README.md`.
pub(super) fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its name");
        let words = |rest: &str| rest.split(' ').map(str::to_owned).collect();
        match line.split_once(' ').unwrap_or((line, "")) {
            ("@args", rest) => case.arguments = words(rest),
            ("@file", rest) => {
                let (path, content) = rest.split_once(' ').unwrap_or((rest, ""));
                let content = content.replace("\\n", "\n").replace("\\r", "\r");
                case.files.push((path.to_owned(), content.replace("\\uFEFF", "\u{feff}")));
            }
            ("@mode", rest) => {
                let (path, mode) = rest.split_once(' ').unwrap();
                case.modes.push((path.to_owned(), u32::from_str_radix(mode, 8).unwrap()));
            }
            ("@xattr", rest) => {
                let [path, name, value] = rest.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{line}: a path, a name and a value")
                };
                case.attributes.push((path.to_owned(), name.to_owned(), value.to_owned()));
            }
            ("@fails", _) => case.fails = true,
            ("@differs", rest) => {
                let (peers, why) = rest.split_once(' ').expect("peers and the reason");
                for peer in peers.split(',') {
                    case.differs.insert(peer.to_owned(), why.to_owned());
                }
            }
            ("@beside", rest) => {
                case.beside = Some(rest.split(' ').map(str::to_owned).collect());
            }
            _ => case.dockerfile += &format!("{line}\n"),
        }
    }
    cases
}

impl Case {
    /// Its context, where everything is old; `{web}` in the Dockerfile is where files are served.
    pub(super) fn context(&self, web: &str) -> Context {
        let context = Context::new(&self.dockerfile.replace("{web}", web), &[]);
        for (path, content, mode) in CONTEXT {
            context.write(path, content);
            if mode != 0 || path == "modes/none" {
                fs::set_permissions(context.file(path), fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        archives(context.path());
        for (path, content) in &self.files {
            context.write(path, content);
        }
        for (path, mode) in &self.modes {
            fs::set_permissions(context.file(path), fs::Permissions::from_mode(*mode)).unwrap();
        }
        for (path, name, value) in &self.attributes {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(context.file(path), name.as_str(), value.as_bytes(), flags)
                .unwrap();
        }
        set_times(context.path());
        context
    }

    /// Its flags and their values; `{context}` is the directory that it is built from.
    pub(super) fn options(&self, context: &Context) -> Vec<(String, String)> {
        let path = context.path().to_str().unwrap();
        let placed = |word: &String| word.replace("{context}", path);
        let pairs = self.arguments.chunks(2);
        pairs.map(|pair| (pair[0].clone(), placed(&pair[1]))).collect()
    }
}

fn archives(folder: &Path) {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("in")).unwrap();
    fs::write(source.path().join("in/file"), "archived\n").unwrap();
    symlink("file", source.path().join("in/link")).unwrap();
    let times = format!("--mtime=@{OLD}");
    for (name, flag) in [
        ("archive.tar", "-c"),
        ("archive.tar.gz", "-cz"),
        ("archive.tar.xz", "-cJ"),
        ("renamed.txt", "-c"),
    ] {
        let mut tar = Command::new("tar");
        tar.arg(flag).args(["--owner=3", "--group=4", "--mode=750", "--numeric-owner", &times]);
        tar.arg("-C").arg(source.path()).arg("-f").arg(folder.join(name)).arg("in");
        assert!(tar.status().unwrap().success());
    }
    let plain = folder.join("plain");
    fs::write(&plain, "plain\n").unwrap();
    assert!(Command::new("gzip").arg("-n").arg(&plain).status().unwrap().success());
}

/// Makes everything old.
fn set_times(folder: &Path) {
    let time = format!("@{OLD}");
    let all = Command::new("find")
        .arg(folder)
        .args(["-depth", "-exec", "touch", "-h", "-d", &time, "{}", "+"])
        .status();
    assert!(all.unwrap().success());
}
