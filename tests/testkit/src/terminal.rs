//! A terminal with a program in it: what a person at a keyboard does and sees.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::PATIENCE;

/// A [`Screen`] and the program in it, which is killed when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    screen: Screen,
    child: Child,
}

/// The keyboard's and screen's side of a terminal.
#[derive(Debug)]
pub struct Screen {
    master: OwnedFd,
    /// What was shown and not yet expected.
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts `command` with a new terminal of 24 rows and 80 columns as its own.
    pub(crate) fn start(command: &Command) -> Self {
        let master =
            rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
                .unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        set_size(&master, 24, 80);
        // setsid(1) makes the terminal the session's: that cannot be done in safe code here.
        let mut inside = Command::new("setsid");
        inside.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(key, value),
                None => inside.env_remove(key),
            };
        }
        inside
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave));
        let child = inside.spawn().unwrap();
        Self { screen: Screen::new(master), child }
    }

    /// The process in the terminal.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the program's end; gives its exit code and what was still shown.
    #[track_caller]
    pub fn wait(&mut self) -> (i32, String) {
        let rest = self.rest();
        let status = crate::process::wait(&mut self.child, Instant::now() + PATIENCE);
        let status = status.expect("the program in the terminal ends");
        (crate::process::code(status), rest)
    }
}

impl Deref for Terminal {
    type Target = Screen;

    fn deref(&self) -> &Screen {
        &self.screen
    }
}

impl DerefMut for Terminal {
    fn deref_mut(&mut self) -> &mut Screen {
        &mut self.screen
    }
}

impl Screen {
    /// Of a terminal whose master side this is.
    pub fn new(master: OwnedFd) -> Self {
        Self { master, shown: Vec::new() }
    }

    /// Types.
    pub fn send(&self, keys: &str) {
        let mut rest = keys.as_bytes();
        while !rest.is_empty() {
            let written = rustix::io::write(&self.master, rest).unwrap();
            rest = &rest[written..];
        }
    }

    /// Waits until `text` is shown; gives all that was shown up to its end.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = find(&self.shown, text.as_bytes()) {
                let rest = self.shown.split_off(at + text.len());
                let shown = std::mem::replace(&mut self.shown, rest);
                return String::from_utf8_lossy(&shown).into_owned();
            }
            if !self.read(deadline) {
                panic!(
                    "the screen never showed {text:?}: {:?}",
                    String::from_utf8_lossy(&self.shown)
                );
            }
        }
    }

    /// Makes the window another size; the program gets SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.master, rows, columns);
    }

    /// The terminal's settings, to see whether it is raw.
    pub fn is_raw(&self) -> bool {
        let settings = rustix::termios::tcgetattr(&self.master).unwrap();
        !settings.local_modes.contains(rustix::termios::LocalModes::ICANON)
    }

    /// Reads until nobody holds the other side; gives what was shown and not expected.
    pub fn rest(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.read(deadline) {}
        String::from_utf8_lossy(&std::mem::take(&mut self.shown)).into_owned()
    }

    /// False at the end, or at the deadline.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return true,
            Err(err) => panic!("poll of a terminal: {}", io::Error::from(err)),
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.master, &mut buffer) {
            // EIO: nobody holds the other side any more.
            Ok(0) | Err(rustix::io::Errno::IO) => false,
            Ok(count) => {
                self.shown.extend_from_slice(&buffer[..count]);
                true
            }
            Err(err) => panic!("read of a terminal: {}", io::Error::from(err)),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(master: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size).unwrap();
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_in_a_terminal_answers() {
        let mut terminal = Terminal::start(&Command::new("sh"));
        terminal.send("stty size; echo $((40 + 2))\n");
        terminal.expect("24 80");
        terminal.expect("42");
        terminal.resize(30, 100);
        terminal.send("stty size\n");
        terminal.expect("30 100");
        terminal.send("exit 3\n");
        assert_eq!(terminal.wait().0, 3);
    }
}
