//! What the kernel makes of our programs.

use rustix::io::Errno;

use crate::profile::{Capabilities, Profile};
use crate::{Arch, compile};

/// Runs `then` in a child behind a filter, and gives its answer.
fn behind(program: &crate::Program, then: impl FnOnce() -> i32) -> i32 {
    let child = sys::process::fork(|| {
        if rustix::thread::set_no_new_privs(true).is_err() {
            return 98;
        }
        match program.load() {
            Ok(None) => then(),
            _ => 99,
        }
    });
    let options = rustix::process::WaitOptions::empty();
    let (_, status) = rustix::process::waitpid(Some(child.unwrap().pid), options).unwrap().unwrap();
    status.exit_status().unwrap_or_else(|| -status.terminating_signal().unwrap_or(0))
}

#[test]
fn every_profile_loads_and_holds() {
    for profile in Profile::ALL {
        for capabilities in [Capabilities::NONE, Capabilities::ALL] {
            let program = profile.program(capabilities, Arch::NATIVE);
            let open = capabilities == Capabilities::ALL;
            let answer = behind(&program, || {
                let name = rustix::system::sethostname(b"").err();
                let plain = rustix::process::getppid().is_some();
                let socket = rustix::net::socket(
                    rustix::net::AddressFamily::VSOCK,
                    rustix::net::SocketType::STREAM,
                    None,
                );
                // Without the filter an empty name is accepted from root, and EPERM for others.
                i32::from(!plain)
                    | i32::from(!open && name != Some(Errno::PERM)) << 1
                    | i32::from(socket.is_ok()) << 2
            });
            assert_eq!(answer, 0, "{profile:?} {open}");
        }
    }
}

#[test]
fn a_listener_comes_back_where_one_is_asked_for() {
    let rules = vec![super::rule(&["sethostname"], "NOTIFY", &[])];
    let program = compile(&super::filter("ALLOW", &[], rules), Arch::NATIVE).unwrap();
    let child = sys::process::fork(|| {
        let privileges = rustix::thread::set_no_new_privs(true);
        i32::from(privileges.is_err() || !matches!(program.load(), Ok(Some(_))))
    });
    let options = rustix::process::WaitOptions::empty();
    let status = rustix::process::waitpid(Some(child.unwrap().pid), options).unwrap().unwrap().1;
    assert_eq!(status.exit_status(), Some(0));
}
