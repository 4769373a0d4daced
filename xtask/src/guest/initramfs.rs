//! The first root file system: busybox, modules, and a script, as an archive in cpio's "newc" form.
//!
//! kernel documentation, driver-api/early-userspace/buffer-format.rst.

use std::error::Error;
use std::fs;

use super::kernel::{Kernel, Module};
use crate::workspace::root;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// Its bytes, uncompressed: QEMU puts them into memory, and emulated decompression takes longer.
pub(super) fn make(kernel: &Kernel) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = Archive::default();
    for name in ["bin", "dev", "disk", "modules", "proc", "sys"] {
        archive.add(name, DIRECTORY, b"");
    }
    let busybox = fs::read("/bin/busybox")
        .map_err(|err| format!("/bin/busybox (package busybox-static): {err}"))?;
    archive.add("bin/busybox", PROGRAM, &busybox);
    archive.add("init", PROGRAM, &fs::read(root().join("tests/guest/inside/init"))?);
    let mut order = String::new();
    for Module { name, bytes } in kernel.modules()? {
        archive.add(&format!("modules/{name}.ko"), 0o100_644, &bytes);
        order.push_str(&name);
        order.push_str(".ko\n");
    }
    archive.add("modules/order", 0o100_644, order.as_bytes());
    Ok(archive.finish())
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.count += 1;
        let size = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        // ino, mode, uid, gid, nlink, mtime, filesize, four numbers of devices, namesize, check
        let fields = [self.count, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_to_four() {
        let mut archive = Archive::default();
        archive.add("abc", PROGRAM, b"12345");
        let bytes = archive.finish();
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[110..114], b"abc\0");
        assert_eq!(&bytes[116..121], b"12345");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
