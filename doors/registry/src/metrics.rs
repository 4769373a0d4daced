//! Figures for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, String, u16), u64>>,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) collected_blobs: AtomicU64,
    pub(crate) collected_bytes: AtomicU64,
}

/// Methods that have a name of their own; others would let strangers make series.
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];

impl Metrics {
    pub(crate) fn count(&self, kind: &'static str, method: &str, status: u16) {
        let method = if METHODS.contains(&method) { method } else { "OTHER" };
        let mut requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *requests.entry((kind, method.to_owned(), status)).or_insert(0) += 1;
    }

    /// The text format, version 0.0.4.
    pub(crate) fn text(&self, uploads: usize) -> String {
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(
                text,
                "# HELP kista_registry_{name} {help}\n# TYPE kista_registry_{name} {kind}\n\
                 kista_registry_{name} {value}"
            );
        };
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let uploads = uploads as u64;
        put("uploads", "gauge", "Uploads in progress.", uploads);
        put("connections", "gauge", "Open connections.", of(&self.connections));
        let total = of(&self.connections_total);
        put("connections_total", "counter", "Connections accepted.", total);
        let received = of(&self.received_bytes);
        put("received_bytes_total", "counter", "Bytes of bodies received.", received);
        let sent = of(&self.sent_bytes);
        put("sent_bytes_total", "counter", "Bytes of bodies sent.", sent);
        let blobs = of(&self.collected_blobs);
        put("collected_blobs_total", "counter", "Blobs that were garbage.", blobs);
        let bytes = of(&self.collected_bytes);
        put("collected_bytes_total", "counter", "Bytes that were garbage.", bytes);
        let _ = writeln!(
            text,
            "# HELP kista_registry_requests_total Requests answered.\n\
             # TYPE kista_registry_requests_total counter"
        );
        let requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for ((kind, method, status), count) in &*requests {
            let _ = writeln!(
                text,
                "kista_registry_requests_total{{route=\"{kind}\",method=\"{method}\",\
                 status=\"{status}\"}} {count}"
            );
        }
        text
    }
}
