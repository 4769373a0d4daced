//! From a request to its handler: who asks, what for, and whether he may.

use std::time::Instant;

use serde_json::json;

use crate::access::Principal;
use crate::conversation::Request;
use crate::names::{NoRoute, Route, Target};
use crate::reply::{Answer, Refusal, Reply};
use crate::{Registry, Verb};

impl Registry {
    /// Answers a request, and writes down what came of it.
    pub(crate) fn answer(&self, request: &mut Request<'_>) -> Reply {
        let began = Instant::now();
        let route = Route::parse(request.head.path());
        let kind = route.as_ref().map_or("unknown", Route::kind);
        let method = request.head.method.clone();
        let mut who = None;
        let answer =
            route.map_err(no_route).and_then(|route| self.dispatch(request, &route, &mut who));
        let mut cause = None;
        let reply = answer.unwrap_or_else(|mut refusal| {
            cause = refusal.cause.take();
            refusal.into_reply()
        });
        let status = reply.head.status;
        self.metrics.count(kind, &method, status);
        let is_change = !matches!(method.as_str(), "GET" | "HEAD");
        if is_change || cause.is_some() || matches!(status, 401 | 403) {
            let user = match &who {
                Some(Principal::User(name)) => name.as_str(),
                _ => "-",
            };
            // The path alone: a query may hold what is nobody's business.
            let path = request.head.path();
            let milliseconds = began.elapsed().as_millis();
            let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
            (self.log)(&format!("{user:?} {method} {path:?} {status} {milliseconds}ms{cause}"));
        }
        reply
    }

    fn dispatch(
        &self,
        request: &mut Request<'_>,
        route: &Route,
        who: &mut Option<Principal>,
    ) -> Answer {
        if *route == Route::Health {
            return Ok(Reply::new(200).json(&json!({"status": "ok"})));
        }
        let principal = self.gate.identify(&request.head.fields)?;
        *who = Some(principal.clone());
        let who = principal;
        let method = request.head.method.clone();
        let may = |verb, name: &_| {
            if verb != Verb::Pull {
                self.is_writable(verb)?;
            }
            self.gate.allow(&who, verb, name)
        };
        match (route, method.as_str()) {
            (Route::Version, "GET" | "HEAD") => {
                self.gate.greets(&who)?;
                Ok(Reply::new(200).json(&json!({})))
            }
            (Route::Metrics, "GET") => {
                self.gate.greets(&who)?;
                let text = self.metrics.text(self.uploads.count());
                Ok(Reply::new(200).bytes("text/plain; version=0.0.4", text.into_bytes()))
            }
            (Route::Catalog, "GET") => {
                self.gate.greets(&who)?;
                self.catalog(request, &who)
            }
            (Route::Blob(name, digest), "GET" | "HEAD") => {
                may(Verb::Pull, name)?;
                self.get_blob(request, name, digest)
            }
            (Route::Blob(name, digest), "DELETE") => {
                may(Verb::Delete, name)?;
                self.delete_blob(name, digest)
            }
            (Route::Uploads(name), "POST") => {
                may(Verb::Push, name)?;
                self.start_upload(request, name, &who)
            }
            (Route::Upload(name, id), method) => {
                may(Verb::Push, name)?;
                match method {
                    "GET" | "HEAD" => self.upload_status(name, id),
                    "PATCH" => self.add_to_upload(request, name, id),
                    "PUT" => self.finish_upload(request, name, id),
                    "DELETE" => self.cancel_upload(name, id),
                    _ => Err(not_allowed()),
                }
            }
            (Route::Manifest(name, target), "GET" | "HEAD") => {
                may(Verb::Pull, name)?;
                self.get_manifest(name, target)
            }
            (Route::Manifest(name, target), "PUT") => {
                may(Verb::Push, name)?;
                self.put_manifest(request, name, target)
            }
            (Route::Manifest(name, target), "DELETE") => {
                may(Verb::Delete, name)?;
                match target {
                    Target::Tag(tag) => self.delete_tag(name, tag),
                    Target::Digest(digest) => self.delete_manifest(name, digest),
                }
            }
            (Route::Tags(name), "GET") => {
                may(Verb::Pull, name)?;
                self.list_tags(request, name)
            }
            (Route::Referrers(name, digest), "GET") => {
                may(Verb::Pull, name)?;
                self.list_referrers(request, name, digest)
            }
            _ => Err(not_allowed()),
        }
    }

    /// Refuses changes to a registry that takes none.
    fn is_writable(&self, verb: Verb) -> Result<(), Refusal> {
        if self.config.read_only {
            return Err(Refusal::unsupported("the registry is read-only"));
        }
        if self.upstream.is_some() {
            return Err(Refusal::unsupported("the registry is a cache of another one"));
        }
        match verb {
            Verb::Delete if !self.config.delete => {
                Err(Refusal::unsupported("deleting is disabled (see --delete)"))
            }
            _ => Ok(()),
        }
    }
}

fn not_allowed() -> Refusal {
    Refusal::unsupported("the operation is unsupported")
}

fn no_route(why: NoRoute) -> Refusal {
    match why {
        NoRoute::Unknown => Refusal::new(404, "UNSUPPORTED", "there is nothing of this name"),
        NoRoute::Name => Refusal::new(400, "NAME_INVALID", "invalid repository name"),
        NoRoute::Digest => Refusal::new(400, "DIGEST_INVALID", "invalid digest"),
        NoRoute::Tag => Refusal::new(400, "MANIFEST_INVALID", "invalid tag"),
        NoRoute::Upload => Refusal::new(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown"),
    }
}
