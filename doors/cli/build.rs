//! Has the linker put what a container's start runs into one place.
//!
//! The kernel maps the pages of a program's file sixteen at a time. What `kista oci run` executes
//! is some 300 KiB of functions; spread over all of the program's text they are in fifty such
//! groups of pages, three megabytes. `layout/start.txt` names them, and they become an output
//! section of their own before the rest.
//!
//! For released programs only, since it makes linking slower; and only where the linker takes it:
//! without it the program is larger in memory and otherwise the same.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAMES: &str = "layout/start.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={NAMES}");
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") {
        return Ok(());
    }
    let folder = PathBuf::from(std::env::var("OUT_DIR")?);
    let script = folder.join("start.ld");
    fs::write(&script, link_script(&fs::read_to_string(NAMES)?))?;
    match links_with(&script, &folder) {
        true => println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display()),
        false => println!("cargo::warning=the linker takes no order of functions: more memory"),
    }
    Ok(())
}

/// A fragment that the linker adds to its own script. ld(1), "INSERT".
fn link_script(names: &str) -> String {
    let mut text = String::from("SECTIONS\n{\n  .text.start :\n  {\n");
    let lines = names.lines().filter(|line| !line.starts_with('#'));
    for (owner, name) in lines.filter_map(|line| line.split_once(' ')) {
        // Names of generic functions are the same for all types: only those of a crate that is
        // meant. Its objects are PROGRAM-HASH.CRATE-HASH.*, those of the program's own crate
        // PROGRAM-HASH.CRATE.*.
        let _ = match owner {
            "-" => writeln!(text, "    *(.text.{name})"),
            "kista" => writeln!(text, "    *.kista.*(.text.{name})"),
            owner => writeln!(text, "    *.{owner}-*(.text.{name})"),
        };
    }
    text.push_str("  }\n}\nINSERT BEFORE .text;\n");
    text
}

/// Whether the linker makes a program with it.
fn links_with(script: &Path, folder: &Path) -> bool {
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or_else(|| OsString::from("cc"));
    let source = folder.join("probe.c");
    let mut option = OsString::from("-Wl,-T,");
    option.push(script);
    let probe = fs::write(&source, "int main(void) { return 0; }\n").is_ok();
    probe
        && Command::new(linker)
            .arg(option)
            .arg("-o")
            .arg(folder.join("probe"))
            .arg(source)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}
