//! A command run to its end, with its streams.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Output {
    /// 128 + n if a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Standard output as it came.
    pub bytes: Vec<u8>,
}

impl Output {
    /// Its standard output without the last line's end, if it succeeded; panics if not.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// Panics unless it failed with `code` and `text` is in its standard error.
    #[track_caller]
    pub fn fails(&self, code: i32, text: &str) {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(self.stderr.contains(text), "no {text:?} in: {}", self.stderr);
    }
}

/// Runs a command that reads `stdin` to its end; panics if that does not come in time, after
/// `too_long`, which ends what the command may have left.
#[track_caller]
pub(crate) fn run(
    mut command: Command,
    stdin: Vec<u8>,
    timeout: Duration,
    too_long: impl FnOnce() + Send,
) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|err| panic!("cannot run {}: {err}", command.get_program().display()));
    let deadline = Instant::now() + timeout;
    let input = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (status, stdout, stderr) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that does not read closes the pipe: that is its right.
            let _ = input.map(|mut input| input.write_all(&stdin));
        });
        let stdout = scope.spawn(move || read(stdout));
        let stderr = scope.spawn(move || read(stderr));
        let status = wait(&mut child, deadline);
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
            too_long();
        }
        (status, stdout.join().unwrap(), stderr.join().unwrap())
    });
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let errors = String::from_utf8_lossy(&stderr).into_owned();
    let Some(status) = status else {
        panic!("{command:?} takes too long\nstdout: {text}\nstderr: {errors}");
    };
    Output { code: code(status), stdout: text, stderr: errors, bytes: stdout }
}

fn read(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

/// `None` if the deadline comes first.
pub(crate) fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// As a shell has it: 128 + n for a signal.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
