//! Messages of D-Bus: what is sent, and as much as is needed of what comes.
//!
//! ```text
//! 'l' kind flags 1 | u32 length of the body | u32 serial | array of (field, variant) | pad 8 | body
//! ```
//!
//! D-Bus specification 0.43, "Message Format".

use super::value::{Value, pad, signature, string};

/// A method to call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    pub(crate) destination: &'static str,
    pub(crate) path: &'static str,
    pub(crate) interface: &'static str,
    pub(crate) name: &'static str,
}

impl Method {
    /// The bytes of a call.
    pub(crate) fn call(&self, serial: u32, arguments: &[Value]) -> Vec<u8> {
        let mut body = Vec::new();
        for argument in arguments {
            argument.write(&mut body);
        }
        let kinds: String = arguments.iter().map(Value::signature).collect();
        let mut out = vec![b'l', CALL, 0, 1];
        out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(serial.to_le_bytes());
        out.extend([0; 4]);
        let fields = [
            (PATH, "o", self.path),
            (DESTINATION, "s", self.destination),
            (INTERFACE, "s", self.interface),
            (MEMBER, "s", self.name),
        ];
        for (field, kind, text) in fields {
            pad(&mut out, 8);
            out.push(field);
            signature(&mut out, kind);
            string(&mut out, text);
        }
        if !kinds.is_empty() {
            pad(&mut out, 8);
            out.push(SIGNATURE);
            signature(&mut out, "g");
            signature(&mut out, &kinds);
        }
        let length = u32::try_from(out.len() - HEAD).unwrap_or(u32::MAX);
        out[HEAD - 4..HEAD].copy_from_slice(&length.to_le_bytes());
        pad(&mut out, 8);
        out.extend(body);
        out
    }
}

/// The fixed part, with the length of the fields.
pub(crate) const HEAD: usize = 16;

const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A message that came.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// The name of a signal.
    pub(crate) member: String,
    body: Vec<u8>,
}

/// What a message is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An answer to the call of that serial.
    Return(u32),
    /// A refusal, with its name.
    Error(u32, String),
    Signal,
    /// A call, or something to come.
    #[default]
    Other,
}

/// The length of a whole message whose first [`HEAD`] bytes are `head`; `None` if it is no message
/// that we understand.
pub(crate) fn length(head: &[u8; HEAD]) -> Option<usize> {
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if head[0] != b'l' || head[3] != 1 {
        return None;
    }
    let (body, fields) = (word(4) as usize, word(12) as usize);
    let length = (HEAD + fields).next_multiple_of(8) + body;
    (length <= LONGEST).then_some(length)
}

/// Nothing that systemd tells us comes near it.
const LONGEST: usize = 1 << 20;

impl Message {
    /// Takes a whole message apart; `None` if it is malformed.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes, at: HEAD - 4 };
        let end = HEAD + reader.u32()? as usize;
        let (mut reply, mut error) = (0, String::new());
        let mut message =
            Self { body: bytes.get(end.next_multiple_of(8)..)?.to_vec(), ..Self::default() };
        while reader.at < end {
            reader.align(8);
            let field = reader.byte()?;
            match (field, reader.signature()?.as_str()) {
                (REPLY_SERIAL, "u") => reply = reader.u32()?,
                (ERROR_NAME, "s") => error = reader.text()?,
                (MEMBER, "s") => message.member = reader.text()?,
                (_, "s" | "o") => drop(reader.text()?),
                (_, "u") => drop(reader.u32()?),
                (_, "g") => drop(reader.signature()?),
                _ => return None,
            }
        }
        message.kind = match *bytes.get(1)? {
            RETURN => Kind::Return(reply),
            ERROR => Kind::Error(reply, error),
            SIGNAL => Kind::Signal,
            _ => Kind::Other,
        };
        Some(message)
    }

    /// The values of the body, one after another.
    pub(crate) fn body(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// Reads values in their order.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// A string or an object path.
    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        self.bytes_to_text(length)
    }

    pub(crate) fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.bytes_to_text(length)
    }

    fn bytes_to_text(&mut self, length: usize) -> Option<String> {
        let end = self.at.checked_add(length)?;
        let text = str::from_utf8(self.bytes.get(self.at..end)?).ok()?.to_owned();
        self.at = end + 1;
        Some(text)
    }

    /// A variant that holds a string.
    pub(crate) fn text_in_variant(&mut self) -> Option<String> {
        match self.signature()?.as_str() {
            "s" | "o" => self.text(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHOD: Method =
        Method { destination: "a.b", path: "/a/b", interface: "a.c", name: "Do" };

    #[test]
    fn what_is_written_is_read() {
        let bytes = METHOD.call(7, &[Value::U32(5), Value::text("x"), Value::text("y").variant()]);
        let head: [u8; HEAD] = bytes[..HEAD].try_into().unwrap();
        assert_eq!(length(&head), Some(bytes.len()));
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (Kind::Other, "Do"));
        let message = Message::parse(&bytes).unwrap();
        let mut body = message.body();
        assert_eq!((body.u32(), body.text()), (Some(5), Some("x".into())));
        assert_eq!(body.text_in_variant().as_deref(), Some("y"));
        assert_eq!(body.u32(), None);
    }

    /// Whatever is cut off or turned over is refused, and nothing panics.
    #[test]
    fn broken_messages_are_refused() {
        let bytes = METHOD.call(7, &[Value::text("hello")]);
        // The NUL at the end may be missed.
        for end in HEAD..bytes.len() - 1 {
            let message = Message::parse(&bytes[..end]);
            assert!(message.is_none_or(|message| message.body().text().is_none()), "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = bytes.clone();
                broken[at] = value;
                let head: [u8; HEAD] = broken[..HEAD].try_into().unwrap();
                let _ = length(&head);
                let _ = Message::parse(&broken).map(|message| message.body().text());
            }
        }
        let mut long = bytes;
        long[7] = 0xff;
        assert_eq!(length(long[..HEAD].try_into().unwrap()), None);
    }
}
