//! Whose certificate is believed, and what to tell a person when it is not.

use std::io;
use std::sync::Arc;

use http1::Origin;
use oci::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Whose certificate a server may show.
#[derive(Debug)]
pub(crate) struct Believed {
    /// Who computes.
    pub(crate) provider: Arc<CryptoProvider>,
    /// `None` for anybody's: the configuration calls the server insecure by its name.
    pub(crate) trusted: Option<Trusted>,
}

/// One that an authority signed, or one of these, which the configuration names as it is.
///
/// The second is how Docker's own instructions set a registry up: the one certificate that
/// `openssl req -x509` makes is the server's and the clients' `ca.crt`. It says of itself that
/// it is an authority, and is none that signs others.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) authorities: Arc<WebPkiServerVerifier>,
    pub(crate) named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        if trusted.named.iter().any(|known| known == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            check_validity(end_entity, now)?;
            return Ok(ServerCertVerified::assertion());
        }
        let authorities = &trusted.authorities;
        authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Refuses a certificate outside of the time that it says it is valid in.
fn check_validity(certificate: &[u8], now: UnixTime) -> Result<(), Error> {
    let malformed = Error::InvalidCertificate(CertificateError::BadEncoding);
    let (from, until) = validity(certificate).ok_or(malformed)?;
    let now = Timestamp::from_unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), 0);
    let now: String = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    match (now < from, now > until) {
        (true, _) => Err(Error::InvalidCertificate(CertificateError::NotValidYet)),
        (_, true) => Err(Error::InvalidCertificate(CertificateError::Expired)),
        _ => Ok(()),
    }
}

/// From when until when, as `YYYYMMDDhhmmss`. RFC 5280, section 4.1.
fn validity(certificate: &[u8]) -> Option<(String, String)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, outer, _) = element(certificate)?;
    let (_, mut fields, _) = element(outer)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // The serial number, the algorithm, and the issuer stand before it.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, times, _) = element(fields)? else { return None };
    let (kind, from, rest) = element(times)?;
    let from = time(kind, from)?;
    let (kind, until, _) = element(rest)?;
    Some((from, time(kind, until)?))
}

/// The first element of some DER: its tag, what is in it, and what stands behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        long @ 0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// UTCTime has two digits of the year, of 1950 to 2049; GeneralizedTime has four.
fn time(kind: u8, text: &[u8]) -> Option<String> {
    let digits = std::str::from_utf8(text.strip_suffix(b"Z")?).ok()?;
    let is_time = digits.bytes().all(|byte| byte.is_ascii_digit());
    match (kind, digits.len()) {
        (0x17, 12) if is_time => {
            let century = if digits < "50" { "20" } else { "19" };
            Some(format!("{century}{digits}"))
        }
        (0x18, 14) if is_time => Some(digits.to_owned()),
        _ => None,
    }
}

/// Why a server is not believed and what to do about it, if that is what an error is about.
pub(crate) fn explain(error: &io::Error, origin: &Origin) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let (host, authority) = (origin.bare_host(), origin.authority());
    let folder = format!("/etc/docker/certs.d/{authority}");
    let why = match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired: it needs a new one, or the clock of this machine is \
                 wrong"
                    .to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet: is the clock of this machine wrong?".to_owned()
            }
            CertificateError::NotValidForName => {
                format!("its certificate is not for {host}: ask it by a name that is in it")
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
                let names = match names.is_empty() {
                    true => "for no name at all (a common name alone counts no more)".to_owned(),
                    false => format!("for {}", names.join(", ")),
                };
                format!("its certificate is {names}, and not for {host}: ask it by such a name")
            }
            CertificateError::UnknownIssuer => format!(
                "its certificate is signed by nobody that this machine knows: if it is the right \
                 one, put it or its authority's into {folder}/ca.crt, or the name into \
                 insecure-registries of /etc/docker/daemon.json"
            ),
            other => format!(
                "its certificate is not acceptable ({other:?}): it needs another one; if it is the \
                 right one and cannot be replaced, put it into {folder}/ca.crt"
            ),
        },
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => format!(
            "it wants a client's certificate that it knows: put it into {folder}/client.cert and \
             its key into client.key"
        ),
        Error::InvalidMessage(_) => format!(
            "it does not speak TLS: if it shall be spoken to in clear, put {authority} into \
             insecure-registries of /etc/docker/daemon.json"
        ),
        _ => return None,
    };
    Some(why)
}

/// Whether an error came from a server that speaks TLS, and only is not believed.
pub(crate) fn is_of_tls(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(error, Some(Error::InvalidCertificate(_) | Error::AlertReceived(_)))
}

/// `DnsName("a.example")` is how names are shown.
fn plain_name(shown: &str) -> &str {
    shown.split('"').nth(1).unwrap_or(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_is_read_or_refused() {
        let utc = [&[0x17, 13][..], b"500101000000Z"].concat();
        let general = [&[0x18, 15][..], b"20500101000000Z"].concat();
        let times = [&[0x30, u8::try_from(utc.len() + general.len()).unwrap()][..], &utc, &general]
            .concat();
        let fields = [&[0xa0, 1, 0, 2, 1, 7, 0x30, 0, 0x30, 0][..], &times].concat();
        let inner = [&[0x30, u8::try_from(fields.len()).unwrap()][..], &fields].concat();
        let whole = [&[0x30, u8::try_from(inner.len()).unwrap()][..], &inner].concat();
        let want = Some(("19500101000000".to_owned(), "20500101000000".to_owned()));
        assert_eq!(validity(&whole), want);
        for end in 0..whole.len() {
            assert_eq!(validity(&whole[..end]), None, "{end}");
        }
        let at = |seconds: u64| {
            check_validity(
                &whole,
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
            )
        };
        at(0).unwrap();
        at(2_524_608_000).unwrap();
        let expired = Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(at(2_524_608_001), Err(expired));
        assert_eq!(element(&[0x30, 0x84, 0, 0, 0, 0]), None);
        assert_eq!(time(0x17, b"5001010000+1Z"), None);
    }
}
