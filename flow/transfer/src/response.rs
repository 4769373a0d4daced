//! An answer, and what its text says.

use std::io::{self, Read};

use http1::{Body, Fields, HttpError, ResponseHead, Url};

use crate::Client;
use crate::connect::Connection;

/// An answer whose body is still on its way. Read to its end, its connection is used again.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    /// Where it came from, after redirects.
    pub(crate) url: Url,
    body: Body,
    connection: Option<Connection>,
    keeps_alive: bool,
    client: Client,
}

/// What is read of the text of an error.
const MAX_ERROR_BYTES: u64 = 64 << 10;

impl Response {
    /// What stands behind a head that came over `connection`, in answer to `method`.
    pub(crate) fn new(
        head: ResponseHead,
        method: &str,
        url: &Url,
        connection: Connection,
        client: &Client,
    ) -> Result<Self, HttpError> {
        let body = head.body(method)?;
        let mut response = Self {
            status: head.status,
            keeps_alive: head.keeps_alive(),
            fields: head.fields,
            url: url.clone(),
            body,
            connection: Some(connection),
            client: client.clone(),
        };
        response.release_if_done();
        Ok(response)
    }

    /// How many bytes the body has, if the server says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// Whether it claims to be a page for people.
    pub(crate) fn is_html(&self) -> bool {
        matches!(self.fields.media_type().as_deref(), Some("text/html" | "application/xhtml+xml"))
    }

    /// The whole body, or `None` if it has more than `limit` bytes.
    pub(crate) fn into_bytes(mut self, limit: u64) -> io::Result<Option<Vec<u8>>> {
        if self.length().is_some_and(|length| length > limit) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        (&mut self).take(limit + 1).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    /// Reads what is left, if it is little, so that the connection can be used again.
    pub(crate) fn drain(mut self) -> io::Result<u64> {
        io::copy(&mut (&mut self).take(MAX_ERROR_BYTES), &mut io::sink())
    }

    /// What the registry says is wrong: the messages of the distribution-spec's errors, else the
    /// status alone. What steers a terminal is taken out by whoever prints it.
    pub(crate) fn message(self) -> String {
        let status = self.status;
        let bytes = self.into_bytes(MAX_ERROR_BYTES).ok().flatten().unwrap_or_default();
        message_of(&bytes).unwrap_or_else(|| format!("status {status}"))
    }

    fn release_if_done(&mut self) {
        if self.body.is_done()
            && let Some(connection) = self.connection.take()
            && self.keeps_alive
        {
            self.client.inner.pool.keep(connection);
        }
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        match connection.read_body(&mut self.body, buffer) {
            Ok(count) => {
                self.release_if_done();
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.connection = None;
                    self.keeps_alive = false;
                }
                Err(error)
            }
        }
    }
}

/// The messages in `{"errors": [{"code", "message", "detail"}]}`, or in what token servers say.
fn message_of(bytes: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |value: &serde_json::Value, key: &str| {
        Some(value.get(key)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
    };
    let Some(errors) = document.get("errors").and_then(serde_json::Value::as_array) else {
        return text(&document, "details").or_else(|| text(&document, "message"));
    };
    let one = |error: &serde_json::Value| {
        let code = text(error, "code").map(|code| code.to_lowercase().replace('_', " "));
        match (code, text(error, "message")) {
            (Some(code), Some(message)) if code != message => Some(format!("{code}: {message}")),
            (code, message) => message.or(code),
        }
    };
    let messages: Vec<String> = errors.iter().filter_map(one).take(5).collect();
    (!messages.is_empty()).then(|| messages.join("; ").chars().take(1000).collect())
}
