//! Waiting for a condition, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks every few milliseconds until `found` gives something; panics with `what` after
/// [`PATIENCE`].
#[track_caller]
pub fn wait_until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited for {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}
