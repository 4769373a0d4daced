//! Files from web servers: whatever a URL gives, without a registry's credentials.

use std::io::{Read, Write};

use http1::Url;
use oci::Timestamp;

use crate::request::{Payload, Request};
use crate::server::{Server, Serves, Trust};
use crate::{Client, TransferError};

/// What came with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// How many bytes it has.
    pub size_bytes: u64,
    /// When the server says that it was changed.
    pub last_modified: Option<Timestamp>,
}

impl Client {
    /// Fetches an `http` or `https` URL, through redirects, into `out`.
    ///
    /// No credential is ever sent. [`TransferError::Document`] if it has more than `limit` bytes,
    /// [`TransferError::Status`] if the answer is another than 200.
    pub fn download(
        &self,
        url: &str,
        out: &mut dyn Write,
        limit: u64,
    ) -> Result<Downloaded, TransferError> {
        let refused = |why: String| TransferError::Document {
            what: "the file".into(),
            repository: url.to_owned(),
            why,
        };
        let url_parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        let server = Server {
            registry: url_parsed.origin.authority(),
            origin: url_parsed.origin.clone(),
            base: String::new(),
            trust: Trust::default(),
            may_be_clear: false,
            is_mirror: false,
            sent_by: None,
            fields: Vec::new(),
            path: None,
            serves: Serves::All,
        };
        let request = Request {
            what: "the file",
            repository: url,
            method: "GET",
            url: url_parsed,
            fields: Vec::new(),
            payload: Payload::None,
            scope: None,
            is_repeatable: true,
        };
        let response = self.exchange(&server, &request)?;
        if response.status != 200 {
            return Err(TransferError::Status {
                what: "the file".into(),
                repository: url.to_owned(),
                status: response.status,
                message: response.message(),
            });
        }
        let last_modified = response.fields.get("last-modified").and_then(http_date);
        let broken = |source| TransferError::Broken {
            what: "the file".into(),
            repository: url.to_owned(),
            times: 1,
            source,
        };
        let size_bytes = std::io::copy(&mut response.take(limit + 1), out).map_err(broken)?;
        if size_bytes > limit {
            return Err(refused(format!("it has more than {limit} bytes")));
        }
        Ok(Downloaded { size_bytes, last_modified })
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. RFC 9110, section 5.6.7; its two old forms are not read.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.trim().split_once(", ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, clock, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    format!("{year}-{month:02}-{day}T{clock}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn dates_of_http_are_read() {
        let seconds = |text| http_date(text).map(oci::Timestamp::unix_seconds);
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for text in ["", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
