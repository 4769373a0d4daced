//! One connection: requests one after the other, each answered before the next is read.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http1::{Body, HttpError, RequestHead};
use rustls::{ServerConfig, ServerConnection};
use transfer::wire::{Paced, Wire};

use crate::Registry;
use crate::reply::{Refusal, Reply, ReplyBody};

/// A request whose body is still on its way.
pub(crate) struct Request<'a> {
    pub(crate) head: RequestHead,
    body: Body,
    reader: &'a mut Source,
    /// Whether the client waits to be told to send the body.
    expects: bool,
    received: u64,
}

/// A client's end of the conversation.
type Stream = Wire<ServerConnection>;

/// Where requests come from.
type Source = BufReader<Paced<Stream>>;

/// Larger reads go past the buffer.
const BUFFER: usize = 32 << 10;
/// For the next request of a connection, and for the next bytes of a body.
const IDLE: Duration = Duration::from_secs(60);
/// How long somebody may take to send a handshake, a head, or the next few bytes of a body: a byte
/// now and then does not hold a thread.
const WINDOW: Duration = Duration::from_secs(10);
/// What is read of a body that nobody wanted, to keep the connection.
const MAX_UNREAD: u64 = 256 << 10;

/// Answers the requests of one connection until one side ends it. `is_busy` is true while one is
/// being answered.
pub(crate) fn converse(
    registry: &Registry,
    tcp: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    is_busy: &AtomicBool,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(IDLE))?;
    tcp.set_write_timeout(Some(IDLE))?;
    let stream = match tls {
        None => Wire::Clear(tcp),
        Some(config) => {
            if is_in_clear(&tcp)? {
                let text = "this registry speaks TLS alone: ask it by https";
                let refusal = Refusal::new(400, "UNSUPPORTED", text);
                return send(&mut Wire::Clear(tcp), refusal.into_reply(), "GET", false).map(drop);
            }
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            Wire::encrypt(connection, tcp, WINDOW)?
        }
    };
    let mut reader = BufReader::with_capacity(BUFFER, Paced::new(stream, WINDOW));
    while !registry.is_stopping.load(Ordering::Relaxed) {
        let head = match http1::read_head(&mut reader) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<HttpError>());
                if inner.is_some() {
                    refuse(&mut reader, 431, &error)?;
                }
                return Ok(());
            }
        };
        is_busy.store(true, Ordering::SeqCst);
        let goes_on = answer_one(registry, &mut reader, &head);
        is_busy.store(false, Ordering::SeqCst);
        if !goes_on? {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether what comes is a request as it is: a handshake begins with 22, a method with a letter.
fn is_in_clear(tcp: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 1];
    Ok(tcp.peek(&mut first)? == 1 && first[0].is_ascii_uppercase())
}

/// Whether the connection can be used again.
fn answer_one(registry: &Registry, reader: &mut Source, head: &[u8]) -> io::Result<bool> {
    let parsed = RequestHead::parse(head).and_then(|head| head.body().map(|body| (head, body)));
    let (head, body) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            registry.metrics.count("malformed", "OTHER", 400);
            refuse(reader, 400, &error)?;
            return Ok(false);
        }
    };
    let keeps_alive = head.keeps_alive();
    let method = head.method.clone();
    let expects = head.is_1_1 && head.fields.lists("expect", "100-continue");
    let mut request = Request { head, body, reader, expects, received: 0 };
    let reply = registry.answer(&mut request);
    // A client that was not told to go on sends no body, unless it does all the same.
    let is_read = match request.expects {
        true => request.body.is_done(),
        false => request.discard(),
    };
    let Request { received, .. } = request;
    registry.metrics.received_bytes.fetch_add(received, Ordering::Relaxed);
    let goes_on = keeps_alive && is_read && !registry.is_stopping.load(Ordering::Relaxed);
    let sent = send(reader.get_mut().turn(), reply, &method, goes_on)?;
    registry.metrics.sent_bytes.fetch_add(sent, Ordering::Relaxed);
    Ok(goes_on)
}

fn refuse(reader: &mut Source, status: u16, why: &dyn std::fmt::Display) -> io::Result<()> {
    let reply = Refusal::new(status, "UNSUPPORTED", why.to_string()).into_reply();
    send(reader.get_mut().turn(), reply, "GET", false).map(drop)
}

fn send(stream: &mut Stream, mut reply: Reply, method: &str, goes_on: bool) -> io::Result<u64> {
    let length = reply.length();
    let fields = &mut reply.head.fields;
    if fields.get("content-length").is_none() && reply.head.status != 204 {
        fields.set("Content-Length", length.to_string());
    }
    fields.set("Docker-Distribution-Api-Version", "registry/2.0");
    if !goes_on {
        fields.set("Connection", "close");
    }
    let mut head = reply.head.to_bytes();
    if method == "HEAD" {
        stream.write_all(&head)?;
        stream.flush()?;
        return Ok(0);
    }
    match reply.body {
        ReplyBody::Bytes(bytes) => {
            // In one packet, if it is short.
            head.extend_from_slice(&bytes);
            stream.write_all(&head)?;
        }
        ReplyBody::File { mut file, start, length } => {
            stream.write_all(&head)?;
            file.seek(SeekFrom::Start(start))?;
            stream.send_file(&mut file, length)?;
        }
    }
    stream.flush()?;
    Ok(length)
}

impl Request<'_> {
    /// How many bytes the body has, if the client says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// The whole body, if it has no more than `limit` bytes.
    pub(crate) fn bytes(&mut self, limit: u64) -> Result<Vec<u8>, Refusal> {
        let too_long =
            || Refusal::new(413, "SIZE_INVALID", format!("the body has more than {limit} bytes"));
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        let read = self.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| Refusal::new(400, "SIZE_INVALID", error.to_string()))?;
        match bytes.len() as u64 > limit {
            true => Err(too_long()),
            false => Ok(bytes),
        }
    }

    /// Reads what nobody wanted, if it is little; whether the body is at its end now.
    fn discard(&mut self) -> bool {
        if self.body.is_done() {
            return true;
        }
        let rest = io::copy(&mut self.take(MAX_UNREAD), &mut io::sink());
        rest.is_ok() && self.body.is_done()
    }
}

impl Read for Request<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.expects {
            self.expects = false;
            let stream = self.reader.get_mut().turn();
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            stream.flush()?;
        }
        let count = self.body.read(self.reader, buffer)?;
        self.received += count as u64;
        Ok(count)
    }
}
