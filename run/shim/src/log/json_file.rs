//! Docker's format: an object of JSON a line.
//!
//! ```text
//! {"log":"text\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-11-21T10:00:00.5Z"}
//! ```
//!
//! `attrs` is absent when there are none. A part of a long line has no `\n` in `log`. Bytes that
//! are no UTF-8 are U+FFFD each.

use std::borrow::Cow;
use std::collections::BTreeMap;

use oci::Timestamp;
use serde::Deserialize;

use super::{Entry, Stream};

/// The constant part of a container's entries: `"attrs":{...},` or nothing.
pub(super) fn attributes(attributes: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in attributes {
        out.extend_from_slice(if out.is_empty() { b"\"attrs\":{\"" } else { b",\"" });
        escape(name.as_bytes(), &mut out);
        out.extend_from_slice(b"\":\"");
        escape(value.as_bytes(), &mut out);
        out.push(b'"');
    }
    if !out.is_empty() {
        out.extend_from_slice(b"},");
    }
    out
}

/// What follows the text of every entry that comes from one read.
pub(super) fn suffix(stream: Stream, attributes: &[u8], time: Timestamp) -> Vec<u8> {
    let stream = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let mut out = format!("\",\"stream\":\"{stream}\",").into_bytes();
    out.extend_from_slice(attributes);
    out.extend_from_slice(format!("\"time\":\"{time}\"}}\n").as_bytes());
    out
}

/// Appends an entry.
pub(super) fn encode(line: &[u8], suffix: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(line, out);
    out.extend_from_slice(suffix);
}

/// Which bytes stand for themselves.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

/// Appends text as the inside of a JSON string, with Docker's escapes.
fn escape(mut text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    loop {
        let plain = plain_prefix(text);
        out.extend_from_slice(&text[..plain]);
        text = &text[plain..];
        let Some((&byte, rest)) = text.split_first() else { return };
        let mut taken = 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x80 => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            _ => match character(byte, rest) {
                None => out.extend_from_slice(b"\\ufffd"),
                // Line ends to JavaScript.
                Some('\u{2028}') => {
                    out.extend_from_slice(b"\\u2028");
                    taken = 3;
                }
                Some('\u{2029}') => {
                    out.extend_from_slice(b"\\u2029");
                    taken = 3;
                }
                Some(char) => {
                    taken = char.len_utf8();
                    out.extend_from_slice(&text[..taken]);
                }
            },
        }
        text = &text[taken..];
    }
}

/// How many bytes at the start stand for themselves.
fn plain_prefix(text: &[u8]) -> usize {
    let is_plain = |byte: u8| -> bool {
        let special = (byte == b'"') | (byte == b'\\') | (byte == b'<') | (byte == b'>');
        !(special | (byte == b'&') | !(0x20..0x80).contains(&byte))
    };
    // Whole chunks with vector instructions, the rest by table.
    let (chunks, _) = text.as_chunks::<16>();
    let all_plain = |chunk: &&[u8; 16]| chunk.iter().fold(true, |all, byte| all & is_plain(*byte));
    let whole = chunks.iter().take_while(all_plain).count() * 16;
    let rest = text[whole..].iter().take_while(|byte| PLAIN[usize::from(**byte)]).count();
    whole + rest
}

/// The character that starts with `lead`; `None` if the bytes are none.
fn character(lead: u8, rest: &[u8]) -> Option<char> {
    let length = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut bytes = [lead, 0, 0, 0];
    bytes[1..length].copy_from_slice(rest.get(..length - 1)?);
    str::from_utf8(&bytes[..length]).ok()?.chars().next()
}

/// The entry in a line of a file; `None` if it is damaged.
pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow, default)]
        log: Cow<'a, str>,
        stream: Stream,
        #[serde(default)]
        attrs: BTreeMap<String, String>,
        #[serde(borrow)]
        time: Cow<'a, str>,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    Some(Entry {
        time: line.time.parse().ok()?,
        stream: line.stream,
        line: line.log.into_owned().into_bytes(),
        attributes: line.attrs.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Timestamp {
        "2026-11-21T10:00:00.12Z".parse().unwrap()
    }

    fn line(text: &[u8], attrs: &[(&str, &str)]) -> String {
        let attrs: Vec<_> = attrs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let mut out = Vec::new();
        encode(text, &suffix(Stream::Stdout, &attributes(&attrs), time()), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Written down from what Docker's json-file driver writes for the same bytes.
    #[test]
    fn entries_look_as_dockers() {
        let check = |text: &[u8], escaped: &str| {
            let wanted = format!(
                "{{\"log\":\"{escaped}\",\"stream\":\"stdout\",\
                 \"time\":\"2026-11-21T10:00:00.12Z\"}}\n"
            );
            assert_eq!(line(text, &[]), wanted);
            // However long what comes before is.
            for before in [15, 16, 17, 31, 33] {
                let before = "p".repeat(before);
                let text = [before.as_bytes(), text].concat();
                assert!(line(&text, &[]).contains(&format!("{before}{escaped}\"")));
            }
        };
        check(b"hello\n", "hello\\n");
        check(b"\r\n", "\\r\\n");
        check(b"a\tb\x1b[0m\0\x7f", "a\\u0009b\\u001b[0m\\u0000\x7f");
        check(br#"<a href="x">&\</a>"#, r#"\u003ca href=\"x\"\u003e\u0026\\\u003c/a\u003e"#);
        check("é€😀".as_bytes(), "é€😀");
        check("\u{2028}\u{2029}".as_bytes(), "\\u2028\\u2029");
        check(b"\xff\xc3(\xe2\x82", "\\ufffd\\ufffd(\\ufffd\\ufffd");
        check(b"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd");
        check(b"\xf0\x9f\x98", "\\ufffd\\ufffd\\ufffd");
        let attrs = line(b"x", &[("tag", "a\"b"), ("n", "1")]);
        assert!(attrs.contains(r#""stream":"stdout","attrs":{"tag":"a\"b","n":"1"},"time""#));
    }

    #[test]
    fn what_was_written_is_read() {
        let every: Vec<u8> = (0..=255).collect();
        for text in [&b"plain\n"[..], "é\u{2028}".as_bytes(), &every, b""] {
            let written = line(text, &[("b", "2"), ("a", "1")]);
            let entry = decode(written.trim_end().as_bytes()).unwrap();
            let attributes = [("a", "1"), ("b", "2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!((entry.time, entry.stream), (time(), Stream::Stdout));
            assert_eq!(entry.attributes, attributes);
            if let Ok(text) = str::from_utf8(text) {
                assert_eq!(entry.line, text.as_bytes());
            }
        }
        assert_eq!(decode(b"{\"log\":\"cut off"), None);
    }
}
