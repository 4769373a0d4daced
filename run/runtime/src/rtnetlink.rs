//! As much of rtnetlink(7) as moving a device takes: links and addresses, one request at a time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_FLAGS: u16 = 8;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;
const ADDRESS_BYTES: usize = 8;

/// A socket to the kernel in one network namespace: the one of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Rtnetlink {
    socket: OwnedFd,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
}

/// An address of a device, in the kernel's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) index: u32,
    /// Whether it has global scope and was set by somebody.
    pub(crate) is_global_and_permanent: bool,
    family: u8,
    prefix_bits: u8,
    /// All but what is the old device's own: its name, and the times of its address.
    attributes: Vec<u8>,
}

impl Rtnetlink {
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Self { socket })
    }

    /// All devices.
    pub(crate) fn links(&self) -> io::Result<Vec<Link>> {
        let answers = self.ask(RTM_GETLINK, DUMP, &link(0, 0))?;
        let parse = |body: &Vec<u8>| {
            let name =
                attributes(body.get(LINK_BYTES..)?).find(|(kind, _)| *kind == IFLA_IFNAME)?;
            let name = name.1.split(|byte| *byte == 0).next()?;
            let name = String::from_utf8_lossy(name).into_owned();
            Some(Link { index: number(body.get(4..8)?)?, name })
        };
        Ok(answers.iter().filter_map(parse).collect())
    }

    /// All addresses of all devices.
    pub(crate) fn addresses(&self) -> io::Result<Vec<Address>> {
        const PERMANENT: u32 = 0x80;
        const OLD: [u16; 2] = [3, 6]; // IFA_LABEL, IFA_CACHEINFO
        let answers = self.ask(RTM_GETADDR, DUMP, &[0; ADDRESS_BYTES])?;
        let parse = |body: &Vec<u8>| {
            let &[family, prefix_bits, flags, scope, ref index @ ..] = body.get(..8)? else {
                return None;
            };
            let rest = body.get(ADDRESS_BYTES..)?;
            let flags = attributes(rest)
                .find(|(kind, _)| *kind == IFA_FLAGS)
                .and_then(|(_, value)| number(value))
                .unwrap_or(u32::from(flags));
            let mut kept = Vec::new();
            for (kind, value) in attributes(rest).filter(|(kind, _)| !OLD.contains(kind)) {
                attribute(&mut kept, kind, value);
            }
            Some(Address {
                index: number(index)?,
                is_global_and_permanent: scope == 0 && flags & PERMANENT != 0,
                family,
                prefix_bits,
                attributes: kept,
            })
        };
        Ok(answers.iter().filter_map(parse).collect())
    }

    /// Moves a device to another namespace, under a name that may end in `%d`.
    pub(crate) fn move_link(&self, index: u32, namespace: i32, name: &str) -> io::Result<()> {
        let mut body = link(index, 0);
        attribute(&mut body, IFLA_NET_NS_FD, &namespace.to_ne_bytes());
        attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat());
        self.ask(RTM_NEWLINK, ACK, &body).map(drop)
    }

    pub(crate) fn set_up(&self, index: u32) -> io::Result<()> {
        const IFF_UP: u32 = 1;
        self.ask(RTM_NEWLINK, ACK, &link(index, IFF_UP)).map(drop)
    }

    /// Gives a device an address that another had.
    pub(crate) fn add_address(&self, index: u32, address: &Address) -> io::Result<()> {
        let mut body = vec![address.family, address.prefix_bits, 0x80, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        body.extend_from_slice(&address.attributes);
        self.ask(RTM_NEWADDR, ACK | CREATE, &body).map(drop)
    }

    /// The bodies of all answers.
    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let length = u32::try_from(HEADER_BYTES + body.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(body);
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answers = Vec::new();
        loop {
            let mut buffer = vec![0; 64 * 1024];
            let (length, _) =
                rustix::net::recv(self.socket.as_fd(), &mut buffer[..], RecvFlags::empty())?;
            let mut rest = &buffer[..length];
            while let Some((kind, body, next)) = message(rest) {
                rest = next;
                match kind {
                    DONE => return Ok(answers),
                    ERROR => {
                        let code =
                            body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
                        return match code {
                            0 => Ok(answers),
                            code => Err(Errno::from_raw_os_error(-code).into()),
                        };
                    }
                    _ => answers.push(body.to_vec()),
                }
            }
        }
    }
}

/// `struct ifinfomsg`: no type, and what of `flags` shall be on.
fn link(index: u32, flags: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for number in [index, flags, flags] {
        body.extend_from_slice(&number.to_ne_bytes());
    }
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The first message of several: kind, body, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(number(bytes.get(..4)?)?).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..6)?.first_chunk()?);
    let body = bytes.get(HEADER_BYTES..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..4)?.first_chunk()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_found_and_bad_bytes_are_none() {
        let kernel = Rtnetlink::open().unwrap();
        assert!(kernel.links().unwrap().iter().any(|link| link.name == "lo"));
        kernel.addresses().unwrap();
        assert!(kernel.set_up(u32::MAX >> 1).is_err());
        for bytes in [&[][..], &[1], &[255, 255, 0, 0, 1, 0], &[3, 0, 0, 0, 16, 0, 0, 0]] {
            assert_eq!(message(bytes), None);
            assert_eq!(attributes(bytes).count(), 0);
        }
    }
}
