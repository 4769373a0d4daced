//! The guest's kernel and the modules that it needs before it has a disk.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// A kernel of Debian's package `linux-image-cloud-amd64`.
pub(super) struct Kernel {
    /// `boot/vmlinuz-RELEASE`
    pub(super) image: PathBuf,
    /// `lib/modules/RELEASE`
    modules: PathBuf,
}

/// A module of it.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Modules by name, each loaded after those that it needs. Nothing loads any later.
const WANTED: &[&str] = &[
    // In this order: the disk's driver finds no device otherwise.
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_blk",
    // Root file systems.
    "overlay",
    "squashfs",
    "erofs",
    "loop",
    "fuse",
    // Networks.
    "veth",
    "bridge",
    "br_netfilter",
    "dummy",
    "macvlan",
    "ipvlan",
    "8021q",
    "sctp",
    "tun",
    "nf_tables",
    "nf_conntrack",
    "nf_nat",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_chain_nat",
    "nft_fib_inet",
    "nft_reject_inet",
    "nft_limit",
    "nft_log",
    "nft_meta_bridge",
    // Weights of block devices.
    "bfq",
];

/// The newest one unpacked by `scripts/setup` into the target directory, or installed.
pub(super) fn find(target: &Path) -> Result<Kernel, Box<dyn Error>> {
    if std::env::consts::ARCH != "x86_64" {
        return Err("guests are only made for x86-64 so far".into());
    }
    for top in [target.join("guest/kernel"), PathBuf::from("/")] {
        let Ok(entries) = fs::read_dir(top.join("boot")) else { continue };
        let mut images: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| release(path).is_some_and(|release| release.contains("-cloud-")))
            .collect();
        images.sort();
        if let Some(image) = images.pop() {
            let release = release(&image).unwrap_or_default().to_owned();
            let modules = top.join("lib/modules").join(release);
            if modules.is_dir() {
                return Ok(Kernel { image, modules });
            }
        }
    }
    Err("no kernel of linux-image-cloud-amd64: scripts/setup tests".into())
}

fn release(image: &Path) -> Option<&str> {
    image.file_name()?.to_str()?.strip_prefix("vmlinuz-")
}

impl Kernel {
    /// The modules wanted, with those that they need before them.
    pub(super) fn modules(&self) -> Result<Vec<Module>, Box<dyn Error>> {
        let mut files = Vec::new();
        list(&self.modules.join("kernel"), &mut files)?;
        let mut loaded = Vec::new();
        for name in WANTED {
            self.load(name, &files, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn load(
        &self,
        name: &str,
        files: &[PathBuf],
        loaded: &mut Vec<Module>,
    ) -> Result<(), Box<dyn Error>> {
        if loaded.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let file = files.iter().find(|path| {
            path.file_stem()
                .and_then(|stem| stem.to_str())
                .is_some_and(|stem| stem.replace('-', "_") == name)
        });
        let Some(file) = file else {
            // What is not a module may be part of the kernel.
            let builtin = fs::read_to_string(self.modules.join("modules.builtin"))?;
            let known = builtin.lines().any(|line| {
                let stem = line.rsplit('/').next().and_then(|file| file.strip_suffix(".ko"));
                stem.is_some_and(|stem| stem.replace('-', "_") == name)
            });
            return match known {
                true => Ok(()),
                false => Err(format!("the guest's kernel has no module {name}").into()),
            };
        };
        let bytes = fs::read(file)?;
        for needed in needs(&bytes) {
            self.load(&needed, files, loaded)?;
        }
        loaded.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

/// The modules that one needs, as it says itself: `depends=a,b` among its strings. This is what
/// depmod(8) reads, which has not run on a package that was only unpacked.
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let rest = &module[at + KEY.len()..];
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let text = String::from_utf8_lossy(&rest[..end]);
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true => list(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::needs;

    #[test]
    fn modules_say_what_they_need() {
        assert_eq!(needs(b"x\0license=GPL\0depends=stp,llc-x\0name=bridge\0"), ["stp", "llc_x"]);
        assert!(needs(b"x\0depends=\0name=dummy\0").is_empty());
        assert!(needs(b"nothing").is_empty());
    }
}
