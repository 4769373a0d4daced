//! Heads: the first line and the fields, read and written.

use std::io::{self, BufRead};

use crate::{Body, Fields, HttpError, MAX_HEAD_BYTES, shown};

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET`, `PUT`...
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// Whether the version is 1.1 and not 1.0.
    pub is_1_1: bool,
    /// The header fields.
    pub fields: Fields,
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// 200, 404...
    pub status: u16,
    /// Whether the version is 1.1 and not 1.0.
    pub is_1_1: bool,
    /// The header fields.
    pub fields: Fields,
}

/// Reads a head up to its empty line; `None` if the stream ends before its first byte.
///
/// `InvalidData` with an [`HttpError`] inside if it is too long, `UnexpectedEof` if it is cut.
pub fn read_head(source: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(512);
    loop {
        let buffer = match source.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return match head.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        // The end may lie across two reads: look at the last three bytes again.
        let (seen, taken) = (head.len().saturating_sub(3), head.len());
        let room = MAX_HEAD_BYTES + 4 - head.len();
        head.extend_from_slice(&buffer[..buffer.len().min(room)]);
        let added = head.len() - taken;
        if let Some(at) = head[seen..].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let end = seen + at + 4;
            source.consume(end - taken);
            head.truncate(end);
            return Ok(Some(head));
        }
        source.consume(added);
        if head.len() >= MAX_HEAD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, HttpError::TooLong));
        }
    }
}

impl RequestHead {
    /// A request for `target`, which is a path and perhaps a query.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.into(), target: target.into(), is_1_1: true, fields: Fields::new() }
    }

    /// Parses what [`read_head`] gave.
    pub fn parse(head: &[u8]) -> Result<Self, HttpError> {
        let (line, fields) = lines(head)?;
        let refuse = || HttpError::StartLine { line: shown(line) };
        let text = std::str::from_utf8(line).map_err(|_| refuse())?;
        let mut parts = text.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
        let is_target = target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic());
        if !is_method || !is_target {
            return Err(refuse());
        }
        let is_1_1 = is_1_1(version).ok_or_else(refuse)?;
        Ok(Self { method: method.into(), target: target.into(), is_1_1, fields })
    }

    /// The bytes of the head.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        self.fields.write(&mut out);
        out
    }

    /// How the body is framed. Without a length there is none.
    pub fn body(&self) -> Result<Body, HttpError> {
        match (is_chunked(&self.fields)?, self.fields.content_length()?) {
            (true, _) => Ok(Body::chunked()),
            (false, length) => Ok(Body::counted(length.unwrap_or(0))),
        }
    }

    /// Whether the connection may be used again.
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.is_1_1, &self.fields)
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The decoded value of a parameter of the query; the first, if there are several.
    ///
    /// `None` if it is not there or is no text once decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).next()
    }

    /// The decoded values of all parameters of this name; what is no text is left out.
    pub fn parameters(&self, name: &str) -> impl Iterator<Item = String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| crate::decode_component(value))?
        })
    }
}

impl ResponseHead {
    /// A response without fields.
    pub fn new(status: u16) -> Self {
        Self { status, is_1_1: true, fields: Fields::new() }
    }

    /// Parses what [`read_head`] gave.
    pub fn parse(head: &[u8]) -> Result<Self, HttpError> {
        let (line, fields) = lines(head)?;
        let refuse = || HttpError::StartLine { line: shown(line) };
        let (version, rest) = line.split_at_checked(8).ok_or_else(refuse)?;
        let is_1_1 = std::str::from_utf8(version).ok().and_then(is_1_1).ok_or_else(refuse)?;
        let code = match rest {
            [b' ', code @ ..] if code.len() == 3 || code.get(3) == Some(&b' ') => &code[..3],
            _ => return Err(refuse()),
        };
        if !code.iter().all(u8::is_ascii_digit) {
            return Err(refuse());
        }
        let status = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        if status < 100 {
            return Err(refuse());
        }
        Ok(Self { status, is_1_1, fields })
    }

    /// The bytes of the head.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        self.fields.write(&mut out);
        out
    }

    /// How the body is framed in the answer to a request with this method.
    pub fn body(&self, method: &str) -> Result<Body, HttpError> {
        let chunked = is_chunked(&self.fields)?;
        let length = self.fields.content_length()?;
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Ok(Body::counted(0));
        }
        Ok(match (chunked, length) {
            (true, _) => Body::chunked(),
            (false, Some(length)) => Body::counted(length),
            (false, None) => Body::until_close(),
        })
    }

    /// Whether the connection may be used again, once the body is read.
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.is_1_1, &self.fields)
    }
}

/// The first line, and the fields parsed. A line feed without its carriage return ends no line,
/// and is refused as the control character that it is.
fn lines(head: &[u8]) -> Result<(&[u8], Fields), HttpError> {
    let mut rest = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut next = || match rest.windows(2).position(|bytes| bytes == b"\r\n") {
        Some(end) => {
            let line = &rest[..end];
            rest = &rest[end + 2..];
            line
        }
        None => std::mem::take(&mut rest),
    };
    let first = next();
    if first.iter().any(u8::is_ascii_control) {
        return Err(HttpError::StartLine { line: shown(first) });
    }
    let mut fields = Fields::new();
    loop {
        match next() {
            b"" => return Ok((first, fields)),
            line => fields.parse_line(line)?,
        }
    }
}

fn is_1_1(version: &str) -> Option<bool> {
    match version {
        "HTTP/1.1" => Some(true),
        "HTTP/1.0" => Some(false),
        _ => None,
    }
}

fn is_chunked(fields: &Fields) -> Result<bool, HttpError> {
    let mut codings = fields.all("transfer-encoding");
    let Some(coding) = codings.next() else { return Ok(false) };
    if codings.next().is_some() || !coding.eq_ignore_ascii_case("chunked") {
        return Err(HttpError::Framing { why: "the transfer coding is not chunked alone" });
    }
    if fields.get("content-length").is_some() {
        return Err(HttpError::Framing { why: "it is chunked and has a Content-Length" });
    }
    Ok(true)
}

fn keeps_alive(is_1_1: bool, fields: &Fields) -> bool {
    match is_1_1 {
        true => !fields.lists("connection", "close"),
        false => fields.lists("connection", "keep-alive"),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<RequestHead, HttpError> {
        RequestHead::parse(text.as_bytes())
    }

    #[test]
    fn heads_are_read_across_any_cut() {
        let text = b"GET /v2/?a=%41&b HTTP/1.1\r\nHost: x\r\nAccept:  y \r\n\r\nbody";
        for size in 1..12 {
            let mut source = io::BufReader::with_capacity(size, &text[..]);
            let head = read_head(&mut source).unwrap().unwrap();
            let head = RequestHead::parse(&head).unwrap();
            assert_eq!((head.path(), head.fields.get("accept")), ("/v2/", Some("y")));
            assert_eq!(head.parameter("a").as_deref(), Some("A"));
            assert_eq!(head.parameter("b").as_deref(), Some(""));
            assert_eq!(head.parameter("c"), None);
            let mut rest = String::new();
            io::Read::read_to_string(&mut source, &mut rest).unwrap();
            assert_eq!(rest, "body", "{size}");
        }
        assert!(read_head(&mut &b""[..]).unwrap().is_none());
        assert!(read_head(&mut &b"GET"[..]).is_err());
        assert!(read_head(&mut io::BufReader::new(io::repeat(b'a'))).is_err());
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
            "GET / HTTP/1.1\nA: b\r\n\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "get / HTTP/1.1\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            let parsed = request(text).map(|head| head.fields.iter().count());
            assert!(parsed.is_err(), "{text:?}: {parsed:?}");
        }
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
        ] {
            let head = request(&format!("PUT / HTTP/1.1\r\n{fields}\r\n")).unwrap();
            assert!(matches!(head.body(), Err(HttpError::Framing { .. })), "{fields}");
        }
    }

    #[test]
    fn responses_parse() {
        for (line, want) in [
            ("HTTP/1.1 200 OK", Some(200)),
            ("HTTP/1.1 404", Some(404)),
            ("HTTP/1.0 204 ", Some(204)),
            ("HTTP/1.1 20 OK", None),
            ("HTTP/1.1 2000", None),
            ("HTTP/1.1 099 x", None),
            ("HTTP/2 200", None),
            ("<html>", None),
        ] {
            let parsed = ResponseHead::parse(format!("{line}\r\n\r\n").as_bytes());
            assert_eq!(parsed.ok().map(|head| head.status), want, "{line}");
        }
    }
}
