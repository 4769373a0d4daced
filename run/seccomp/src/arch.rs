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

/// `__X32_SYSCALL_BIT`: set in the numbers of x32 calls, which come in as x86-64.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::X32, Self::X86, Self::Aarch64, Self::Arm];

    /// The architecture that this program was built for.
    pub const NATIVE: Self =
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// What `seccomp_data.arch` holds: `AUDIT_ARCH_*` of linux/audit.h.
    pub(crate) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether only the low halves of arguments count.
    ///
    /// libseccomp takes x32 for such an architecture as well, and profiles rely on it.
    pub(crate) const fn is_32_bit(self) -> bool {
        matches!(self, Self::X32 | Self::X86 | Self::Arm)
    }

    /// The name in Docker's profiles: Go's.
    pub(crate) const fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X32 => "x32",
            Self::X86 => "x86",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// The name in OCI documents.
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X32 => "SCMP_ARCH_X32",
            Self::X86 => "SCMP_ARCH_X86",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// The architecture of that name in an OCI document; `None` inside for one that exists and
    /// whose programs no kernel of ours runs, `Err` for one that does not.
    pub(crate) fn by_oci_name(name: &str) -> Result<Option<Self>, ()> {
        const FOREIGN: [&str; 18] = [
            "MIPS",
            "MIPS64",
            "MIPS64N32",
            "MIPSEL",
            "MIPSEL64",
            "MIPSEL64N32",
            "PPC",
            "PPC64",
            "PPC64LE",
            "S390",
            "S390X",
            "PARISC",
            "PARISC64",
            "RISCV64",
            "LOONGARCH64",
            "M68K",
            "SH",
            "SHEB",
        ];
        if let Some(arch) = Self::ALL.into_iter().find(|arch| arch.oci_name() == name) {
            return Ok(Some(arch));
        }
        match name.strip_prefix("SCMP_ARCH_") {
            Some(short) if FOREIGN.contains(&short) => Ok(None),
            _ => Err(()),
        }
    }

    /// Whether a kernel of architecture `native` runs programs of this one.
    pub const fn runs_on(self, native: Self) -> bool {
        match self {
            Self::X86_64 | Self::X32 => matches!(native, Self::X86_64 | Self::X32),
            Self::X86 => matches!(native, Self::X86_64 | Self::X32 | Self::X86),
            Self::Aarch64 => matches!(native, Self::Aarch64),
            Self::Arm => matches!(native, Self::Aarch64 | Self::Arm),
        }
    }
}
