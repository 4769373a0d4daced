//! Messages: one question, and answers to it. RFC 1035, section 4; RFC 6891 for the size.
//!
//! What a stranger wrote is read here, so that every length is checked and nothing is followed:
//! a question has no compressed name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_BYTES: usize = 12;
/// What fits into a datagram if the asker says nothing.
const DATAGRAM_BYTES: usize = 512;
/// What we say that we take, and the most that we believe: RFC 9715 and its like.
const EXTENDED_BYTES: usize = 1232;
/// A container's addresses change as it comes and goes: nobody should keep them.
const TTL_SECONDS: u32 = 1;

pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
const ANY: u16 = 255;
const OPT: u16 = 41;
const INTERNET: u16 = 1;

/// What an answer says besides its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NoSuchName = 3,
    Refused = 5,
}

/// A question that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question<'a> {
    /// The whole message.
    bytes: &'a [u8],
    /// Where the question section ends.
    end: usize,
    /// Labels with dots between them, in lower case, without the last dot.
    pub(super) name: String,
    pub(super) kind: u16,
    /// What fits into a datagram to the asker.
    room: usize,
    /// Whether the asker knows extensions, and wants to hear that we do.
    has_extension: bool,
}

/// A record's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Address(IpAddr),
    Name(String),
}

impl<'a> Question<'a> {
    /// Reads a message with one question about the Internet; `None` for everything else.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let flags = word(2)?;
        // A query, of the plain kind, with one question and no answers.
        let is_plain = flags & 0xf800 == 0 && word(4)? == 1 && word(6)? == 0 && word(8)? == 0;
        if !is_plain {
            return None;
        }
        let (name, at) = read_name(bytes, HEADER_BYTES)?;
        let (kind, class) = (word(at)?, word(at + 2)?);
        let end = at + 4;
        if class != INTERNET {
            return None;
        }
        let mut question =
            Self { bytes, end, name, kind, room: DATAGRAM_BYTES, has_extension: false };
        // A root name, the type, and the size where others have the class.
        if word(10)? > 0 && bytes.get(end) == Some(&0) && word(end + 1) == Some(OPT) {
            question.has_extension = true;
            let asked = usize::from(word(end + 3)?);
            question.room = asked.clamp(DATAGRAM_BYTES, EXTENDED_BYTES);
        }
        Some(question)
    }

    /// The address that a reverse name stands for.
    pub(super) fn reverse(&self) -> Option<IpAddr> {
        if let Some(rest) = self.name.strip_suffix(".in-addr.arpa") {
            let mut octets = [0; 4];
            let mut parts = rest.split('.');
            for octet in octets.iter_mut().rev() {
                *octet = parts.next()?.parse().ok()?;
            }
            return parts.next().is_none().then(|| Ipv4Addr::from(octets).into());
        }
        let rest = self.name.strip_suffix(".ip6.arpa")?;
        let mut bits = 0u128;
        let mut count = 0;
        for (at, digit) in rest.split('.').enumerate() {
            let [digit] = digit.as_bytes() else { return None };
            let value = char::from(*digit).to_digit(16)?;
            bits |= u128::from(value).checked_shl(u32::try_from(at * 4).ok()?)?;
            count += 1;
        }
        (count == 32).then(|| Ipv6Addr::from(bits).into())
    }

    /// Whether an address is asked for that could be this one.
    pub(super) fn asks_for(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => matches!(self.kind, A | ANY),
            IpAddr::V6(_) => matches!(self.kind, AAAA | ANY),
        }
    }

    /// An answer. In a datagram it is cut, and says so, if it does not fit.
    pub(super) fn answer(&self, code: Code, records: &[Data], is_datagram: bool) -> Vec<u8> {
        let extension_bytes = if self.has_extension { 11 } else { 0 };
        let room = if is_datagram { self.room } else { usize::from(u16::MAX) } - extension_bytes;
        let mut out = self.bytes[..self.end].to_vec();
        let mut count: u16 = 0;
        let mut is_cut = false;
        for record in records {
            let before = out.len();
            write_record(&mut out, record);
            if out.len() > room {
                out.truncate(before);
                is_cut = true;
                break;
            }
            count += 1;
        }
        if self.has_extension {
            let size = u16::try_from(EXTENDED_BYTES).unwrap_or(u16::MAX).to_be_bytes();
            out.extend_from_slice(&[0, 0, 41, size[0], size[1], 0, 0, 0, 0, 0, 0]);
        }
        set_header(&mut out, code, is_cut);
        out[6..8].copy_from_slice(&count.to_be_bytes());
        out[10..12].copy_from_slice(&u16::from(self.has_extension).to_be_bytes());
        out
    }
}

/// The answer to what was not understood, as far as it can have one.
pub(super) fn complaint(bytes: &[u8], code: Code) -> Option<Vec<u8>> {
    let mut out = bytes.get(..HEADER_BYTES)?.to_vec();
    // An answer is not answered, or two resolvers would never be done.
    if out[2] & 0x80 != 0 {
        return None;
    }
    set_header(&mut out, code, false);
    out[4..12].fill(0);
    Some(out)
}

/// It is an answer, recursion is available; the asker's wish for recursion stays.
fn set_header(out: &mut [u8], code: Code, is_cut: bool) {
    out[2] = out[2] & 0x79 | 0x80 | if is_cut { 2 } else { 0 };
    out[3] = 0x80 | code as u8;
    out[8..10].fill(0);
}

fn write_record(out: &mut Vec<u8>, data: &Data) {
    let (kind, bytes) = match data {
        Data::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
        Data::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
        Data::Name(name) => (PTR, wire_name(name)),
    };
    // The name is that of the question, right behind the header.
    out.extend_from_slice(&[0xc0, 12]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&INTERNET.to_be_bytes());
    out.extend_from_slice(&TTL_SECONDS.to_be_bytes());
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

/// A name without compression, and where it ends. Bytes that are no text are replaced: no container
/// has such a name.
fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let start = at;
    let mut labels: Vec<u8> = Vec::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length == 0 {
            break;
        }
        if length > 63 || at - start > 254 {
            return None;
        }
        if !labels.is_empty() {
            labels.push(b'.');
        }
        labels.extend_from_slice(bytes.get(at + 1..at + 1 + length)?);
        at += 1 + length;
    }
    labels.make_ascii_lowercase();
    Some((String::from_utf8_lossy(&labels).into_owned(), at + 1))
}

/// The number of a message.
pub(super) fn id(bytes: &[u8]) -> Option<[u8; 2]> {
    bytes.get(..2)?.try_into().ok()
}

/// Whether `answer` is one to `query`, whose number it was given: the same question, since a guess
/// at the number alone must not be enough.
pub(super) fn is_answer_to(answer: &[u8], query: &[u8]) -> bool {
    let Some(question) = question_section(query) else { return false };
    let is_response = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    id(answer) == id(query)
        && is_response
        && answer
            .get(HEADER_BYTES..HEADER_BYTES + question.len())
            // Letters may come back in another case.
            .is_some_and(|theirs| theirs.eq_ignore_ascii_case(question))
}

fn question_section(query: &[u8]) -> Option<&[u8]> {
    let (_, at) = read_name(query, HEADER_BYTES)?;
    query.get(HEADER_BYTES..at + 4)
}

/// Whether a server says that it could not, or would not.
pub(super) fn is_refusal(answer: &[u8]) -> bool {
    let code = answer.get(3).map_or(0, |flags| flags & 0x0f);
    code == Code::ServerFailure as u8 || code == Code::Refused as u8 || code == 4
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn query(name: &str, kind: u16, extended: Option<u16>) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(extended.is_some())];
        bytes.extend(wire_name(name));
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        if let Some(size) = extended {
            let [a, b] = size.to_be_bytes();
            bytes.extend_from_slice(&[0, 0, 41, a, b, 0, 0, 0, 0, 0, 0]);
        }
        bytes
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let bytes = query("Web.Example", A, None);
        let question = Question::parse(&bytes).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("web.example", A));
        let records = [Data::Address([10, 0, 0, 2].into())];
        let answer = question.answer(Code::NoError, &records, true);
        assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0x80]);
        assert_eq!(answer[4..12], [0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(
            answer[answer.len() - 16..],
            [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, 2]
        );
        assert!(is_answer_to(&answer, &bytes));
        let other = query("web.example", AAAA, None);
        assert!(!is_answer_to(&answer, &other) && !is_answer_to(&bytes, &bytes));
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        let records: Vec<Data> = (0..100).map(|n| Data::Address([10, 0, 0, n].into())).collect();
        for (extended, is_datagram, room, is_cut) in [
            (None, true, 512, true),
            (Some(4096), true, 1232, true),
            (Some(100), true, 512, true),
            (None, false, 65_535, false),
        ] {
            let bytes = query("web", A, extended);
            let answer =
                Question::parse(&bytes).unwrap().answer(Code::NoError, &records, is_datagram);
            assert!(answer.len() <= room, "{extended:?}: {}", answer.len());
            assert_eq!(answer[2] & 2 != 0, is_cut, "{extended:?}");
            let count = usize::from(u16::from_be_bytes([answer[6], answer[7]]));
            let extension = if extended.is_some() { 11 } else { 0 };
            assert_eq!(answer.len(), 12 + 9 + count * 16 + extension);
        }
    }

    #[test]
    fn reverse_names_are_addresses() {
        for (name, want) in [
            ("2.0.17.172.in-addr.arpa", Some("172.17.0.2")),
            ("0.17.172.in-addr.arpa", None),
            ("1.2.0.17.172.in-addr.arpa", None),
            ("256.0.17.172.in-addr.arpa", None),
            (
                "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
                Some("fd00::2"),
            ),
            ("2.0.d.f.ip6.arpa", None),
            ("web", None),
        ] {
            let bytes = query(name, PTR, None);
            let got = Question::parse(&bytes).unwrap().reverse();
            assert_eq!(got.map(|address| address.to_string()).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn nonsense_is_no_question_and_ends() {
        let good = query("web", A, Some(1232));
        for cut in 0..good.len() - 11 {
            assert_eq!(Question::parse(&good[..cut]), None, "{cut}");
        }
        let mut looping = good.clone();
        looping[12] = 0xc0;
        looping[13] = 12;
        assert_eq!(Question::parse(&looping), None);
        let mut response = good.clone();
        response[2] |= 0x80;
        assert_eq!(Question::parse(&response), None);
        assert_eq!(complaint(&response, Code::FormatError), None);
        assert_eq!(complaint(&good[..11], Code::FormatError), None);
        assert_eq!(complaint(&looping, Code::FormatError).unwrap().len(), 12);
        let long = [63; 300];
        let mut bytes = good[..12].to_vec();
        bytes.extend_from_slice(&long);
        assert_eq!(Question::parse(&bytes), None);
    }
}
