//! The embedded init: what `--init` puts before the user's program.

/// The whole of a process that was called as `docker-init`; `args` are those after the name.
pub fn main(args: &[std::ffi::OsString]) -> std::process::ExitCode {
    std::process::ExitCode::from(if args.is_empty() { 125 } else { 127 })
}
