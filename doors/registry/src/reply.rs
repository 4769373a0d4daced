//! Answers: what is sent back, and refusals in the distribution-spec's words.

use std::fs::File;

use http1::ResponseHead;
use serde_json::json;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: ResponseHead,
    pub(crate) body: ReplyBody,
}

/// What goes with it.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    Bytes(Vec<u8>),
    /// A part of a file, which the kernel sends.
    File {
        file: File,
        start: u64,
        length: u64,
    },
}

/// An answer that says no. distribution-spec 1.1.1, "Error Codes".
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    /// For the log, not for the one who asked.
    pub(crate) cause: Option<String>,
}

/// What a handler comes to.
pub(crate) type Answer = Result<Reply, Refusal>;

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { head: ResponseHead::new(status), body: ReplyBody::Bytes(Vec::new()) }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.head.fields.set(name, value);
        self
    }

    pub(crate) fn bytes(mut self, kind: &str, bytes: Vec<u8>) -> Self {
        self.head.fields.set("Content-Type", kind);
        self.body = ReplyBody::Bytes(bytes);
        self
    }

    pub(crate) fn json(self, value: &serde_json::Value) -> Self {
        self.bytes("application/json", value.to_string().into_bytes())
    }

    pub(crate) fn length(&self) -> u64 {
        match &self.body {
            ReplyBody::Bytes(bytes) => bytes.len() as u64,
            ReplyBody::File { length, .. } => *length,
        }
    }
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fields: Vec::new(), cause: None }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Something here failed; who asked learns no more than that.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        let mut refusal = Self::new(500, "UNKNOWN", "the registry failed: its log says why");
        refusal.cause = Some(cause.to_string());
        refusal
    }

    pub(crate) fn blob_unknown() -> Self {
        Self::new(404, "BLOB_UNKNOWN", "blob unknown to registry")
    }

    pub(crate) fn manifest_unknown() -> Self {
        Self::new(404, "MANIFEST_UNKNOWN", "manifest unknown")
    }

    pub(crate) fn manifest_invalid(why: impl Into<String>) -> Self {
        Self::new(400, "MANIFEST_INVALID", why)
    }

    pub(crate) fn unsupported(why: &str) -> Self {
        Self::new(405, "UNSUPPORTED", why)
    }

    pub(crate) fn into_reply(self) -> Reply {
        let error = json!({"code": self.code, "message": self.message});
        let mut reply = Reply::new(self.status).json(&json!({"errors": [error]}));
        for (name, value) in self.fields {
            reply.head.fields.set(name, value);
        }
        reply
    }
}

impl From<content::ContentError> for Refusal {
    fn from(error: content::ContentError) -> Self {
        match error {
            content::ContentError::NotFound { .. } => Self::blob_unknown(),
            content::ContentError::Mismatch { .. } | content::ContentError::Size { .. } => {
                Self::new(400, "DIGEST_INVALID", error.to_string())
            }
            error => Self::internal(with_causes(&error)),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error)
    }
}

/// An error and its causes.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
