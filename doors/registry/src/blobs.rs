//! Blobs: sent whole or in part, by the kernel.

use http1::{ByteRange, Selected};
use oci::Digest;

use crate::Registry;
use crate::conversation::Request;
use crate::names::Name;
use crate::reply::{Answer, Refusal, Reply, ReplyBody};

impl Registry {
    /// Only through a repository that has it: to have seen its digest is no right to its bytes.
    pub(crate) fn get_blob(&self, request: &Request<'_>, name: &Name, digest: &Digest) -> Answer {
        if !self.shelf.has_blob(name, digest) {
            match &self.upstream {
                Some(upstream) => upstream.bring_blob(&self.shelf, name, digest)?,
                None => return Err(Refusal::blob_unknown()),
            }
        }
        if request.head.method == "HEAD" {
            // Whoever is about to push a manifest looks whether it is here, and then relies on it.
            self.shelf.touch_blob(name, digest, self.config.gc_grace / 2);
        }
        let file = self.shelf.content.open_blob(digest)?;
        let size = file.metadata()?.len();
        let range = request.head.fields.get("range").and_then(ByteRange::parse);
        let (status, start, length) = match range.map(|range| range.of(size)) {
            None => (200, 0, size),
            Some(Selected::Part { start, length }) => (206, start, length),
            Some(Selected::Nothing) => {
                return Err(Refusal::new(416, "SIZE_INVALID", "there are no such bytes")
                    .with("Content-Range", format!("bytes */{size}")));
            }
        };
        let mut reply = Reply::new(status)
            .with("Content-Type", "application/octet-stream")
            .with("Docker-Content-Digest", digest.to_string())
            .with("ETag", format!("\"{digest}\""))
            .with("Cache-Control", "max-age=31536000")
            .with("Accept-Ranges", "bytes");
        if status == 206 {
            let last = start + length - 1;
            reply = reply.with("Content-Range", format!("bytes {start}-{last}/{size}"));
        }
        reply.body = ReplyBody::File { file, start, length };
        Ok(reply)
    }

    /// Takes it from the repository; its bytes go when no other one has it.
    pub(crate) fn delete_blob(&self, name: &Name, digest: &Digest) -> Answer {
        match self.shelf.unlink_blob(name, digest)? {
            true => Ok(Reply::new(202).with("Docker-Content-Digest", digest.to_string())),
            false => Err(Refusal::blob_unknown()),
        }
    }
}
