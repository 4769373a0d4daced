//! Cutting a stream of bytes into lines.

use super::MAX_LINE_BYTES;

/// Holds the beginning of a line until the rest has come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and hands on each line with its line feed, and each full part of a longer
    /// line without one.
    ///
    /// A part ends between two characters where the bytes are UTF-8; Docker cuts through them.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.pending.len();
            let window = &bytes[..room.min(bytes.len())];
            if let Some(end) = find_line_feed(window) {
                let (line, rest) = bytes.split_at(end + 1);
                bytes = rest;
                if self.pending.is_empty() {
                    take(line);
                } else {
                    self.pending.extend_from_slice(line);
                    take(&self.pending);
                    self.pending.clear();
                }
            } else if window.len() < room {
                self.pending.extend_from_slice(window);
                return;
            } else if self.pending.is_empty() {
                let (part, rest) = bytes.split_at(character_end(window));
                bytes = rest;
                take(part);
            } else {
                bytes = &bytes[room..];
                self.pending.extend_from_slice(window);
                let end = character_end(&self.pending);
                take(&self.pending[..end]);
                self.pending.drain(..end);
            }
        }
    }

    /// Hands on the beginning of a line that will never end.
    pub(super) fn finish(&mut self, mut take: impl FnMut(&[u8])) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            take(&pending);
        }
    }

    /// Gives memory back.
    pub(super) fn release(&mut self) {
        self.pending.shrink_to_fit();
    }
}

/// Where the first line feed is.
pub(super) fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    // Whole chunks are told apart with a few vector instructions that every x86-64 has; a search
    // by byte takes several times as long, and one that looks for better instructions first
    // pays for that at start.
    let (chunks, rest) = bytes.as_chunks::<32>();
    let has = |chunk: &[u8; 32]| chunk.iter().fold(false, |found, byte| found | (*byte == b'\n'));
    let within = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n');
    match chunks.iter().position(has) {
        Some(index) => within(&chunks[index]).map(|at| index * 32 + at),
        None => within(rest).map(|at| chunks.len() * 32 + at),
    }
}

/// The end of the last whole character, if the bytes end within one; otherwise their end.
fn character_end(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let Some(lead) = bytes[tail..].iter().rposition(|byte| *byte >= 0xc0) else {
        return bytes.len();
    };
    let lead = tail + lead;
    let length = match bytes[lead] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return bytes.len(),
    };
    let rest = &bytes[lead + 1..];
    let is_cut = lead + length > bytes.len() && rest.iter().all(|byte| byte & 0xc0 == 0x80);
    if is_cut && lead > 0 { lead } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for piece in pieces {
            lines.feed(piece, |line| all.push(line.to_vec()));
        }
        lines.finish(|line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\n\ntwo\r\nthree".as_slice();
        let wanted = ["one\n", "\n", "two\r\n", "three"].map(|line| line.as_bytes().to_vec());
        assert_eq!(cut(&[text]), wanted);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]]), wanted);
        }
        assert_eq!(cut(&text.chunks(1).collect::<Vec<_>>()), wanted);
    }

    #[test]
    fn long_lines_come_in_parts() {
        let long = vec![b'x'; MAX_LINE_BYTES * 2 + 5];
        let lengths = |pieces: &[&[u8]]| cut(pieces).iter().map(Vec::len).collect::<Vec<_>>();
        let wanted = [MAX_LINE_BYTES, MAX_LINE_BYTES, 5];
        assert_eq!(lengths(&[&long]), wanted);
        assert_eq!(lengths(&long.chunks(1000).collect::<Vec<_>>()), wanted);
        // As Docker: the line feed after a full part is an entry of its own.
        let full = [&long[..MAX_LINE_BYTES], b"\n"].concat();
        assert_eq!(lengths(&[&full]), [MAX_LINE_BYTES, 1]);
        assert_eq!(lengths(&[&full[1..]]), [MAX_LINE_BYTES]);
    }

    #[test]
    fn characters_are_not_cut() {
        for character in ["é", "€", "😀"] {
            for shift in 0..4 {
                let text = "x".repeat(shift) + &character.repeat(MAX_LINE_BYTES);
                let parts = cut(&text.as_bytes().chunks(999).collect::<Vec<_>>());
                assert!(parts.iter().all(|part| str::from_utf8(part).is_ok()));
                assert!(parts.concat() == text.as_bytes());
                assert!(parts[0].len() > MAX_LINE_BYTES - 4);
            }
        }
        for odd in [0x80, 0xff, 0xc0] {
            assert_eq!(cut(&[&vec![odd; MAX_LINE_BYTES]])[0].len(), MAX_LINE_BYTES);
        }
    }

    #[test]
    fn the_first_line_feed_is_found() {
        for at in 0..200 {
            let mut bytes = vec![b'.'; 200];
            assert_eq!(find_line_feed(&bytes[..at]), None);
            bytes[at..].fill(b'\n');
            assert_eq!(find_line_feed(&bytes), Some(at));
        }
    }
}
