//! What a zone said a moment ago: a program that asks for one name over and over does not have it
//! looked up each time.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Zone;

/// For so long an answer is good: too short for anybody to notice, and long enough that a flood of
/// questions is answered from it.
const FRESH: Duration = Duration::from_millis(20);
/// So many names are remembered.
const MAX_NAMES: usize = 32;

/// Names that were asked for just now.
#[derive(Debug, Default)]
pub(super) struct Known {
    names: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    addresses: Option<Vec<IpAddr>>,
    since: Instant,
}

impl Known {
    /// What the zone says of a name, or said a moment ago.
    pub(super) fn addresses(&mut self, name: &str, zone: &dyn Zone) -> Option<Vec<IpAddr>> {
        let now = Instant::now();
        self.names.retain(|entry| now.duration_since(entry.since) < FRESH);
        if let Some(entry) = self.names.iter().find(|entry| entry.name == name) {
            return entry.addresses.clone();
        }
        let addresses = zone.addresses(name);
        if self.names.len() < MAX_NAMES {
            // From before it was looked up: what changes meanwhile is seen in time.
            let (name, addresses) = (name.to_owned(), addresses.clone());
            self.names.push(Entry { name, addresses, since: now });
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::net::{Ipv4Addr, SocketAddr};

    /// Each look gives another address.
    struct Counting(Cell<u32>);

    impl Zone for Counting {
        fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
            self.0.set(self.0.get() + 1);
            (name != "nobody").then(|| vec![IpAddr::V4(Ipv4Addr::from(self.0.get()))])
        }

        fn name_of(&self, _: IpAddr) -> Option<String> {
            None
        }

        fn servers(&self) -> Option<Vec<SocketAddr>> {
            None
        }
    }

    #[test]
    fn a_name_is_looked_up_once_in_a_while() {
        let zone = Counting(Cell::new(0));
        let mut known = Known::default();
        let first = known.addresses("web", &zone);
        let start = Instant::now();
        let again = known.addresses("web", &zone);
        // Unless this machine was away for longer than that.
        assert!(again == first || start.elapsed() >= FRESH / 2);
        assert_eq!(known.addresses("nobody", &zone), None);
        testkit::wait_until("it is looked up again", || {
            (known.addresses("web", &zone) != first).then_some(())
        });
        for number in 0..1000 {
            known.addresses(&format!("name{number}"), &zone);
        }
        assert!(known.names.len() <= MAX_NAMES);
    }
}
