//! `dist`: the `kista` of a release, one static file that is not position independent.
//!
//! Built for musl. Where that target cannot be had, the same code is linked statically against
//! glibc, which starts a little slower and is otherwise the same.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::process;
use crate::workspace::Workspace;

pub(crate) fn run() -> Outcome {
    let built = build()?;
    println!("{} ({} bytes)", built.display(), fs::metadata(&built)?.len());
    Ok(())
}

/// Builds it; gives the path of the file.
pub(crate) fn build() -> Result<PathBuf, Box<dyn Error>> {
    let architecture = std::env::consts::ARCH;
    let workspace = Workspace::load(false)?;
    let musl = format!("{architecture}-unknown-linux-musl");
    let gnu = format!("{architecture}-unknown-linux-gnu");
    let target = if has_target(&musl) { musl } else { gnu };
    let arguments = ["build", "--locked", "--release", "--package", "cli", "--target", &target];
    let mut cargo = process::cargo(&arguments);
    if target.ends_with("gnu") {
        println!("no musl target for Rust here: linking statically against glibc");
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
    }
    process::run(&mut cargo)?;
    let built = workspace.target_directory.join(&target).join("release/kista");
    check_static(&built)?;
    let folder = workspace.target_directory.join("dist");
    fs::create_dir_all(&folder)?;
    let place = folder.join("kista");
    // Renamed into place: the old file may be running.
    let temporary = folder.join(".kista.new");
    fs::copy(&built, &temporary)?;
    fs::rename(&temporary, &place)?;
    Ok(place)
}

fn has_target(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let library =
        Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    library.is_ok_and(|output| {
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && Path::new(&path).is_dir()
    })
}

/// Refuses a file that asks for an interpreter or may be moved in memory.
fn check_static(path: &Path) -> Outcome {
    const EXECUTABLE: u16 = 2;
    const INTERPRETER: u32 = 3;
    let file = fs::read(path)?;
    let half = |at: usize| file.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let word =
        |at: usize| file.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let name = path.display();
    let broken = || format!("{name}: not an ELF file");
    // elf(5), Elf64_Ehdr: e_type, e_phoff, e_phentsize, e_phnum.
    let kind = half(16).ok_or_else(broken)?;
    let table = word(32).ok_or_else(broken)? as usize;
    let size = usize::from(half(54).ok_or_else(broken)?);
    let count = usize::from(half(56).ok_or_else(broken)?);
    if (0..count).any(|index| word(table + index * size) == Some(INTERPRETER)) {
        return Err(format!("{name}: dynamically linked").into());
    }
    if kind != EXECUTABLE {
        return Err(format!("{name}: position independent").into());
    }
    Ok(())
}
