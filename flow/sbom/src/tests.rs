//! Trees, and what is found in them.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

fn described() -> Described<'static> {
    Described { name: "x:1", tool: "test-1", created: Timestamp::from_unix(1, 0) }
}

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(&path, content).unwrap();
        self
    }

    fn program(&self, path: &str, section: &str, content: &[u8]) -> &Self {
        self.file(path, elf(section, content));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(path), mode).unwrap();
        self
    }

    fn urls(&self) -> Vec<String> {
        let root = std::fs::File::open(self.0.path()).unwrap();
        let document = scan(root.as_fd(), &described()).unwrap();
        let packages = document.packages.into_iter().skip(1);
        packages.map(|package| package.external_refs[0].reference_locator.clone()).collect()
    }
}

/// A program with one section.
fn elf(section: &str, content: &[u8]) -> Vec<u8> {
    let names = format!("\0{section}\0");
    let mut file = vec![0_u8; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let content_at = file.len() as u64;
    file.extend_from_slice(content);
    let names_at = file.len() as u64;
    file.extend_from_slice(names.as_bytes());
    let headers_at = file.len() as u64;
    for (name, offset, size) in
        [(0_u32, 0, 0), (1, content_at, content.len() as u64), (0, names_at, names.len() as u64)]
    {
        let mut header = [0_u8; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[24..32].copy_from_slice(&offset.to_le_bytes());
        header[32..40].copy_from_slice(&size.to_le_bytes());
        file.extend_from_slice(&header);
    }
    file[40..48].copy_from_slice(&headers_at.to_le_bytes());
    file[58..60].copy_from_slice(&64_u16.to_le_bytes());
    file[60..62].copy_from_slice(&3_u16.to_le_bytes());
    file[62..64].copy_from_slice(&2_u16.to_le_bytes());
    file
}

#[test]
fn packages_of_the_system_are_found() {
    let debian = Tree::new();
    debian.file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n").file(
        "var/lib/dpkg/status",
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u1\n\n\
         Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n",
    );
    assert_eq!(
        debian.urls(),
        ["pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12"]
    );

    let parts = Tree::new();
    parts
        .file("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\n")
        .file("var/lib/dpkg/status.d/base.md5sums", "00 a\n");
    assert_eq!(parts.urls(), ["pkg:deb/debian/base-files@12"]);

    let alpine = Tree::new();
    alpine
        .file("usr/lib/os-release", "ID=alpine\nVERSION_ID=3.20.1\n")
        .file("lib/apk/db/installed", "C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n\n");
    assert_eq!(alpine.urls(), ["pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1"]);
}

#[test]
fn packages_of_languages_are_found_where_they_are_installed() {
    let tree = Tree::new();
    let python =
        "Metadata-Version: 2.1\nName: Flask_Thing\nVersion: 3.0\nLicense: MIT\n\nName: no\n";
    tree.file("usr/lib/python3/site-packages/flask-3.0.dist-info/METADATA", python)
        .file("app/node_modules/a/package.json", r#"{"name":"a","version":"1.0","license":"MIT"}"#)
        .file("app/node_modules/@s/b/package.json", r#"{"name":"@s/b","version":"2"}"#)
        .file("app/node_modules/a/lib/package.json", r#"{"name":"inner","version":"9"}"#)
        .file("app/package.json", r#"{"name":"app","version":"0"}"#)
        .file("app/node_modules/c/package.json", "{");
    assert_eq!(tree.urls(), ["pkg:npm/%40s/b@2", "pkg:npm/a@1.0", "pkg:pypi/flask-thing@3.0"]);
}

#[test]
fn programs_say_what_they_are_made_of() {
    let mut go = b"\xff Go buildinf:\x08\x02".to_vec();
    go.resize(32, 0);
    let mark = "0123456789abcdef";
    let modules = format!(
        "{mark}path\tx\nmod\texample.com/X\tv1\t\ndep\texample.com/y\tv2\th1:\n\
         dep\texample.com/z\tv3\n=>\texample.com/w\tv4\th1:\n{mark}"
    );
    for text in ["go1.22.1", &modules] {
        let length = u8::try_from(text.len() & 0x7f).unwrap();
        match text.len() >> 7 {
            0 => go.push(length),
            more => go.extend([length | 0x80, u8::try_from(more).unwrap()]),
        }
        go.extend_from_slice(text.as_bytes());
    }
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let crates = r#"{"packages":[{"name":"a","version":"1.0.0","source":"local"},
        {"name":"b","version":"2.0.0","kind":"build"}]}"#;
    packed.write_all(crates.as_bytes()).unwrap();

    let tree = Tree::new();
    tree.program("bin/go", ".go.buildinfo", &go)
        .program("bin/rust", ".dep-v0", &packed.finish().unwrap())
        .program("bin/other", ".text", b"code")
        .file("bin/not-executable", elf(".go.buildinfo", &go));
    assert_eq!(
        tree.urls(),
        [
            "pkg:cargo/a@1.0.0",
            "pkg:golang/example.com/w@v4",
            "pkg:golang/example.com/x@v1",
            "pkg:golang/example.com/y@v2",
            "pkg:golang/stdlib@1.22.1",
        ]
        .map(str::to_owned)
    );
}

#[test]
fn no_link_leads_out_of_the_tree_and_nothing_waits() {
    let (tree, outside) = (Tree::new(), Tree::new());
    outside.file("status", "Package: secret\nVersion: 1\n");
    std::fs::create_dir_all(tree.path("var/lib/dpkg")).unwrap();
    let target = outside.path("status");
    std::os::unix::fs::symlink(&target, tree.path("var/lib/dpkg/status")).unwrap();
    std::os::unix::fs::symlink(outside.path(""), tree.path("node_modules")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path("usr"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    std::fs::create_dir_all(tree.path("lib/apk/db")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path("lib/apk/db/installed"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(tree.urls(), [""; 0]);
}

#[test]
fn broken_programs_are_passed_over() {
    let good =
        elf(".go.buildinfo", &[b"\xff Go buildinf:\x08\x02".as_slice(), &[0xff; 40]].concat());
    let tree = Tree::new();
    for at in 0..good.len() {
        let mut broken = good.clone();
        broken[at] ^= 0xff;
        tree.program("bin/x", "", b"");
        tree.file("bin/x", broken);
        assert_eq!(tree.urls(), [""; 0], "byte {at}");
    }
}

#[test]
fn the_same_tree_gives_the_same_document() {
    let tree = Tree::new();
    tree.file("lib/apk/db/installed", "P:musl\nV:1\nL:MIT\nm:A <a@b>\n\nP:zlib\nV:2\n\n");
    let root = std::fs::File::open(tree.0.path()).unwrap();
    let first = scan(root.as_fd(), &described()).unwrap();
    assert_eq!(first, scan(root.as_fd(), &described()).unwrap());
    assert_eq!(first.creation_info.created, "1970-01-01T00:00:01Z");
    assert_eq!(first.creation_info.creators, ["Tool: test-1"]);
    let musl = &first.packages[1];
    assert_eq!(
        (musl.license_declared.as_str(), musl.supplier.as_str()),
        ("MIT", "Organization: A (a@b)")
    );
    assert_eq!(first.relationships[0].related_spdx_element, first.packages[0].id);
    let later = Described { created: Timestamp::from_unix(2, 0), ..described() };
    let other = scan(root.as_fd(), &later).unwrap();
    assert_ne!(other.document_namespace, first.document_namespace);
}
