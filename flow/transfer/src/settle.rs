//! Who is to be asked for a registry's repositories, and where he may send us.

use std::sync::Arc;

use http1::Origin;

use crate::certificate::is_of_tls;
use crate::exchange::Failure;
use crate::reach::Reach;
use crate::request::{Request, version_request};
use crate::server::Server;
use crate::{Client, TransferError};

impl Client {
    /// Where a registry may send us.
    pub(crate) fn reach_of(&self, registry: &Origin) -> Reach {
        let poisoned = std::sync::PoisonError::into_inner;
        let mut known = self.inner.reaches.lock().unwrap_or_else(poisoned);
        *known.entry(registry.clone()).or_insert_with(|| Reach::of(registry))
    }

    /// Whom to ask for the repository `path` of `domain`, or for that itself if `path` is empty; in
    /// order.
    ///
    /// Those that may be spoken to in clear are asked once whether they have TLS: one on this
    /// machine first in clear, another first over TLS. No request with anything in it is sent
    /// before that is known.
    pub(crate) fn servers(
        &self,
        domain: &str,
        path: &str,
    ) -> Result<Vec<Arc<Server>>, TransferError> {
        let poisoned = std::sync::PoisonError::into_inner;
        let found = self.inner.settings.servers(domain, path)?;
        let mut known = self.inner.origins.lock().unwrap_or_else(poisoned);
        let mut settled = |server: Server| {
            if !server.may_be_clear {
                return Arc::new(server);
            }
            let key = (server.origin.clone(), server.trust.verify);
            let origin =
                known.entry(key).or_insert_with(|| self.settle_scheme(server.clone()).origin);
            Arc::new(Server { origin: origin.clone(), may_be_clear: false, ..server })
        };
        Ok(found.into_iter().map(&mut settled).collect())
    }

    fn settle_scheme(&self, server: Server) -> Server {
        let clear = server.in_clear();
        // Whether he is believed; `None` if nobody answers who could be a registry.
        let answers = |server: &Server| {
            let check = version_request(server, "");
            let request = Request { scope: None, is_repeatable: false, ..check };
            match self.once(server, &request, &request.url, None) {
                // What a TLS server says to those who come without.
                Ok(response) if response.status == 400 => None,
                Ok(_) => Some(true),
                Err(Failure::Connect(error) | Failure::Broken(error)) => {
                    is_of_tls(&error).then_some(false)
                }
                Err(_) => None,
            }
        };
        match server.trust.verify {
            true if answers(&clear).is_some() => clear,
            // Also one that is not believed: the first real request will say why.
            true if answers(&server).is_some() => server,
            // Nobody is there, which the first real request will say.
            true => clear,
            false if answers(&server) == Some(true) => server,
            false => clear,
        }
    }
}
