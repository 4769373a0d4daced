//! `save`: writes images into an archive.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use engine::SaveImages;

use crate::attach::is_terminal;
use crate::command::{Arity, Call, Command};
use crate::container::platforms;
use crate::files;
use crate::flags::{Text, Words, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `save`.
    SaveArgs {
        /// Archive to write; standard output if not given
        output: Text = long("output").short('o'),
        /// Only images for these platforms (os/arch[/variant])
        platform: Words = long("platform"),
    }
}

/// Larger than what the archive's small parts need.
const BUFFER: usize = 256 << 10;

impl Command for SaveArgs {
    const PATH: &'static str = "image save";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let platforms = match platforms(&self.platform.0) {
            Ok(platforms) => platforms,
            Err(text) => return ui.fail(text),
        };
        let request = SaveImages { images: args, platforms };
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let path = self.output.text();
        if path.is_empty() {
            let stdout = io::stdout();
            if is_terminal(stdout.as_fd()) {
                return ui
                    .fail("cowardly refusing to save to a terminal. Use the -o flag or redirect");
            }
            let mut writer = BufWriter::with_capacity(BUFFER, stdout.lock());
            return match engine.save_images(&mut writer, &request) {
                Ok(()) => writer.flush().map(|()| Exit::Success),
                Err(error) => {
                    // What is in the buffer belongs to an archive that nobody shall have.
                    let (_, _) = writer.into_parts();
                    ui.report(&error)
                }
            };
        }
        let mut output = match Output::create(path) {
            Ok(output) => output,
            Err(text) => return ui.fail(text),
        };
        match engine.save_images(&mut output.writer, &request) {
            Ok(()) => match output.finish() {
                Ok(()) => Ok(Exit::Success),
                Err(error) => ui.fail(files::failed("write", path, &error)),
            },
            Err(error) => ui.report(&error),
        }
    }
}

/// A file beside the one that is wanted, which takes its place when all is written.
struct Output {
    writer: BufWriter<File>,
    /// `None` if what is there is no regular file and is written to as it is.
    temporary: Option<PathBuf>,
    path: PathBuf,
}

impl Output {
    fn create(path: &str) -> Result<Self, String> {
        let failed = |error: io::Error| files::failed("open", path, &error);
        let path = Path::new(path);
        let is_special = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        if is_special {
            let file = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
            let writer = BufWriter::with_capacity(BUFFER, file);
            return Ok(Self { writer, temporary: None, path: path.to_owned() });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create_new(&temporary).map_err(failed)?;
        let writer = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { writer, temporary: Some(temporary), path: path.to_owned() })
    }

    fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.path)?;
            self.temporary = None;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}
