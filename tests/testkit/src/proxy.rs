//! A proxy between a client and a registry that makes answers fail.
//!
//! One request per connection: the answer goes through as it comes, with `Connection: close` put
//! in front, unless the rule has a fault for it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut after so many bytes of the body.
    Cut(u64),
    /// Nothing comes any more after so many bytes of the body.
    Stall(u64),
    /// The byte of the body at this place is another one.
    Corrupt(u64),
    /// The answer is this status, with `Retry-After: 0`.
    Status(u16),
    /// The answer is a redirect to there.
    Redirect(String),
    /// The answer is a page for people.
    Html,
    /// The connection is closed without an answer.
    Nothing,
    /// Each piece of the body waits so long.
    Slow(Duration),
    /// The body has so many bytes fewer, and the head says so.
    Short(u64),
    /// The body is said to be of this type.
    Type(&'static str),
    /// Nothing of the answer comes before so many other requests have been answered: answers
    /// overtake each other.
    Behind(usize),
}

/// Which fault the answer to a request has: method, path, and how many of the same came before.
type Rule = dyn Fn(&str, &str, usize) -> Option<Fault> + Send + Sync;

/// A proxy that runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    rule: Box<Rule>,
    seen: Mutex<Vec<String>>,
    /// Bytes of bodies that went to clients.
    passed: AtomicU64,
    /// Answers that have gone.
    answered: AtomicUsize,
    stop: AtomicBool,
}

impl Proxy {
    /// Between clients and `upstream`.
    pub fn new(
        upstream: SocketAddr,
        rule: impl Fn(&str, &str, usize) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            upstream,
            rule: Box::new(rule),
            seen: Mutex::default(),
            passed: AtomicU64::new(0),
            answered: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let inside = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if inside.stop.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&inside);
                std::thread::spawn(move || {
                    // A client that goes away ends its own connection.
                    let _ = state.serve(client);
                });
            }
        });
        Self { address, state }
    }

    /// `127.0.0.1:PORT`, as a reference begins.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `METHOD PATH` of each request.
    pub fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many bytes of bodies went to clients.
    pub fn passed_bytes(&self) -> u64 {
        self.state.passed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let end = loop {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            head.extend_from_slice(&buffer[..count]);
            if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let body = head.split_off(end);
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut words = text.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default();
        let line = format!("{method} {path}");
        let before = {
            let mut seen = self.seen.lock().unwrap();
            let before = seen.iter().filter(|other| **other == line).count();
            seen.push(line);
            before
        };
        let fault = (self.rule)(method, path, before);
        let plain = |status: &str, fields: &str, body: &str| {
            format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{body}",
                body.len()
            )
        };
        let answer = match &fault {
            Some(Fault::Nothing) => return Ok(()),
            Some(Fault::Status(status)) => plain(&format!("{status} x"), "Retry-After: 0\r\n", ""),
            Some(Fault::Redirect(to)) => plain("307 x", &format!("Location: {to}\r\n"), ""),
            Some(Fault::Html) => plain("200 OK", "Content-Type: text/html\r\n", "<html>x</html>"),
            _ => {
                let length = text
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .and_then(|(_, value)| value.trim().parse().ok())
                    .unwrap_or(0_u64);
                if let Some(Fault::Behind(count)) = fault {
                    self.wait_behind(count);
                }
                let passed = self.pass(client, &head, body, length, fault.as_ref());
                self.answered.fetch_add(1, Ordering::SeqCst);
                return passed;
            }
        };
        client.write_all(answer.as_bytes())
    }

    /// Waits until so many other answers have gone, or none has for a while: there are no more.
    fn wait_behind(&self, count: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.answered.load(Ordering::SeqCst) < before + count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pass(
        &self,
        mut client: TcpStream,
        head: &[u8],
        body: Vec<u8>,
        length: u64,
        fault: Option<&Fault>,
    ) -> std::io::Result<()> {
        let mut upstream = TcpStream::connect(self.upstream)?;
        // One exchange: the end of the connection is that of the answer.
        let line = head.windows(2).position(|window| window == b"\r\n").unwrap_or(0) + 2;
        upstream.write_all(&head[..line])?;
        upstream.write_all(b"Connection: close\r\n")?;
        upstream.write_all(&head[line..])?;
        upstream.write_all(&body)?;
        let mut buffer = vec![0; 64 << 10];
        let mut left = length.saturating_sub(body.len() as u64);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = client.read(&mut buffer[..most])?;
            if count == 0 {
                return Ok(());
            }
            upstream.write_all(&buffer[..count])?;
            left -= count as u64;
        }
        let mut answer = Vec::new();
        let end = loop {
            let count = upstream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            answer.extend_from_slice(&buffer[..count]);
            if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let mut piece = answer.split_off(end);
        let mut most = u64::MAX;
        match fault {
            Some(Fault::Short(fewer)) => {
                let (head, length) = without(&answer, "content-length");
                most = length.and_then(|text| text.parse().ok()).unwrap_or(0_u64) - fewer;
                answer = with(head, &format!("Content-Length: {most}"));
            }
            Some(Fault::Type(kind)) => {
                let (head, _) = without(&answer, "content-type");
                answer = with(head, &format!("Content-Type: {kind}"));
            }
            _ => {}
        }
        client.write_all(&answer)?;
        let mut sent = 0;
        loop {
            let from = sent;
            sent += piece.len() as u64;
            let inside = |at: u64| {
                (from <= at && at < sent).then(|| usize::try_from(at - from).unwrap_or_default())
            };
            match fault {
                Some(Fault::Corrupt(at)) => {
                    if let Some(place) = inside(*at) {
                        piece[place] ^= 0x55;
                    }
                }
                Some(Fault::Cut(at)) if inside(*at).is_some() => {
                    client.write_all(&piece[..inside(*at).unwrap_or(0)])?;
                    return client.shutdown(Shutdown::Both);
                }
                Some(Fault::Stall(at)) if inside(*at).is_some() => {
                    client.write_all(&piece[..inside(*at).unwrap_or(0)])?;
                    while !self.stop.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    return Ok(());
                }
                Some(Fault::Slow(pause)) => std::thread::sleep(*pause),
                _ => {}
            }
            let left = most.saturating_sub(from);
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            client.write_all(&piece)?;
            self.passed.fetch_add(piece.len() as u64, Ordering::SeqCst);
            let count = upstream.read(&mut buffer)?;
            if count == 0 {
                return client.shutdown(Shutdown::Both);
            }
            piece = buffer[..count].to_vec();
        }
    }
}

/// A head without a field, and what the field said.
fn without(head: &[u8], name: &str) -> (String, Option<String>) {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut value = None;
    let mut left = String::new();
    for line in text.trim_end().lines() {
        match line.split_once(':') {
            Some((field, text)) if field.eq_ignore_ascii_case(name) => {
                value = Some(text.trim().to_owned());
            }
            _ => {
                left.push_str(line);
                left.push_str("\r\n");
            }
        }
    }
    (left, value)
}

/// A head with one more field.
fn with(head: String, field: &str) -> Vec<u8> {
    format!("{head}{field}\r\n\r\n").into_bytes()
}
