//! `registry serve`: a registry of one's own.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use registry::{RegistryConfig, TlsFiles};
use rustix::process::Resource;

use crate::command::{Arity, Call, Command};
use crate::flags::{Integer, Switch, Text, flags, long};
use crate::ui::{Exit, Ui, chain};

flags! {
    /// Flags of `registry serve`.
    ServeArgs {
        /// File with the rules of access
        config: Text = long("config"),
        /// Let tags, manifests and blobs be deleted
        delete: Switch = long("delete"),
        /// Seconds between two collections of garbage; 0 for none
        gc_interval: Integer<i64> = long("gc-interval"),
        /// Users and bcrypt hashes of their passwords, as `htpasswd -B` writes them
        htpasswd: Text = long("htpasswd"),
        /// Address to listen on; 127.0.0.1:5000 if not given
        listen: Text = long("listen"),
        /// Connections at once; 1024 if not given
        max_connections: Integer<i64> = long("max-connections"),
        /// Listen in clear on an address that others reach
        plain_http: Switch = long("plain-http"),
        /// Be a cache of this registry
        proxy: Text = long("proxy"),
        /// Take nothing in
        read_only: Switch = long("read-only"),
        /// Where everything is kept; /var/lib/kista-registry if not given
        root: Text = long("root"),
        /// Certificates in PEM
        tls_cert: Text = long("tls-cert"),
        /// Authorities in PEM; clients must show a certificate of one
        tls_client_ca: Text = long("tls-client-ca"),
        /// Key of the certificate in PEM
        tls_key: Text = long("tls-key"),
    }
}

const DEFAULT_ROOT: &str = "/var/lib/kista-registry";

impl Command for ServeArgs {
    const PATH: &'static str = "registry serve";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, _call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let config = match self.into_config() {
            Ok(config) => config,
            Err(text) => return ui.fail(format_args!("kista: {text}")),
        };
        // It lives long, and has many threads.
        sys::arena::Arena::retire();
        sys::signals::block_all()?;
        allow_files();
        let ends = [libc_number::TERM, libc_number::INT];
        let stop = sys::signals::signal_fd(Some(&ends))?;
        let listening = match registry::bind(config, log) {
            Ok(listening) => listening,
            Err(error) => return ui.fail(format_args!("kista: {}", chain(&error))),
        };
        writeln!(ui.err(), "listening on {}", listening.address())?;
        listening.run(stop.as_fd())?;
        Ok(Exit::Success)
    }
}

/// The signals that end it.
mod libc_number {
    use rustix::process::Signal;

    pub(super) const TERM: i32 = Signal::TERM.as_raw();
    pub(super) const INT: i32 = Signal::INT.as_raw();
}

/// Connections and uploads hold descriptors, of which the usual limit is for programs that use
/// select(2).
fn allow_files() {
    let limits = rustix::process::getrlimit(Resource::Nofile);
    // What cannot be had is done without: connections are refused then, and come again.
    let raised = rustix::process::Rlimit { current: limits.maximum, ..limits };
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}

/// One line, in one write.
fn log(line: &str) {
    let line = format!("{} {line}\n", oci::Timestamp::now());
    // Nobody reads it: no reason not to serve.
    let _ = crate::ui::write_all(io::stderr().as_fd(), line.as_bytes());
}

impl ServeArgs {
    fn into_config(self) -> Result<RegistryConfig, String> {
        let path = |text: &Text| text.as_deref().filter(|text| !text.is_empty()).map(PathBuf::from);
        let mut config =
            RegistryConfig::new(path(&self.root).unwrap_or_else(|| DEFAULT_ROOT.into()));
        if let Some(text) = self.listen.as_deref() {
            config.listen = address(text)?;
        }
        config.tls = match (path(&self.tls_cert), path(&self.tls_key)) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate, key, client_ca: path(&self.tls_client_ca) })
            }
            (None, None) if self.tls_client_ca.text().is_empty() => None,
            (None, None) => return Err("--tls-client-ca needs --tls-cert and --tls-key".into()),
            _ => return Err("--tls-cert and --tls-key belong together".into()),
        };
        if let Some(path) = path(&self.config) {
            config.access = RegistryConfig::read_access(&path).map_err(|error| chain(&error))?;
        }
        config.htpasswd = path(&self.htpasswd);
        config.plain_http = self.plain_http.is_on();
        config.read_only = self.read_only.is_on();
        config.delete = self.delete.is_on();
        config.proxy = self.proxy.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
        if let Some(seconds) = self.gc_interval.0 {
            let seconds = u64::try_from(seconds)
                .map_err(|_| "--gc-interval must not be negative".to_owned())?;
            config.gc_interval = Duration::from_secs(seconds);
        }
        if let Some(count) = self.max_connections.0 {
            config.max_connections = usize::try_from(count)
                .ok()
                .filter(|count| *count > 0)
                .ok_or("--max-connections must be 1 or more")?;
        }
        Ok(config)
    }
}

/// `HOST:PORT`, or a port alone on the loopback; a port behind a colon on all addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = match text {
        text if text.starts_with(':') => format!("0.0.0.0{text}"),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => format!("127.0.0.1:{text}"),
        text => text.replacen("localhost:", "127.0.0.1:", 1),
    };
    full.parse().map_err(|_| format!("--listen {text:?} is no address with a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_short() {
        for (text, want) in [
            ("5000", Some("127.0.0.1:5000")),
            (":5000", Some("0.0.0.0:5000")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:2", Some("[::1]:2")),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(address(text).ok(), want.map(|text| text.parse().unwrap()), "{text}");
        }
    }
}
