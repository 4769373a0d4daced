//! `create`: makes a container without starting it.

use std::io::{self, Write};

use super::options::CreateArgs;
use crate::command::{Arity, Call, Command};
use crate::files::CidFile;
use crate::ui::{Exit, Ui};

impl Command for CreateArgs {
    const PATH: &'static str = "container create";
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ARGS: Arity = Arity::AtLeast(1);
    const INTERSPERSED: bool = false;

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let request = match self.0.into_request(args, &call.config()) {
            Ok(request) => request,
            Err(text) => return call.fail_with_help(&text, 125, ui),
        };
        let mut cid_file = match cid_file(&request.host.container_id_file) {
            Ok(file) => file,
            Err(text) => return ui.fail(text),
        };
        let created = match call.engine().and_then(|engine| engine.create_container(&request)) {
            Ok(created) => created,
            Err(error) => return ui.report(&error),
        };
        for warning in &created.warnings {
            writeln!(ui.err(), "WARNING: {warning}")?;
        }
        if let Some(file) = &mut cid_file {
            file.write(&created.id)?;
        }
        writeln!(ui.out(), "{}", created.id)?;
        Ok(Exit::Success)
    }
}

/// The file of `--cidfile`, if there is to be one.
pub(crate) fn cid_file(path: &str) -> Result<Option<CidFile>, String> {
    if path.is_empty() { Ok(None) } else { CidFile::create(path).map(Some) }
}
