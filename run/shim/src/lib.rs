//! The parent of one process: a container's init, or a process that `exec` added to it.
//!
//! ```text
//! client ---- control socket (fd 3) ----> shim ---- forks ----> stage ---- clone3 ----> init
//!   |                                      | ^                    |  CLONE_PARENT: the shim's child
//!   |  <container_dir>/attach.sock         | +--- descriptors ----+  (exits when init runs)
//!   +--------------------------------------+
//! ```
//!
//! The *shim* is this binary under the name [`NAME`]: a session of its own, `/dev/null` for its
//! standard streams, one thread, one loop over `poll`. It survives whoever started it. It holds
//! what must live as long as the process: the other ends of its pipes or its terminal, the life
//! lock (taken by [`Hooks::claim`]), the log. The *stage* is its short-lived child that does what
//! takes memory: it reads the launch, parses the specification, makes the cgroup and the
//! container, and hands the descriptors over. An idle shim therefore holds a few pages.
//!
//! No policy is made here: what a record looks like and what is deleted is in the [`Hooks`].
//!
//! # Protocol
//!
//! Both sockets are streams of frames, little endian: `[kind u8][length u32][payload]`.
//!
//! ```text
//! client -> shim
//!   0c Cgroup    the path of a cgroup to make already               control socket, before Launch
//!   01 Launch    two lines of JSON, then the seccomp program's bytes   control socket, first
//!   02 Attach    1 byte: bits 0 stdin, 1 stdout, 2 stderr              attach socket, first
//!   03 Stdin     bytes, never more than the window allows
//!   04 StdinEof
//!   05 Resize    rows u16, columns u16
//!   06 Signal    number u8
//!   07 Detach    then the shim closes; the process's stdin stays open
//!   08 Socket    what it is for, with one socket                         control socket, before
//!   09 Connected                                                        `Started`: see [`network`]
//!   0a Resolve   the process is to have a resolver                     attach socket
//!   0b Freeze    the process is to stand still until the client goes     attach socket
//! shim -> client
//!   81 Started   pid u32, 1 byte: bit 0 has a terminal, bit 1 stdin is open
//!   82 Failed    exit code u8, message; then the shim closes
//!   83 Stdout    bytes (also everything from a terminal)
//!   84 Stderr    bytes
//!   85 Window    u32: so many more bytes of stdin may be sent
//!   86 Exited    exit code u8; then the shim closes
//!   87 Made      pid u32: see [`network`]
//! ```
//!
//! A client that sends something else, or more than a kind's maximum, is dropped. `Started` is
//! the answer to `Launch`, to `Attach`, to `Resolve` and to `Freeze`. Payloads of the three data kinds are at most
//! [`frame::MAX_DATA_BYTES`].
//!
//! **Input** is paced by a window: a client may have [`frame::STDIN_WINDOW_BYTES`] on their way,
//! and each byte that the process took is given back by `Window`. So a process that does not read
//! never stands in the way of a `Signal` or a `Resize`. `StdinEof` closes the process's stdin if
//! the launching client sends it, or any client when `stdin_once` is set; with `stdin_once` so
//! does the loss, without `Detach`, of a client that could type. A terminal stays open.
//!
//! **Output** is read only while every client that wants the stream has taken what came before:
//! a slow client slows the process down, and nothing is lost. A client that goes away is dropped.
//!
//! **Freezing** lasts as long as the client that asked for it is there: when its connection ends,
//! by `Detach` or by whatever death, the process goes on before the shim closes its side.
//!
//! **Signals to the shim itself**: `SIGTERM` is passed on to the process, everything else that can
//! be blocked is without effect. `SIGKILL` takes the process along (`PR_SET_PDEATHSIG`).

mod early;
mod error;
pub mod frame;
mod hooks;
mod launch;
pub mod network;

pub mod client;
pub mod init;
pub mod log;

mod monitor;

pub use early::Early;
pub use error::ShimError;
pub use hooks::{Exit, Failure, Hooks};
pub use launch::{CgroupPlan, Filter, Foreign, Kind, Launch, Plan, Streams, Target};
pub use monitor::main;

/// `argv[0]` under which the binary is a shim.
pub const NAME: &str = "kista-shim";

/// The socket for attaching, in the container's directory.
pub const ATTACH_SOCKET: &str = "attach.sock";
