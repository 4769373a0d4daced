//! A registry made of a closure: it sees each request and says how to answer, or how to fail.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http1::{RequestHead, ResponseHead};

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: RequestHead,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// `GET /v2/...`, without the query.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.head.method, self.head.path())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.head.fields.get("authorization")
    }
}

/// An answer; none at all, and the connection closed, if the status is 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection is cut after so many bytes of the body.
    pub(crate) cut_after: Option<usize>,
    /// Nothing more comes after so many bytes of the body.
    pub(crate) stall_after: Option<usize>,
    /// In place of the body's length.
    pub(crate) length: Option<u64>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A server on the loopback. It ends when dropped.
pub(crate) struct FakeRegistry {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl FakeRegistry {
    pub(crate) fn new(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1", handler)
    }

    /// On another address of the machine.
    pub(crate) fn on(
        address: &str,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        let handler: Arc<Handler> = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (handler, log, ended) =
                    (Arc::clone(&handler), Arc::clone(&log), Arc::clone(&ended));
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || {
                    let _ = serve(stream, &*handler, &log, &ended);
                });
            }
        });
        Self { address, seen, stop }
    }

    /// `ADDRESS:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// All requests but the check of the version.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.head.path() != "/v2/").cloned().collect()
    }

    /// How many requests began like this.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line().starts_with(start)).count()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: TcpStream,
    handler: &Handler,
    log: &Mutex<Vec<Seen>>,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(head) = http1::read_head(&mut reader)? {
        let head = RequestHead::parse(&head).unwrap();
        let mut body = head.body().unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            match body.read(&mut reader, &mut buffer)? {
                0 => break,
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
        let seen = Seen { head, body: bytes };
        log.lock().unwrap().push(seen.clone());
        let reply = handler(&seen);
        if reply.status == 0 {
            return Ok(());
        }
        let mut head = ResponseHead::new(reply.status);
        for (name, value) in &reply.fields {
            head.fields.append(name, value.clone());
        }
        let length = reply.length.unwrap_or(reply.body.len() as u64);
        head.fields.set("Content-Length", length.to_string());
        writer.write_all(&head.to_bytes())?;
        if seen.head.method == "HEAD" {
            continue;
        }
        let end = reply.cut_after.or(reply.stall_after).unwrap_or(reply.body.len());
        writer.write_all(&reply.body[..end.min(reply.body.len())])?;
        if reply.stall_after.is_some() {
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if reply.cut_after.is_some() || length != reply.body.len() as u64 {
            writer.shutdown(Shutdown::Both)?;
            // So that the close is no reset, which would take bytes away that were sent.
            let _ = reader.read(&mut buffer);
            return Ok(());
        }
    }
    Ok(())
}
