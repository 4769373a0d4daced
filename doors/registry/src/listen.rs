//! Listening: a thread for each connection, a bound on their number, and an orderly end.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::conversation::converse;
use crate::reply::with_causes;
use crate::tls::Tls;
use crate::{Registry, RegistryConfig, RegistryError};

/// A registry that is bound to its address. Nothing is accepted before [`Listening::run`].
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    registry: Arc<Registry>,
    address: SocketAddr,
}

/// The connections that are open.
#[derive(Default)]
struct Connections {
    open: Mutex<Vec<Arc<Connection>>>,
}

struct Connection {
    /// The same socket, to end it from outside.
    socket: TcpStream,
    is_busy: AtomicBool,
}

/// How long requests may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(30);
/// How often the housekeeper looks whether there is anything to do.
const ROUND: Duration = Duration::from_secs(1);
/// A thread's stack: nothing here recurses.
const STACK: usize = 256 << 10;

/// Opens the store and binds the address. `log` is given a line for each change and each failure.
pub fn bind(config: RegistryConfig, log: fn(&str)) -> Result<Listening, RegistryError> {
    config.check()?;
    let tls = match &config.tls {
        Some(files) => Some(Arc::new(Tls::open(files)?)),
        None => None,
    };
    let address = config.listen;
    let registry = Arc::new(Registry::open(config, log)?);
    let listener = TcpListener::bind(address)
        .and_then(|listener| {
            // So that a connection which is gone again does not hold the loop up.
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .map_err(RegistryError::io("listen on", address.to_string()))?;
    let address = listener.local_addr().unwrap_or(address);
    Ok(Listening { listener, tls, registry, address })
}

impl Listening {
    /// Where it listens; the port that was given for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` can be read from, then lets requests come to their end.
    pub fn run(self, stop: BorrowedFd<'_>) -> io::Result<()> {
        let connections = Arc::new(Connections::default());
        let registry = Arc::clone(&self.registry);
        let ended = Arc::new(AtomicBool::new(false));
        let housekeeper = {
            let (registry, ended) = (Arc::clone(&registry), Arc::clone(&ended));
            let tls = self.tls.clone();
            std::thread::Builder::new()
                .name("housekeeper".into())
                .spawn(move || keep_house(&registry, tls.as_deref(), &ended))?
        };
        let served = self.accept(stop, &connections);
        registry.is_stopping.store(true, Ordering::SeqCst);
        drop(self.listener);
        let deadline = Instant::now() + GRACE;
        while connections.end_idle() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        ended.store(true, Ordering::SeqCst);
        housekeeper.thread().unpark();
        // It panics for no reason that would matter now.
        let _ = housekeeper.join();
        served
    }

    fn accept(&self, stop: BorrowedFd<'_>, connections: &Arc<Connections>) -> io::Result<()> {
        loop {
            let listener = self.listener.as_fd();
            let mut ready = [
                PollFd::from_borrowed_fd(stop, PollFlags::IN),
                PollFd::from_borrowed_fd(listener, PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !ready[0].revents().is_empty() {
                return Ok(());
            }
            match self.listener.accept() {
                Ok((socket, _)) => self.take(socket, connections),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // One that was gone before it was taken; or no descriptors: those that are open
                // will end.
                Err(error) => {
                    (self.registry.log)(&format!("cannot accept a connection: {error}"));
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    fn take(&self, socket: TcpStream, connections: &Arc<Connections>) {
        let metrics = &self.registry.metrics;
        metrics.connections_total.fetch_add(1, Ordering::Relaxed);
        let limit = self.registry.config.max_connections;
        let prepared = socket.set_nonblocking(false).and_then(|()| socket.try_clone());
        // Beyond the bound a connection is closed at once: its client comes again later.
        let Some(connection) = prepared.ok().and_then(|copy| connections.add(copy, limit)) else {
            return;
        };
        metrics.connections.fetch_add(1, Ordering::Relaxed);
        let registry = Arc::clone(&self.registry);
        let tls = self.tls.as_ref().map(|tls| tls.config());
        let (all, own) = (Arc::clone(connections), Arc::clone(&connection));
        let spawned = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            // How a connection ends is its client's affair: it has the answers that it has.
            let _ = converse(&registry, socket, tls, &own.is_busy);
            all.remove(&own);
            registry.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            connections.remove(&connection);
            metrics.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Connections {
    fn add(&self, socket: TcpStream, limit: usize) -> Option<Arc<Connection>> {
        let mut open = self.lock();
        if open.len() >= limit {
            return None;
        }
        let connection = Arc::new(Connection { socket, is_busy: AtomicBool::new(false) });
        open.push(Arc::clone(&connection));
        Some(connection)
    }

    fn remove(&self, connection: &Arc<Connection>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, connection));
    }

    /// Ends the connections that are between two requests; whether there are others.
    fn end_idle(&self) -> bool {
        let open = self.lock();
        for connection in &*open {
            if !connection.is_busy.load(Ordering::SeqCst) {
                let _ = connection.socket.shutdown(Shutdown::Both);
            }
        }
        !open.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Collects garbage, forgets uploads that nobody goes on with, and reads again what has changed.
fn keep_house(registry: &Registry, tls: Option<&Tls>, ended: &AtomicBool) {
    let interval = registry.config.gc_interval;
    let mut last = Instant::now();
    while !ended.load(Ordering::SeqCst) {
        std::thread::park_timeout(ROUND);
        registry.uploads.forget_old();
        let certificates = tls.map_or(Ok(false), Tls::refresh);
        for (what, outcome) in [("certificates", certificates), ("users", registry.gate.refresh())]
        {
            match outcome {
                Ok(false) => {}
                Ok(true) => (registry.log)(&format!("the {what} were read again")),
                Err(error) => (registry.log)(&format!(
                    "the {what} stay as they were: {}",
                    with_causes(&error)
                )),
            }
        }
        if !interval.is_zero() && last.elapsed() >= interval {
            registry.collect();
            last = Instant::now();
        }
    }
}
