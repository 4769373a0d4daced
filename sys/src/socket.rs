//! Descriptors that travel with a message over a unix socket; an option of sockets of IP.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// The most descriptors that go with one message: the kernel's own bound.
pub const MAX_FDS: usize = 253;

/// Lets a socket of IP be bound to an address that is not this host's.
///
/// Needs CAP_NET_RAW or CAP_NET_ADMIN over its network namespace. ip(7), `IP_TRANSPARENT`; its twin
/// of IPv6 is `IPV6_TRANSPARENT`.
pub fn set_transparent(socket: BorrowedFd<'_>, is_ipv4: bool) -> io::Result<()> {
    let (level, option) = match is_ipv4 {
        true => (libc::SOL_IP, libc::IP_TRANSPARENT),
        false => (libc::SOL_IPV6, libc::IPV6_TRANSPARENT),
    };
    let on: libc::c_int = 1;
    // SAFETY: the socket is open because it is borrowed, and the option takes an int, which
    // outlives the call and whose true size is given.
    let ret = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Two connected sockets, closed on exec.
///
/// socketpair(2).
pub fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// Sends `bytes`, and `fds` with them. Answers how many bytes went (all of them on a
/// `SOCK_SEQPACKET`). A receiver that is gone is `EPIPE`, never a signal.
///
/// At most [`MAX_FDS`] descriptors; at least one byte, since the kernel drops the descriptors of
/// an empty message on a stream.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    let mut space = Vec::new();
    if !fds.is_empty() {
        space.resize(rustix::cmsg_space!(ScmRights(fds.len())), MaybeUninit::uninit());
    }
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        let data = [IoSlice::new(bytes)];
        match rustix::net::sendmsg(socket, &data, &mut control, flags | SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives into `bytes`, with at most `max_fds` descriptors, which are closed on exec.
///
/// `(0, [])` at the end of the stream. A message or a set of descriptors that did not fit is
/// `EMSGSIZE`, and what came is closed.
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    max_fds: usize,
    flags: RecvFlags,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = Vec::new();
    if max_fds > 0 {
        space.resize(rustix::cmsg_space!(ScmRights(max_fds)), MaybeUninit::uninit());
    }
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let mut data = [IoSliceMut::new(bytes)];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket, &mut data, &mut control, flags) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE.into());
    }
    Ok((message.bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    #[test]
    fn descriptors_arrive_with_their_message() {
        let (one, two) = pair(SocketType::SEQPACKET).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        send(one.as_fd(), b"hello", &[file.as_fd(), file.as_fd()], SendFlags::empty()).unwrap();
        send(one.as_fd(), b"bye", &[], SendFlags::empty()).unwrap();
        drop(one);

        let mut buffer = [0; 16];
        let receive_next =
            |buffer: &mut [u8]| receive(two.as_fd(), buffer, 2, RecvFlags::empty()).unwrap();
        let (length, mut fds) = receive_next(&mut buffer);
        assert_eq!((&buffer[..length], fds.len()), (&b"hello"[..], 2));
        let mut copy = std::fs::File::from(fds.remove(0));
        copy.rewind().unwrap();
        let mut text = String::new();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        assert_eq!(receive_next(&mut buffer).0, 3);
        assert_eq!(receive_next(&mut buffer).0, 0);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let (one, two) = pair(SocketType::SEQPACKET).unwrap();
        send(one.as_fd(), b"too long", &[], SendFlags::empty()).unwrap();
        send(one.as_fd(), b"fds", &[two.as_fd(), two.as_fd()], SendFlags::empty()).unwrap();
        let mut small = [0; 4];
        receive(two.as_fd(), &mut small, 1, RecvFlags::empty()).unwrap_err();
        receive(two.as_fd(), &mut small, 0, RecvFlags::empty()).unwrap_err();
    }
}
