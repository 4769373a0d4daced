//! Packages of the system: the databases of dpkg and apk.
//!
//! deb-version(7) and dpkg's `status`; apk-tools' `installed`; os-release(5).

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use attestation::package_url;
use rustix::fs::{Dir, Mode, OFlags};

use crate::Package;
use crate::walk::text;

/// dpkg's list of what is installed.
const DPKG: &str = "var/lib/dpkg/status";
/// The same in images without dpkg, a file for each package.
const DPKG_PARTS: &str = "var/lib/dpkg/status.d";
/// apk's, before and since version 3.
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
/// More parts than this are not read.
const MAX_PARTS: usize = 10_000;

/// What a system says that it is.
#[derive(Debug, Default)]
pub(crate) struct System {
    /// `debian`
    id: String,
    /// `12`
    version: String,
}

impl System {
    pub(crate) fn read(root: BorrowedFd<'_>) -> Self {
        let found =
            ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| read(root, path));
        let mut facts: HashMap<String, String> = HashMap::new();
        for line in found.unwrap_or_default().lines() {
            if let Some((key, value)) = line.split_once('=') {
                let value = value.trim().trim_matches(['"', '\'']);
                facts.insert(key.trim().to_owned(), value.to_owned());
            }
        }
        let mut take = |key: &str| facts.remove(key).unwrap_or_default();
        Self { id: take("ID"), version: take("VERSION_ID") }
    }

    /// `debian-12`
    fn distribution(&self) -> String {
        match (self.id.as_str(), self.version.as_str()) {
            ("", _) => String::new(),
            (id, "") => id.to_owned(),
            (id, version) => format!("{id}-{version}"),
        }
    }

    pub(crate) fn packages(&self, root: BorrowedFd<'_>) -> Vec<Package> {
        let mut packages = Vec::new();
        if let Some(status) = read(root, DPKG) {
            packages.extend(status.split("\n\n").filter_map(|one| self.deb(one, DPKG)));
        }
        for name in list(root, DPKG_PARTS) {
            // Beside each description lie the sums of its files.
            let path = format!("{DPKG_PARTS}/{name}");
            let text = Some(&path).filter(|path| !path.ends_with(".md5sums"));
            let text = text.and_then(|path| read(root, path));
            packages.extend(text.and_then(|text| self.deb(&text, &path)));
        }
        for path in APK {
            if let Some(installed) = read(root, path) {
                packages.extend(installed.split("\n\n").filter_map(|one| self.apk(one, path)));
            }
        }
        packages
    }

    fn deb(&self, paragraph: &str, path: &str) -> Option<Package> {
        let field = |name: &str| field(paragraph, name, ": ");
        // In the parts there is no state: whatever is there is installed.
        if field("Status").is_some_and(|status| !status.ends_with(" installed")) {
            return None;
        }
        let (name, version) = (field("Package")?, field("Version")?);
        let id = if self.id.is_empty() { "debian" } else { &self.id };
        let url = package_url(
            "deb",
            &format!("{id}/{name}"),
            version,
            &[
                ("arch", field("Architecture").unwrap_or_default()),
                ("distro", &self.distribution()),
            ],
        );
        Some(Package {
            kind: "deb",
            name: name.to_owned(),
            version: version.to_owned(),
            url,
            supplier: field("Maintainer").unwrap_or_default().to_owned(),
            found_in: path.to_owned(),
            ..Package::default()
        })
    }

    fn apk(&self, paragraph: &str, path: &str) -> Option<Package> {
        let field = |name: &str| field(paragraph, name, ":");
        let (name, version) = (field("P")?, field("V")?);
        let id = if self.id.is_empty() { "alpine" } else { &self.id };
        let url = package_url(
            "apk",
            &format!("{id}/{name}"),
            version,
            &[("arch", field("A").unwrap_or_default()), ("distro", &self.distribution())],
        );
        Some(Package {
            kind: "apk",
            name: name.to_owned(),
            version: version.to_owned(),
            url,
            license: field("L").unwrap_or_default().to_owned(),
            supplier: field("m").unwrap_or_default().to_owned(),
            found_in: path.to_owned(),
        })
    }
}

/// A field's first line.
fn field<'a>(paragraph: &'a str, name: &str, separator: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(separator);
    paragraph.lines().find_map(value).map(str::trim).filter(|value| !value.is_empty())
}

fn read(root: BorrowedFd<'_>, path: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = std::fs::File::from(sys::fs::open_in_root(root, path, flags, Mode::empty()).ok()?);
    file.metadata().is_ok_and(|facts| facts.is_file()).then(|| text(file))?
}

fn list(root: BorrowedFd<'_>, path: &str) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(folder) = sys::fs::open_in_root(root, path, flags, Mode::empty()) else {
        return Vec::new();
    };
    let Ok(entries) = Dir::read_from(folder.as_fd()) else { return Vec::new() };
    let names =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    names.filter(|name| !name.starts_with('.')).take(MAX_PARTS).collect()
}
