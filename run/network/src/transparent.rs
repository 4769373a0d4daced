//! A proxy in its clients' names: sockets that are bound to an address of somebody else's.
//!
//! ```text
//!   client --- socket of the host | proxy | socket bound to the client's address --- container
//!                                             ^                                          |
//!                 table 107: everything is here <-- rule: mark <-- table `kista_proxy` <-+
//! ```
//!
//! What a container answers is for an address that is not here: only a packet for which there is
//! such a socket gets a mark, and only what is marked is taken in instead of being passed on.
//!
//! ip(7), `IP_TRANSPARENT`; ip-rule(8); Documentation/networking/tproxy.rst of the kernel.

use crate::netlink::{CREATE, EXCLUSIVE, REPLACE, Request};
use crate::nft::transparent::mark_answers;
use crate::{NetworkError, Routes};
use rustix::io::Errno;

const NEW_ROUTE: u16 = 24;
const NEW_RULE: u16 = 32;
const FAMILIES: [u8; 2] = [2, 10];

/// What such packets have; the network is the proxy's user's, so that nobody else marks there.
const MARK: u32 = 0x6b69;
const TABLE: u8 = 107;
const LOOPBACK: u32 = 1;

/// Sees to it that answers to sockets with foreign addresses arrive, in the calling thread's network
/// namespace; done before is fine. Needs CAP_NET_ADMIN there.
///
/// Linux 4.18 with `nft_socket`: [`NetworkError`] without.
pub(crate) fn receive_answers() -> Result<(), NetworkError> {
    mark_answers(MARK)?;
    let mut routes = Routes::open()?;
    for family in FAMILIES {
        let mut add = |request: Request| match routes
            .socket
            .perform(request, &|| "take in answers to clients of the proxy".into())
        {
            Err(error) if error.errno() == Some(Errno::EXIST) => Ok(()),
            // A kernel without IPv6 has no clients of it.
            Err(error) if family != FAMILIES[0] && error.errno() == Some(Errno::AFNOSUPPORT) => {
                Ok(())
            }
            done => done,
        };
        add(route(family))?;
        add(rule(family))?;
    }
    Ok(())
}

/// Everything is for this host. `struct rtmsg`.
fn route(family: u8) -> Request {
    const STATIC: u8 = 4;
    const SCOPE_HOST: u8 = 254;
    const LOCAL: u8 = 2;
    const OUTPUT: u16 = 4;
    let header = [family, 0, 0, 0, TABLE, STATIC, SCOPE_HOST, LOCAL, 0, 0, 0, 0];
    let mut request = Request::new(NEW_ROUTE, CREATE | REPLACE, &header);
    request.u32(OUTPUT, LOOPBACK);
    request
}

/// For what is marked. `struct fib_rule_hdr`.
fn rule(family: u8) -> Request {
    const TO_TABLE: u8 = 1;
    const PRIORITY: u16 = 6;
    const FWMARK: u16 = 10;
    let header = [family, 0, 0, 0, TABLE, 0, 0, TO_TABLE, 0, 0, 0, 0];
    let mut request = Request::new(NEW_RULE, CREATE | EXCLUSIVE, &header);
    request.u32(PRIORITY, u32::from(TABLE));
    request.u32(FWMARK, MARK);
    request
}
