//! Lists of tags and of repositories, page by page.

use serde_json::json;

use crate::access::Principal;
use crate::conversation::Request;
use crate::names::Name;
use crate::reply::{Answer, Refusal, Reply};
use crate::{Registry, Verb};

/// The most entries of a page, whatever is asked for.
const MAX_PAGE: usize = 1000;

impl Registry {
    pub(crate) fn list_tags(&self, request: &Request<'_>, name: &Name) -> Answer {
        if !self.shelf.exists(name) {
            return Err(Refusal::new(404, "NAME_UNKNOWN", "repository name not known to registry"));
        }
        let tags = self.shelf.tags(name)?;
        let tags = tags.into_iter().map(|tag| tag.as_str().to_owned()).collect();
        let (page, next) = page(request, tags)?;
        let reply = Reply::new(200).json(&json!({"name": name.as_str(), "tags": page}));
        Ok(linked(reply, &format!("/v2/{name}/tags/list"), next))
    }

    /// The repositories that somebody may read.
    pub(crate) fn catalog(&self, request: &Request<'_>, who: &Principal) -> Answer {
        let names = self.shelf.names()?;
        let readable = names
            .iter()
            .filter(|name| self.gate.may(who, Verb::Pull, name.as_str()))
            .map(|name| name.as_str().to_owned())
            .collect();
        let (page, next) = page(request, readable)?;
        let reply = Reply::new(200).json(&json!({"repositories": page}));
        Ok(linked(reply, "/v2/_catalog", next))
    }
}

/// How many entries the next page has, and behind which it begins.
type Next = (usize, String);

/// The part of a sorted list that `n` and `last` ask for; and the next one, if there is more.
fn page(
    request: &Request<'_>,
    mut all: Vec<String>,
) -> Result<(Vec<String>, Option<Next>), Refusal> {
    let count = match request.head.parameter("n") {
        None => MAX_PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(count) => count.min(MAX_PAGE),
            Err(_) => {
                return Err(Refusal::new(
                    400,
                    "PAGINATION_NUMBER_INVALID",
                    "invalid number of results requested",
                ));
            }
        },
    };
    if let Some(last) = request.head.parameter("last") {
        let start = all.partition_point(|entry| *entry <= last);
        all.drain(..start);
    }
    let has_more = all.len() > count;
    all.truncate(count);
    let next = all.last().filter(|_| has_more).map(|last| (count, last.clone()));
    Ok((all, next))
}

fn linked(reply: Reply, path: &str, next: Option<Next>) -> Reply {
    match next {
        None => reply,
        Some((count, last)) => {
            let last = http1::encode_component(&last);
            reply.with("Link", format!("<{path}?n={count}&last={last}>; rel=\"next\""))
        }
    }
}
