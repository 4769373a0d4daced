//! Kills at each call that changes something, by strace's injection of signals.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Kista, audit, needs};

use super::House;

/// Calls that change something outside of the process.
const CHANGES: &str = "/^(open|openat|creat|mkdir|mkdirat|rename|renameat|renameat2|unlink|\
    unlinkat|rmdir|link|linkat|symlink|symlinkat|write|writev|pwrite64|ftruncate|truncate|\
    fsync|fdatasync|mount|umount2|move_mount|fsmount|fsconfig|open_tree|mount_setattr|\
    pivot_root|clone|clone3|fork|vfork|execve|bind|connect|sendmsg|sendto|flock|fcntl|\
    kill|pidfd_send_signal|setns|unshare|mknod|mknodat|chmod|fchmod|fchmodat|chown|fchown|\
    fchownat|setxattr|fsetxattr|lsetxattr|utimensat|copy_file_range|sendfile|splice)$";

/// `CRASH_STRIDE`: every how manyth call is tried; 1 is all of them.
fn stride() -> usize {
    std::env::var("CRASH_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(7)
}

/// Kills `words` at its first, second, ... call, until one run survives; after each kill
/// the house is mended and the same command must work.
///
/// `prepare` makes what the command needs; `everyone`: the command's children are killed at
/// their calls too, each at its own count.
fn at_each_call(words: &str, prepare: &[&str], everyone: bool) {
    let house = House::new();
    let words: Vec<&str> = words.split(' ').collect();
    let ready = || {
        for command in prepare {
            let words: Vec<&str> = command.split(' ').collect();
            house.kista.ok(&words);
        }
    };
    let mut call = 1;
    loop {
        assert!(call < 3000, "{words:?} makes no end of calls");
        ready();
        let killed = injected(&house.kista, &words, call, everyone);
        house.settle();
        ready();
        let again = run(&house.kista, &words);
        assert!(again.0, "{words:?} after a kill at call {call}: {}", again.1);
        house.settle();
        if !killed {
            break;
        }
        call += stride();
    }
    println!("{words:?}: killed at calls up to {call}");
    house.finish();
}

fn run(kista: &Kista, words: &[&str]) -> (bool, String) {
    let input = if words[0] == "load" { House::other().docker_archive() } else { Vec::new() };
    let out = kista.command(words).stdin(input).run();
    (out.code == 0, out.stderr)
}

/// Whether the command was killed.
fn injected(kista: &Kista, words: &[&str], call: usize, everyone: bool) -> bool {
    let template = kista.command(words).into_command();
    let mut strace = Command::new("strace");
    if everyone {
        strace.arg("-f");
    }
    strace.args(["-qqq", "-o", "/dev/null", "-e"]);
    strace.arg(format!("inject={CHANGES}:signal=SIGKILL:when={call}"));
    strace.arg(template.get_program()).args(template.get_args());
    for (key, value) in template.get_envs() {
        if let Some(value) = value {
            strace.env(key, value);
        }
    }
    let input = tempfile::tempfile().unwrap();
    if words[0] == "load" {
        use std::io::{Seek, Write};
        let mut file = &input;
        file.write_all(&House::other().docker_archive()).unwrap();
        file.rewind().unwrap();
    }
    strace.stdin(Stdio::from(input)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = kista.host().enter(|| strace.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            for pid in audit::processes(&kista.owner()) {
                audit::kill(pid);
            }
            let _ = child.kill();
            panic!("{words:?} hangs when killed at call {call}");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    // strace dies of the signal that its command died of.
    !status.success()
}

#[test]
fn create_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call("create -v /a -v named:/n busybox true", &[], false);
}

#[test]
fn run_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call("run --rm -v /a busybox true", &[], false);
}

#[test]
fn run_is_done_or_undone_when_its_helpers_die_too() {
    needs!(Root, Busybox, Strace);
    at_each_call("run --rm -v /a busybox true", &[], true);
}

#[test]
fn start_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call("start box", &["create --name box busybox sleep 100"], false);
}

#[test]
fn stop_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call("stop -t 0 box", &["run -d --name box busybox sleep 100"], false);
}

#[test]
fn rm_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call("rm -f -v box", &["run -d --name box -v /a busybox sleep 100"], false);
}

#[test]
fn load_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    // It works with several threads, which strace only sees when it follows.
    at_each_call("load", &[], true);
}

#[test]
fn rmi_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call("rmi copy", &["tag busybox copy"], false);
}
