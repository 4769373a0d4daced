//! A finished filter as bytes, for the way from the process that has it to the one that loads it.
//!
//! ```text
//! flags u32 le | listener u8 | 3 bytes of 0 | instructions, 8 bytes each, in machine order
//! ```
//!
//! Both ends are the same program on the same machine; this is no file format.

use crate::Program;

impl Program {
    /// The filter's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.instructions().len() * 8);
        bytes.extend_from_slice(&self.flags().to_le_bytes());
        bytes.extend_from_slice(&[u8::from(self.has_listener()), 0, 0, 0]);
        self.instructions().iter().for_each(|one| bytes.extend_from_slice(one));
        bytes
    }

    /// The filter whose bytes these are; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[a, b, c, d, listener, 0, 0, 0], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (instructions, []) = rest.as_chunks::<8>() else { return None };
        let listener = match listener {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self::new(instructions.to_vec(), u32::from_le_bytes([a, b, c, d]), listener))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_same_after_the_journey() {
        let filter = Program::new(vec![[1; 8], [2; 8]], 0x8000_0001, true);
        let bytes = filter.to_bytes();
        assert_eq!(Program::from_bytes(&bytes), Some(filter));
        for end in [0, 7, 9, 23] {
            assert_eq!(Program::from_bytes(&bytes[..end]), None);
        }
    }
}
