//! Lists that come page by page. distribution-spec 1.1.1, "Listing Tags" and "Listing Referrers".

use std::collections::HashSet;

use http1::Url;
use serde::de::DeserializeOwned;

use crate::document::MAX_BYTES;
use crate::response::Response;
use crate::{Repository, TransferError};

/// More pages than this no list has.
const MAX_PAGES: usize = 2_000;

impl Repository {
    /// Gives each page to `take`, which says whether it bears more of them.
    ///
    /// Gives the answer instead if the registry does not have the first page (404, or 400 and 405
    /// of those that do not have the list at all).
    pub(crate) fn pages<P: DeserializeOwned>(
        &self,
        what: &str,
        first: Url,
        accept: &str,
        mut take: impl FnMut(P) -> bool,
    ) -> Result<Option<Response>, TransferError> {
        let server = self.own_server();
        let scope = self.pull_scope(server);
        let refuse = |why: &str| TransferError::Document {
            what: what.to_owned(),
            repository: self.name.clone(),
            why: why.to_owned(),
        };
        let mut seen = HashSet::new();
        let mut url = first;
        loop {
            if !seen.insert(url.target.clone()) {
                return Err(refuse("its pages go in a circle"));
            }
            let mut request = self.get(what, url.clone(), &scope);
            request.fields.push(("Accept", accept.to_owned()));
            let response = self.client.exchange(server, &request)?;
            match response.status {
                200 if response.is_html() => return Err(self.html(what)),
                200 => {}
                400 | 404 | 405 if seen.len() == 1 => return Ok(Some(response)),
                _ => return Err(self.refusal(&request, response)),
            }
            let next = http1::next_link(&response.fields).map(str::to_owned);
            let bytes = response.into_bytes(MAX_BYTES).ok().flatten();
            let bytes = bytes.ok_or_else(|| refuse("it is cut or too long"))?;
            let page = serde_json::from_slice(&bytes).map_err(|_| refuse("it is no such list"))?;
            if !take(page) || seen.len() >= MAX_PAGES {
                return Err(refuse("it has no end"));
            }
            let Some(next) = next else { return Ok(None) };
            let target = url.resolve(&next).map_err(|_| refuse("its next page is nowhere"))?;
            if target.origin != server.origin {
                return Err(refuse("its next page is another server's"));
            }
            url = target;
        }
    }
}
