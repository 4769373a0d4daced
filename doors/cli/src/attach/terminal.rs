//! The terminal: its size, and raw mode with a way back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Numbers of the signals that a session knows by name, for matching.
pub(crate) mod number {
    use rustix::process::Signal;

    pub(crate) const INT: i32 = Signal::INT.as_raw();
    pub(crate) const TERM: i32 = Signal::TERM.as_raw();
    pub(crate) const CHLD: i32 = Signal::CHILD.as_raw();
    pub(crate) const CONT: i32 = Signal::CONT.as_raw();
    pub(crate) const PIPE: i32 = Signal::PIPE.as_raw();
    pub(crate) const TSTP: i32 = Signal::TSTP.as_raw();
    pub(crate) const TTIN: i32 = Signal::TTIN.as_raw();
    pub(crate) const TTOU: i32 = Signal::TTOU.as_raw();
    pub(crate) const URG: i32 = Signal::URG.as_raw();
    pub(crate) const WINCH: i32 = Signal::WINCH.as_raw();
}

/// Whether a stream is a terminal.
pub(crate) fn is_terminal(stream: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(stream)
}

/// Rows and columns of the terminal that standard output is; `None` if it is none.
pub(crate) fn terminal_size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_row > 0 || size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// The settings to go back to, where the panic hook finds them too.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Standard input's terminal in raw mode, until dropped.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Enters raw mode; `None` if standard input is no terminal.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        let Ok(settings) = tcgetattr(stdin) else { return Ok(None) };
        if let Ok(mut saved) = SAVED.lock() {
            *saved = Some(settings);
        }
        let raw = Self(());
        raw.enter_again()?;
        Ok(Some(raw))
    }

    /// Enters raw mode once more: after a stop somebody else has set the terminal.
    pub(crate) fn enter_again(&self) -> io::Result<()> {
        let stdin = rustix::stdio::stdin();
        let mut settings = tcgetattr(stdin)?;
        settings.make_raw();
        Ok(tcsetattr(stdin.as_fd(), OptionalActions::Now, &settings)?)
    }

    /// Leaves raw mode for a while.
    pub(crate) fn leave(&self) {
        if let Ok(saved) = SAVED.lock()
            && let Some(settings) = &*saved
        {
            // A terminal that is gone needs no settings.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, settings);
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Gives the terminal its settings back before a panic is reported. The program aborts then, so
/// that nothing is dropped.
pub(crate) fn restore_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if let Ok(saved) = SAVED.try_lock()
            && let Some(settings) = &*saved
        {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, settings);
        }
        report(info);
    }));
}
