//! The guest's disk: a root file system with Kista, the tests and what they need, as ext4.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Guest;
use super::suites::Built;
use crate::process;
use crate::workspace::root;

/// A root file system of busybox alone.
pub(super) fn skeleton(place: &Path) -> Result<(), Box<dyn Error>> {
    clear(place)?;
    for name in [
        "bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "usr/sbin",
        "var/lib", "var/tmp",
    ] {
        fs::create_dir_all(place.join(name))?;
    }
    symlink("../run", place.join("var/run"))?;
    fs::copy("/bin/busybox", place.join("bin/busybox"))?;
    let list = process::output(Command::new("/bin/busybox").arg("--list"))?;
    for command in String::from_utf8_lossy(&list).lines().filter(|name| *name != "busybox") {
        symlink("busybox", place.join("bin").join(command))?;
    }
    fs::write(
        place.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n",
    )?;
    fs::write(place.join("etc/group"), "root:x:0:\nuser:x:1000:\n")?;
    fs::write(place.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    fs::write(place.join("etc/hostname"), "guest\n")?;
    fs::write(place.join("etc/resolv.conf"), "")?;
    Ok(())
}

pub(super) fn clear(place: &Path) -> Result<(), Box<dyn Error>> {
    match fs::remove_dir_all(place) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err.into()),
        _ => {}
    }
    fs::create_dir_all(place)?;
    Ok(())
}

/// Adds what a guest runs: `/usr/bin/kista`, the suites' programs with their libraries, and the
/// scripts that run them, below `/guest`.
pub(super) fn fill(
    place: &Path,
    guest: Guest,
    kista: &Path,
    suites: &[Built],
) -> Result<(), Box<dyn Error>> {
    let inside = place.join("guest");
    fs::create_dir_all(&inside)?;
    fs::copy(kista, place.join("usr/bin/kista"))?;
    let busybox = place.join("bin/busybox");
    if !busybox.exists() {
        fs::copy("/bin/busybox", busybox)?;
    }
    let scripts = root().join("tests/guest/inside");
    for name in ["start", "run"] {
        fs::copy(scripts.join(name), inside.join(name))?;
    }
    let mut list = String::new();
    for suite in suites {
        fs::copy(&suite.program, inside.join(&suite.name))?;
        for library in libraries(&suite.program)? {
            let to = place.join(library.strip_prefix("/").unwrap_or(&library));
            if !to.exists() {
                fs::create_dir_all(to.parent().unwrap_or(place))?;
                fs::copy(&library, to)?;
            }
        }
        let Built { name, seconds, arguments, .. } = suite;
        list.push_str(&format!("{name} {seconds} /guest/{name} {}\n", arguments.join(" ")));
    }
    fs::write(inside.join("suites"), list)?;
    let seconds = guest.patience().as_secs();
    let promised = super::suites::promised(guest);
    fs::write(
        inside.join("environment"),
        format!(
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\nKISTA_BIN=/usr/bin/kista\n\
             RUST_BACKTRACE=1\nGUEST={}\nGUEST_SECONDS={seconds}\nTEST_PROMISED=\"{promised}\"\n",
            guest.name(),
        ),
    )?;
    Ok(())
}

/// The shared libraries of a program, and what loads them: as absolute paths. ldd(1).
fn libraries(program: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let output = Command::new("ldd").arg(program).stderr(Stdio::null()).output()?;
    // It fails on a static program.
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.split_ascii_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).filter(|path| path.is_file()).collect())
}

/// Makes an ext4 file system of a directory, with some room. mke2fs(8), `-d`.
pub(super) fn format(place: &Path, disk: &Path) -> Result<(), Box<dyn Error>> {
    let _ = fs::remove_file(disk);
    let mut command = Command::new("/sbin/mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d"]);
    command.arg(place).arg(disk).arg("2G").stdout(Stdio::null());
    process::run(&mut command)
}
