//! A registry in this process, and a client that sends what it is told.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use http1::ResponseHead;
use registry::RegistryConfig;

/// A registry that serves until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: ResponseHead,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.head.fields.get(name).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the first error.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A configuration on a port of its own that lets delete.
pub(crate) fn config(root: &Path) -> RegistryConfig {
    RegistryConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        delete: true,
        gc_interval: Duration::ZERO,
        ..RegistryConfig::new(root)
    }
}

impl Server {
    pub(crate) fn start(config: RegistryConfig) -> Self {
        let listening = registry::bind(config, |_| {}).unwrap();
        let address = listening.address();
        let (reading, stop) = rustix::pipe::pipe().unwrap();
        let thread = std::thread::spawn(move || listening.run(reading.as_fd()).unwrap());
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Asks it to end, and does not wait.
    pub(crate) fn ask_to_end(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &str, body: &[u8]) -> Got {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The server may have had enough before it has all.
        let _ = stream.write_all(body);
        receive(stream, method)
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Option<Got> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let _ = stream.write_all(bytes);
        let mut first = [0; 1];
        match stream.peek(&mut first) {
            Ok(1) => Some(receive(stream, "GET")),
            _ => None,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Got {
        self.send("GET", path, "", b"")
    }

    /// Puts a blob; returns its digest.
    pub(crate) fn put_blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = content::sha256(bytes).to_string();
        let got =
            self.send("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), "", bytes);
        assert_eq!(got.status, 201, "{got:?}");
        digest
    }

    /// Puts an image of one layer; returns its manifest's digest and bytes.
    pub(crate) fn put_image(&self, name: &str, tag: &str, layer: &[u8]) -> (String, Vec<u8>) {
        let config = b"{}";
        let descriptor = |kind: &str, bytes: &[u8]| {
            serde_json::json!({
                "mediaType": kind, "size": bytes.len(), "digest": self.put_blob(name, bytes)})
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST,
            "config": descriptor(oci::media_type::OCI_CONFIG, config),
            "layers": [descriptor(oci::media_type::OCI_LAYER, layer)],
        })
        .to_string()
        .into_bytes();
        let got = self.put_manifest(name, tag, &manifest);
        assert_eq!(got.status, 201, "{got:?}");
        (content::sha256(&manifest).to_string(), manifest)
    }

    pub(crate) fn put_manifest(&self, name: &str, tag: &str, bytes: &[u8]) -> Got {
        let kind = format!("Content-Type: {}\r\n", oci::media_type::OCI_MANIFEST);
        self.send("PUT", &format!("/v2/{name}/manifests/{tag}"), &kind, bytes)
    }
}

pub(crate) fn receive(stream: TcpStream, method: &str) -> Got {
    let mut reader = BufReader::new(stream);
    let head = http1::read_head(&mut reader).unwrap().unwrap();
    let head = ResponseHead::parse(&head).unwrap();
    let mut body = head.body(method).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        match body.read(&mut reader, &mut buffer).unwrap() {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    Got { status: head.status, head, body: bytes }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}
