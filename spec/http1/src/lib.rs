//! HTTP/1.1 messages: heads, the framing of bodies, URLs, and the header fields of registries.
//!
//! ```text
//! bytes -> read_head -> RequestHead | ResponseHead -> Body (chunked, counted, until the end) -> bytes
//! ```
//!
//! For both ends of a registry's protocol, over any reader and writer: no socket, no thread and no
//! TLS here. The grammar is RFC 9112's without what lets two readers see two messages: no folded
//! lines, no bare line feeds, no second `Content-Length`, no `Transfer-Encoding` beside one.
//! Every head is bounded ([`MAX_HEAD_BYTES`], [`MAX_FIELDS`]) before it is looked at.

mod body;
mod challenge;
mod fields;
mod head;
mod link;
mod range;
mod url;

pub use body::{Body, ChunkedWriter};
pub use challenge::Challenge;
pub use fields::Fields;
pub use head::{RequestHead, ResponseHead, read_head};
pub use link::{next_link, unquote};
pub use range::{ByteRange, ContentRange, Selected, content_range};
pub use url::{Origin, Scheme, Url, decode_component, encode_component};

/// The most bytes that a head may have, start line included.
pub const MAX_HEAD_BYTES: usize = 32 << 10;
/// The most fields that a head may have.
pub const MAX_FIELDS: usize = 100;

/// Why bytes are no message, or a text no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The head is longer than allowed.
    #[error("the message's head is longer than {MAX_HEAD_BYTES} bytes or {MAX_FIELDS} fields")]
    TooLong,
    /// The first line is that of no HTTP/1 message.
    #[error("{line:?} begins no HTTP/1.1 message")]
    StartLine {
        /// The line, cut and made printable.
        line: String,
    },
    /// A field that is not of the grammar.
    #[error("header field {line:?} is malformed")]
    Field {
        /// The line, cut and made printable.
        line: String,
    },
    /// The length of the body cannot be told for sure.
    #[error("the length of the message's body is ambiguous: {why}")]
    Framing {
        /// What contradicts what.
        why: &'static str,
    },
    /// Not an absolute http or https URL, or one with a user or a fragment.
    #[error("{text:?} is no http or https URL: {why}")]
    Url {
        /// The text, cut and made printable.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// At most 80 characters of what a stranger wrote, for an error.
fn shown(bytes: &[u8]) -> String {
    let mut text: String = String::from_utf8_lossy(bytes).chars().take(80).collect();
    if bytes.len() > text.len() {
        text.push_str("...");
    }
    text
}
