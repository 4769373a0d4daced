//! Detach keys: the sequence that leaves a container, looked for in what is typed.

use std::collections::VecDeque;

/// A sequence of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    /// `ctrl-p,ctrl-q`.
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl DetachKeys {
    /// Parses keys between commas: a single letter, `ctrl-` and a letter or one of `@ [ \ ] ^ _`,
    /// or `DEL`. Nothing at all is the default.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys = text.split(',').map(|key| match key.as_bytes() {
            [single] => Ok(*single),
            b"DEL" => Ok(127),
            [b'c', b't', b'r', b'l', b'-', letter @ (b'a'..=b'z')] => Ok(letter - b'a' + 1),
            [b'c', b't', b'r', b'l', b'-', sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => {
                Ok(sign - b'@')
            }
            _ => Err(format!("invalid detach keys ({text}): Unknown character: '{key}'")),
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// No keys: there is no leaving.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Starts to look for the sequence.
    pub(crate) fn matcher(&self) -> Matcher<'_> {
        Matcher { keys: &self.0, held: VecDeque::new() }
    }
}

/// Looks for a sequence in bytes that come in pieces.
#[derive(Debug)]
pub(crate) struct Matcher<'a> {
    keys: &'a [u8],
    /// Typed, and so far the beginning of the sequence.
    held: VecDeque<u8>,
}

impl Matcher<'_> {
    /// How many bytes are held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Passes on what is no part of the sequence; `true` when the sequence is complete, and then
    /// what follows it is dropped.
    pub(crate) fn feed(&mut self, bytes: &[u8], passed: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            passed.extend_from_slice(bytes);
            return false;
        }
        for byte in bytes {
            self.held.push_back(*byte);
            while !self.keys.iter().zip(&self.held).all(|(key, held)| key == held) {
                passed.extend(self.held.pop_front());
            }
            if self.held.len() == self.keys.len() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_dockers() {
        for (text, want) in [
            ("", Ok(vec![16, 17])),
            ("a", Ok(vec![b'a'])),
            ("ctrl-a,d", Ok(vec![1, b'd'])),
            ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", Ok(vec![0, 27, 28, 29, 30, 31])),
            ("DEL", Ok(vec![127])),
            ("ctrl-", Err("invalid detach keys (ctrl-): Unknown character: 'ctrl-'")),
            ("ctrl-A", Err("invalid detach keys (ctrl-A): Unknown character: 'ctrl-A'")),
            ("a,,b", Err("invalid detach keys (a,,b): Unknown character: ''")),
        ] {
            let want = want.map(DetachKeys).map_err(str::to_owned);
            assert_eq!(DetachKeys::parse(text), want, "{text}");
        }
    }

    #[test]
    fn without_keys_all_passes_through() {
        let (keys, mut passed) = (DetachKeys::none(), Vec::new());
        assert!(!keys.matcher().feed(b"\x10\x11", &mut passed));
        assert_eq!(passed, b"\x10\x11");
    }

    #[test]
    fn a_sequence_that_is_broken_off_passes_through() {
        for (keys, pieces, want, left) in [
            ("ctrl-p,ctrl-q", vec![&b"ab\x10"[..], b"\x11cd"], &b"ab"[..], true),
            ("ctrl-p,ctrl-q", vec![b"\x10", b"x"], b"\x10x", false),
            ("ctrl-p,ctrl-q", vec![b"\x10\x10\x11"], b"\x10", true),
            ("ctrl-p,ctrl-q", vec![b"\x11\x10"], b"\x11", false),
            ("a,a,b", vec![b"a", b"a", b"a", b"b"], b"a", true),
            ("x", vec![b"abx"], b"ab", true),
        ] {
            let keys = DetachKeys::parse(keys).unwrap();
            let mut matcher = keys.matcher();
            let mut passed = Vec::new();
            let mut found = false;
            for piece in pieces {
                found = matcher.feed(piece, &mut passed);
            }
            assert_eq!((passed.as_slice(), found), (want, left), "{keys:?}");
        }
    }
}
