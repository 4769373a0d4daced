//! Device filters of version 2 control groups: programs for the kernel's extended filter machine.
//! bpf(2), linux/bpf.h.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;

/// `BPF_PROG_TYPE_CGROUP_DEVICE`
const TYPE_CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: groups below may have programs too, and all of them must agree.
const ALLOW_MULTI: u32 = 2;

/// The part of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// The part for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// The part for `BPF_PROG_QUERY`.
#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// The part for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The part for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct Info {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// One call; `attr` is the part of `union bpf_attr` that belongs to `command`.
fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is live and writable for the call, and its true size is given; every part
    // above is laid out as the kernel's union, which reads a shorter one as if zeroes followed.
    // What the addresses inside point at is kept alive by the callers.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    match ret {
        -1 => Err(io::Error::last_os_error()),
        ret => Ok(ret),
    }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Loads a device filter, whose instructions are `struct bpf_insn`s one after another.
///
/// At most 15 bytes of `name` (letters, digits, `_`, `.`) are kept with it. Needs CAP_BPF and
/// CAP_NET_ADMIN, or CAP_SYS_ADMIN. `EINVAL` or `EACCES` if the kernel does not accept the
/// program. The filter lives as long as somebody holds the descriptor or it is attached.
///
/// bpf(2), `BPF_PROG_LOAD`.
pub fn load_device_filter(instructions: &[[u8; 8]], name: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = Load {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        insns: instructions.as_ptr() as u64,
        // Says that it calls no helper that is for GPL programs only.
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: padded(name),
        prog_ifindex: 0,
        expected_attach_type: 0,
    };
    let fd = bpf(PROG_LOAD, &mut attr)?;
    // SAFETY: the call succeeded, so that the answer is a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn padded(name: &[u8]) -> [u8; 16] {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name[..length]);
    padded
}

/// Attaches a device filter to the group whose directory is `group`, beside others there.
///
/// bpf(2), `BPF_PROG_ATTACH`; cgroup version 2 from Linux 4.15 on.
pub fn attach_device_filter(group: BorrowedFd<'_>, filter: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: raw(group),
        attach_bpf_fd: raw(filter),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI,
        replace_bpf_fd: 0,
    };
    bpf(PROG_ATTACH, &mut attr).map(drop)
}

/// The ids of the device filters attached to a group itself, at most 64.
pub fn device_filters(group: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; 64];
    let mut attr = Query {
        target_fd: raw(group),
        attach_type: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        padding: 0,
    };
    bpf(PROG_QUERY, &mut attr)?;
    let count = ids.len().min(attr.prog_cnt as usize);
    Ok(ids[..count].to_vec())
}

/// Detaches a device filter from a group, if it has that name; says whether it did.
///
/// One that is gone meanwhile is no error. Needs CAP_SYS_ADMIN, to look programs up by id.
pub fn detach_device_filter(group: BorrowedFd<'_>, id: u32, name: &[u8]) -> io::Result<bool> {
    let mut attr = ById { id, next_id: 0, open_flags: 0 };
    let filter = match bpf(PROG_GET_FD_BY_ID, &mut attr) {
        // SAFETY: the call succeeded, so that the answer is a new descriptor that nobody else
        // knows.
        Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) },
        Err(err) if err.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
        Err(err) => return Err(err),
    };
    if filter_name(filter.as_fd())? != padded(name) {
        return Ok(false);
    }
    let mut attr = Attach {
        target_fd: raw(group),
        attach_bpf_fd: raw(filter.as_fd()),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: 0,
        replace_bpf_fd: 0,
    };
    match bpf(PROG_DETACH, &mut attr) {
        Ok(_) => Ok(true),
        Err(err) if err.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(err) => Err(err),
    }
}

fn filter_name(filter: BorrowedFd<'_>) -> io::Result<[u8; 16]> {
    // The beginning of `struct bpf_prog_info`, whose field `name` is at 64.
    let mut info = [0_u64; 10];
    let mut attr = Info {
        bpf_fd: raw(filter),
        info_len: size_of_val(&info) as u32,
        info: info.as_mut_ptr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    let mut name = [0; 16];
    name[..8].copy_from_slice(&info[8].to_ne_bytes());
    name[8..].copy_from_slice(&info[9].to_ne_bytes());
    Ok(name)
}
