//! Registries beside each other.
//!
//! The same requests to each, from clients that keep their connections; what counts is requests
//! for each second of the server's own processor time, since clients share the machine with it.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Bench;
use super::measure::{Samples, Table};
use super::peers::find;

/// How long each load of a server lasts.
const LOAD: Duration = Duration::from_secs(2);
/// A blob that is fetched again and again.
const BLOB_BYTES: usize = 32 << 20;
/// Blobs that are sent once each.
const PUSHED_BYTES: usize = 8 << 20;
/// How many of those: by each client the same number, and at least one.
const PUSHED_BLOBS: u64 = 128;

const BLOB_PULLS: &str = "blob pulls of 32 MiB";
const BLOB_PUSHES: &str = "blob pushes of 8 MiB";

/// docker-registry gives an OCI manifest only to those who name it.
const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json\r\n";

/// A registry of its own process.
pub(super) struct Server {
    name: String,
    child: Child,
    pub(super) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Servers under load.
pub(super) fn servers(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let mut found = vec![kista_registry(bench)?];
    let mut absent = Vec::new();
    match docker_registry(bench) {
        Ok(server) => found.push(server),
        Err(error) => absent.push(error.to_string()),
    }
    let names: Vec<String> = found.iter().map(|server| server.name.clone()).collect();
    let mut each =
        Table::new("A registry's requests", "per second (more is better)", names.clone());
    let mut cpu =
        Table::new("The same", "per second of the server's processor time (more is better)", names);
    each.absent = absent;
    let blob = vec![7; BLOB_BYTES];
    let digests: Vec<String> =
        found.iter().map(|server| server.put_blob(&blob)).collect::<Result<_, _>>()?;
    for server in &found {
        server.put_manifest("m", &digests[0], "seed")?;
    }
    for clients in [1, 8, 64] {
        for what in ["manifest pushes", "manifest pulls", BLOB_PULLS, BLOB_PUSHES] {
            let (mut rates, mut per_cpu) = (Vec::new(), Vec::new());
            for (server, digest) in found.iter().zip(&digests) {
                let (rate, by_cpu) = server.load(what, clients, digest)?;
                rates.push(Some(Samples(vec![rate])));
                per_cpu.push(Some(Samples(vec![by_cpu])));
            }
            each.add(&format!("{what}, {clients} clients"), rates);
            cpu.add(&format!("{what}, {clients} clients"), per_cpu);
        }
    }
    Ok(vec![each, cpu])
}

fn kista_registry(bench: &Bench) -> Result<Server, Box<dyn Error>> {
    let port = testkit::free_port();
    let mut command = Command::new(&bench.kista);
    command.args(["registry", "serve", "--listen"]).arg(port.to_string());
    command.arg("--root").arg(bench.work.path().join("kista-registry"));
    Server::start("kista registry", command, port)
}

pub(super) fn docker_registry(bench: &Bench) -> Result<Server, Box<dyn Error>> {
    let program = find("docker-registry").ok_or("docker-registry: not installed")?;
    let port = testkit::free_port();
    let folder: PathBuf = bench.work.path().join(format!("docker-registry-{port}"));
    fs::create_dir_all(&folder)?;
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  \
         filesystem: {{rootdirectory: {}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
        folder.display()
    );
    let path = folder.join("config.yml");
    fs::write(&path, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(path);
    Server::start("docker-registry", command, port)
}

impl Server {
    fn start(name: &str, mut command: Command, port: u16) -> Result<Self, Box<dyn Error>> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { name: name.into(), child: command.spawn()?, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{name} does not listen").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<String, Box<dyn Error>> {
        let digest = testkit::image::digest(bytes);
        Client::new(self.port)?.put_blob(bytes, &digest)?;
        Ok(digest)
    }

    fn put_manifest(&self, name: &str, digest: &str, tag: &str) -> Result<(), Box<dyn Error>> {
        let mut client = Client::new(self.port)?;
        client.put_manifest(name, digest, tag)
    }

    /// Requests per second, and per second of the server's processor time.
    fn load(&self, what: &str, clients: usize, digest: &str) -> Result<(f64, f64), Box<dyn Error>> {
        let done = AtomicU64::new(0);
        let mut blobs = match what {
            BLOB_PUSHES => (0..clients).map(|number| new_blobs(clients, number)).collect(),
            _ => vec![Vec::new(); clients],
        };
        let before = self.processor_time()?;
        let began = Instant::now();
        let end = began + LOAD;
        let failed = std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for (number, mut blobs) in blobs.drain(..).enumerate() {
                let done = &done;
                workers.push(scope.spawn(move || {
                    let mut client = Client::new(self.port).map_err(|error| error.to_string())?;
                    for round in 0_u64.. {
                        let outcome = match what {
                            BLOB_PUSHES => match blobs.pop() {
                                Some((blob, digest)) => client.put_blob(&blob, &digest),
                                None => break,
                            },
                            _ if Instant::now() > end => break,
                            "manifest pushes" => {
                                client.put_manifest("m", digest, &format!("t{number}-{round}"))
                            }
                            "manifest pulls" => {
                                client.call("GET", "/v2/m/manifests/seed", ACCEPT, b"").map(drop)
                            }
                            _ => client
                                .call("GET", &format!("/v2/m/blobs/{digest}"), "", b"")
                                .map(drop),
                        };
                        outcome.map_err(|error| error.to_string())?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), String>(())
                }));
            }
            let ends = workers.into_iter().map(|worker| worker.join());
            ends.filter_map(|end| end.ok().and_then(Result::err)).next()
        });
        if let Some(error) = failed {
            return Err(format!("{}: {error}", self.name).into());
        }
        let taken = began.elapsed().as_secs_f64();
        let used = (self.processor_time()? - before).max(0.01);
        #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
        let done = done.into_inner() as f64;
        Ok((done / taken, done / used))
    }

    /// Seconds of its process, in user and system mode.
    fn processor_time(&self) -> Result<f64, Box<dyn Error>> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let rest = stat.rsplit_once(')').ok_or("no stat")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        Ok((ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0)
    }
}

/// What one of so many clients pushes: blobs that no other load has.
fn new_blobs(clients: usize, number: usize) -> Vec<(Vec<u8>, String)> {
    let each = (PUSHED_BLOBS / clients as u64).max(1);
    let blob = |round: u64| {
        let mut blob = format!("{clients} {number} {round} ").into_bytes();
        blob.resize(PUSHED_BYTES, 7);
        let digest = testkit::image::digest(&blob);
        (blob, digest)
    };
    (0..each).map(blob).collect()
}

/// A connection that is kept.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn new(port: u16) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 256 << 10] })
    }

    fn put_blob(&mut self, bytes: &[u8], digest: &str) -> Result<(), Box<dyn Error>> {
        let (_, location) = self.call("POST", "/v2/m/blobs/uploads/", "", b"")?;
        let path = location.find("/v2/").map_or("", |at| &location[at..]);
        let joint = if path.contains('?') { '&' } else { '?' };
        self.call("PUT", &format!("{path}{joint}digest={digest}"), "", bytes).map(drop)
    }

    fn put_manifest(&mut self, name: &str, digest: &str, tag: &str) -> Result<(), Box<dyn Error>> {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let blob = format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{BLOB_BYTES}}}"#
        );
        // A note makes each one another manifest.
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{blob},"layers":[],"annotations":{{"note":"{tag}"}}}}"#
        );
        let path = format!("/v2/{name}/manifests/{tag}");
        self.call("PUT", &path, &format!("Content-Type: {kind}\r\n"), text.as_bytes()).map(drop)
    }

    /// How many bytes the answer has, and its `Location`.
    fn call(
        &mut self,
        method: &str,
        path: &str,
        fields: &str,
        body: &[u8],
    ) -> Result<(u64, String), Box<dyn Error>> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\
             {fields}\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        let mut filled = 0;
        let end = loop {
            let count = self.stream.read(&mut self.buffer[filled..])?;
            if count == 0 {
                return Err("the connection was closed".into());
            }
            filled += count;
            if let Some(at) = self.buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let field = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        if !matches!(head.get(9..10), Some("2")) {
            return Err(format!("{method} {path}: {}", head.lines().next().unwrap_or("")).into());
        }
        let length: u64 = field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut left = length.saturating_sub((filled - end) as u64);
        while left > 0 {
            let count = self.stream.read(&mut self.buffer)?;
            if count == 0 {
                return Err("the connection was closed".into());
            }
            left = left.saturating_sub(count as u64);
        }
        Ok((length, field("location").unwrap_or_default()))
    }
}
