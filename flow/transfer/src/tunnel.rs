//! Ways out through a proxy: `CONNECT`, for registries over TLS.
//!
//! `HTTPS_PROXY` and `NO_PROXY`, in either case of letters, as curl and Docker read them. What is
//! spoken in clear stays on this machine or in its neighbourhood, and goes there itself.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;

use http1::{Origin, ResponseHead, Scheme, Url, decode_component};

use crate::base64;

/// Who lets us out, and who is reached without him.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    https: Option<Proxy>,
    /// Hosts, domains with or without a dot in front, `*`, each perhaps with a port.
    direct: Vec<String>,
}

#[derive(Clone)]
struct Proxy {
    origin: Origin,
    /// `Basic ...`
    authorization: Option<String>,
}

/// Without what must not be seen.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.origin)
    }
}

impl Proxies {
    /// As the environment says.
    pub(crate) fn from_environment() -> Self {
        let variable = |name: &str| {
            let lower = std::env::var(name.to_ascii_lowercase());
            lower.or_else(|_| std::env::var(name)).ok().filter(|text| !text.is_empty())
        };
        let https = variable("HTTPS_PROXY");
        Self::new(https.as_deref(), variable("NO_PROXY").as_deref().unwrap_or_default())
    }

    pub(crate) fn new(https: Option<&str>, direct: &str) -> Self {
        let direct = direct.split([',', ' ']).map(|entry| entry.trim().to_ascii_lowercase());
        Self {
            https: https.and_then(Proxy::parse),
            direct: direct.filter(|entry| !entry.is_empty()).collect(),
        }
    }

    /// Where to connect to for `origin`: to the proxy, or `None` for there itself.
    fn of(&self, origin: &Origin) -> Option<&Proxy> {
        let host = origin.bare_host();
        let is_loopback = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_direct = self.direct.iter().any(|entry| {
            let (name, port) = match entry.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                    (name, port.parse().ok())
                }
                _ => (entry.as_str(), None),
            };
            let name = name.trim_start_matches('.');
            let fits = name == "*"
                || host == name
                || host.strip_suffix(name).is_some_and(|front| front.ends_with('.'));
            fits && port.is_none_or(|port: u16| port == origin.port)
        });
        let is_out = origin.scheme == Scheme::Https && !is_loopback && !is_direct;
        self.https.as_ref().filter(|_| is_out)
    }

    /// Whom to open a connection to.
    pub(crate) fn first_hop<'a>(&'a self, origin: &'a Origin) -> &'a Origin {
        self.of(origin).map_or(origin, |proxy| &proxy.origin)
    }

    /// Asks the proxy at the other end of `stream`, if there is to be one, to pass on to `origin`.
    pub(crate) fn open(&self, origin: &Origin, stream: &TcpStream) -> io::Result<()> {
        let Some(proxy) = self.of(origin) else { return Ok(()) };
        let target = format!("{}:{}", origin.host, origin.port);
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &proxy.authorization {
            head.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        head.push_str("\r\n");
        let mut writer = stream;
        writer.write_all(head.as_bytes())?;
        // Byte by byte: what stands behind the head is the registry's.
        let answer = http1::read_head(&mut BufReader::with_capacity(1, stream))?;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = ResponseHead::parse(&answer).map_err(io::Error::other)?.status;
        match status {
            200..=299 => Ok(()),
            status => Err(io::Error::other(format!(
                "the proxy {} answers {status} (see HTTPS_PROXY and NO_PROXY)",
                proxy.origin
            ))),
        }
    }
}

impl Proxy {
    /// `[http://][user:password@]host[:port]`; one over TLS is not understood and is none.
    fn parse(text: &str) -> Option<Self> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return None,
            None => text,
        };
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let origin = Url::parse(&format!("http://{host}")).ok()?.origin;
        let authorization = match user {
            Some(user) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                let pair = format!("{}:{}", decode_component(name)?, decode_component(password)?);
                Some(format!("Basic {}", base64::encode(pair.as_bytes())))
            }
            None => None,
        };
        Some(Self { origin, authorization })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn origin(text: &str) -> Origin {
        Url::parse(text).unwrap().origin
    }

    #[test]
    fn only_what_is_encrypted_and_far_goes_through_the_proxy() {
        let proxies = Proxies::new(
            Some("http://u:p%40@proxy:3128"),
            "internal.example,.corp, x.example:8443",
        );
        for (url, want) in [
            ("https://registry-1.docker.io", "http://proxy:3128"),
            ("https://internal.example", "https://internal.example"),
            ("https://a.internal.example", "https://a.internal.example"),
            ("https://notinternal.example", "http://proxy:3128"),
            ("https://a.corp:5000", "https://a.corp:5000"),
            ("https://x.example", "http://proxy:3128"),
            ("https://x.example:8443", "https://x.example:8443"),
            ("http://registry.example", "http://registry.example"),
            ("https://localhost:5000", "https://localhost:5000"),
            ("https://127.0.0.1", "https://127.0.0.1"),
        ] {
            assert_eq!(proxies.first_hop(&origin(url)).to_string(), want, "{url}");
        }
        assert!(!format!("{proxies:?}").contains("p@"), "{proxies:?}");
        assert!(Proxies::new(Some("socks5://x"), "").of(&origin("https://a.example")).is_none());
        assert!(Proxies::new(Some("http://x"), "*").of(&origin("https://a.example")).is_none());
    }

    #[test]
    fn the_proxy_is_asked_and_may_refuse() {
        for (answer, want) in [
            ("HTTP/1.1 200 Connection established\r\n\r\nbehind", true),
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false),
            ("", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let proxy = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let head = http1::read_head(&mut BufReader::new(&stream)).unwrap().unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(head).unwrap()
            });
            let proxies = Proxies::new(Some(&format!("user:pass@{address}")), "");
            let stream = TcpStream::connect(address).unwrap();
            let opened = proxies.open(&origin("https://reg.example"), &stream);
            assert_eq!(opened.is_ok(), want, "{answer}: {opened:?}");
            let head = proxy.join().unwrap();
            assert!(head.starts_with("CONNECT reg.example:443 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
        }
    }
}
