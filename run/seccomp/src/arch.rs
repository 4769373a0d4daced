//! The architectures whose system calls are known here.

/// A system call interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Arch {
    /// 64-bit programs on x86-64.
    X86_64,
    /// 32-bit pointers on x86-64: the same entry, with bit 30 of the number set.
    X32,
    /// 32-bit programs on x86.
    X86,
    /// 64-bit programs on Arm.
    Aarch64,
    /// 32-bit programs on Arm (EABI).
    Arm,
}

impl Arch {
    /// The architecture that this program was built for.
    pub const NATIVE: Self =
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };
}
