//! Names that nobody else has: for temporary files, trash and anonymous things.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// `N` bytes from the kernel's generator.
///
/// getrandom(2).
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            // Without flags the call fails only where it does not exist or a filter forbids it,
            // and a name that can be guessed would be worse than the end of the process.
            Err(errno) => panic!("the kernel gives no random numbers: {errno}"),
        }
    }
    bytes
}

/// `N` random bytes as `2 * N` lower-case hexadecimal digits.
pub fn random_hex<const N: usize>() -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    random_bytes::<N>()
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_are_hexadecimal_and_differ() {
        let name = random_hex::<16>();
        assert_eq!(name.len(), 32);
        assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(name, random_hex::<16>());
    }
}
