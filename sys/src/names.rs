//! Names that nobody else has: for temporary files, trash and anonymous things.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
    hex(&random_bytes::<N>())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// The bytes of a container's id, whose digits are twice as many.
const ID_BYTES: usize = 32;

/// The text of a symbolic link that stands for the container with this id of 64 hexadecimal
/// digits: its bytes in base64url without padding (RFC 4648, section 5), 43 characters. Anything
/// else stays what it is.
///
/// ext4 keeps 59 characters in the link's inode. For more it takes a block, and ten times as long
/// to give that back.
pub fn link_text(id: &str) -> String {
    let digit = |place: usize| match id.as_bytes()[place] {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        letter @ b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    let byte = |place: usize| Some(digit(2 * place)? << 4 | digit(2 * place + 1)?);
    let bytes = (id.len() == 2 * ID_BYTES)
        .then(|| (0..ID_BYTES).map(byte).collect::<Option<Vec<u8>>>())
        .flatten();
    bytes.map_or_else(|| id.to_owned(), |bytes| URL_SAFE_NO_PAD.encode(bytes))
}

/// The id that the text of such a link stands for: what [`link_text`] was given.
pub fn id_of_link(text: &str) -> String {
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) if bytes.len() == ID_BYTES => hex(&bytes),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_into_a_links_inode() {
        let id = random_hex::<32>();
        let text = link_text(&id);
        assert_eq!(text.len(), 43);
        assert_eq!(id_of_link(&text), id);
        // As links of before have it, and what is none.
        assert_eq!(id_of_link(&id), id);
        for other in ["", "web", &"x".repeat(64), &"A".repeat(64)] {
            assert_eq!(link_text(other), other);
            assert_eq!(id_of_link(other), other);
        }
    }

    #[test]
    fn random_names_are_hexadecimal_and_differ() {
        let name = random_hex::<16>();
        assert_eq!(name.len(), 32);
        assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(name, random_hex::<16>());
    }
}
