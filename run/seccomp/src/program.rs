//! A finished filter.

use std::io;
use std::os::fd::OwnedFd;

use crate::interpreter::{self, Call};
use crate::policy::Action;
use crate::{Arch, syscalls};

/// A BPF program for seccomp(2), with the flags it is loaded with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<[u8; 8]>,
    flags: u32,
    listener: bool,
}

impl Program {
    pub(crate) fn new(instructions: Vec<[u8; 8]>, flags: u32, listener: bool) -> Self {
        Self { instructions, flags, listener }
    }

    /// The instructions: `struct sock_filter` each, in the machine's byte order.
    pub fn instructions(&self) -> &[[u8; 8]] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*`, with `NEW_LISTENER` if [`Program::has_listener`].
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether some rule notifies a listener, so that loading gives a descriptor.
    pub fn has_listener(&self) -> bool {
        self.listener
    }

    /// Puts the filter on the calling thread, for good; on all threads with the flag `TSYNC`.
    ///
    /// Gives the listener's descriptor (close-on-exec) if there is one. Async-signal-safe: one
    /// system call. Needs no_new_privs, or CAP_SYS_ADMIN in the user namespace; must come after
    /// everything that the filter forbids.
    ///
    /// seccomp(2).
    pub fn load(&self) -> io::Result<Option<OwnedFd>> {
        sys::seccomp::install(&self.instructions, self.flags.into())
    }

    /// Whether the filter lets a call of this machine's own architecture pass, with these arguments
    /// first and zero for the others.
    ///
    /// `false` for a name that the architecture lacks, and where somebody else decides (a tracer,
    /// a listener).
    pub fn allows(&self, name: &str, args: &[u64]) -> bool {
        self.verdict(name, args)
            .is_some_and(|action| [Action::ALLOW, Action::LOG].contains(&action))
    }

    /// What becomes of a call. `None` for a name that the architecture lacks.
    fn verdict(&self, name: &str, args: &[u64]) -> Option<Action> {
        let place = syscalls::find(name)?;
        let number = syscalls::SYSCALLS[usize::from(place)].number(Arch::NATIVE)?;
        let mut call = Call { audit: Arch::NATIVE.audit(), number, args: [0; 6] };
        call.args.iter_mut().zip(args).for_each(|(to, from)| *to = *from);
        interpreter::run(&self.instructions, &call).ok().map(Action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_known_beforehand() {
        let filter = oci::runtime::Seccomp {
            default_action: "SCMP_ACT_ERRNO".into(),
            syscalls: vec![oci::runtime::SeccompRule {
                names: vec!["read".into(), "ioctl".into()],
                action: "SCMP_ACT_ALLOW".into(),
                args: vec![oci::runtime::SeccompArg {
                    index: 1,
                    value: 7,
                    op: "SCMP_CMP_NE".into(),
                    ..oci::runtime::SeccompArg::default()
                }],
                ..oci::runtime::SeccompRule::default()
            }],
            ..oci::runtime::Seccomp::default()
        };
        let filter = crate::compile(&filter, Arch::NATIVE).unwrap();
        for (name, args, wanted) in [
            ("read", &[][..], true),
            ("ioctl", &[0, 6], true),
            ("ioctl", &[0, 7], false),
            ("write", &[], false),
            ("nosuch", &[], false),
        ] {
            assert_eq!(filter.allows(name, args), wanted, "{name} {args:?}");
        }
    }
}
