//! A host of the test's own: a network namespace in which its thread stays.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use network::{in_namespace, own_namespace};

/// Gives a new namespace with its loopback up. It ends with the descriptor.
pub(crate) fn namespace() -> OwnedFd {
    std::thread::spawn(|| {
        sys::namespace::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
        sys::loopback::bring_up().unwrap();
        own_namespace().unwrap()
    })
    .join()
    .unwrap()
}

/// Runs `test` in a host of its own.
pub(crate) fn on_a_host(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        sys::namespace::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
        sys::loopback::bring_up().unwrap();
        test();
    })
    .join()
    .unwrap();
}

/// What a program prints that runs in the thread's namespace.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// As [`output`], in another namespace.
pub(crate) fn output_in(namespace: &OwnedFd, program: &str, arguments: &[&str]) -> String {
    in_namespace(namespace.as_fd(), || Ok(output(program, arguments))).unwrap()
}
