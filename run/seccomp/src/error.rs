//! What can be wrong with a filter.

/// Why a filter could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// A profile that cannot be read.
    #[error("seccomp: the profile cannot be read: {source}")]
    Syntax {
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// A profile that says two things at once.
    #[error("seccomp: {what}")]
    Contradiction {
        /// Which.
        what: &'static str,
    },
    /// No version of a kernel.
    #[error("seccomp: {text:?} is no kernel version")]
    Version {
        /// The text as given.
        text: String,
    },
    /// No such action.
    #[error("seccomp: unknown action {text:?}")]
    Action {
        /// The text as given.
        text: String,
    },
    /// No such operator.
    #[error("seccomp: unknown operator {text:?} in a rule for {syscall}")]
    Operator {
        /// The text as given.
        text: String,
        /// The first system call of the rule.
        syscall: String,
    },
    /// No such argument.
    #[error("seccomp: a rule for {syscall} compares argument {index}; there are 0 to 5")]
    Argument {
        /// The index as given.
        index: u32,
        /// The first system call of the rule.
        syscall: String,
    },
    /// No such architecture.
    #[error("seccomp: unknown architecture {text:?}")]
    Architecture {
        /// The text as given.
        text: String,
    },
    /// No such flag.
    #[error("seccomp: unknown flag {text:?}")]
    Flag {
        /// The text as given.
        text: String,
    },
    /// An error number that the kernel would cut.
    #[error("seccomp: error number {value} is above {limit}")]
    Errno {
        /// The number as given.
        value: u32,
        /// The largest one that the action can carry.
        limit: u32,
    },
    /// An error number for an action that has none.
    #[error("seccomp: {action} takes no error number")]
    NoErrno {
        /// The action.
        action: String,
    },
    /// A rule without a name, or with an empty one.
    #[error("seccomp: a rule has no names, or an empty one, for system calls")]
    Unnamed,
    /// `SCMP_ACT_NOTIFY` where it would stop the runtime itself.
    #[error("seccomp: SCMP_ACT_NOTIFY cannot be used {place}")]
    Notify {
        /// Where it was used.
        place: &'static str,
    },
    /// The kernel takes no more than 4,096 instructions.
    #[error("seccomp: the filter needs {instructions} instructions; the kernel takes 4096")]
    TooLong {
        /// How many it would be.
        instructions: usize,
    },
}
