//! The embedded init. Not as process 1 here: it makes itself the parent of orphans then.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;

use crate::support::{is_alive, kill, shim_program, wait_until};

/// The program under the init's name, in a directory of its own.
struct Init {
    _dir: tempfile::TempDir,
    command: Command,
}

fn init(args: &[&str]) -> Init {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join(shim::init::NAME);
    std::os::unix::fs::symlink(shim_program(), &link).unwrap();
    let mut command = Command::new(link);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Init { _dir: dir, command }
}

fn run(args: &[&str]) -> Output {
    init(args).command.output().unwrap()
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(1, child.stdout.as_mut().unwrap());
    reader.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn the_code_is_the_programs() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)] {
        assert_eq!(run(&["--", "sh", "-c", script]).status.code(), Some(code), "{script}");
    }
    for (program, code) in [("/absent", 127), ("absent", 127), ("/etc/passwd", 126)] {
        let output = run(&[program]);
        assert_eq!(output.status.code(), Some(code), "{program}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(program));
    }
    assert_eq!(run(&[]).status.code(), Some(125));
}

#[test]
fn signals_are_passed_on() {
    let script = "trap 'echo told; exit 3' USR1; echo ready; while :; do sleep 0.05; done";
    let mut child = init(&["sh", "-c", script]).command.spawn().unwrap();
    assert_eq!(first_line(&mut child), "ready");
    kill(child.id(), Signal::USR1);
    let mut rest = String::new();
    child.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((rest.as_str(), status.code(), status.signal()), ("told\n", Some(3), None));
}

#[test]
fn orphans_are_reaped_while_the_program_runs() {
    let script = "sh -c 'sleep 0.1 & echo $!'; sleep 0.5; echo end; sleep 1000";
    let mut child = init(&["sh", "-c", script]).command.spawn().unwrap();
    let orphan: u32 = first_line(&mut child).parse().unwrap();
    // Gone, and not as a zombie.
    wait_until("the orphan is reaped", || {
        !std::path::Path::new(&format!("/proc/{orphan}")).exists()
    });
    assert!(is_alive(child.id()));
    kill(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn the_program_has_default_signals_and_a_group_of_its_own() {
    let script =
        "grep -E 'Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f1,5 /proc/self/stat; echo $$";
    let output = run(&["--", "sh", "-c", script]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("0000000000000000") && lines[1].ends_with("0000000000000000"));
    let group = lines[2].split(' ').nth(1).unwrap();
    assert_eq!(group, lines[3], "the shell leads the group");
}
