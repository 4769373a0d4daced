//! `version`: shows versions.

use std::io::{self, Write};

use serde_json::json;

use crate::command::{Arity, Call, Command};
use crate::flags::{Text, flags, long};
use crate::ui::{Exit, Ui};

/// The version of the Docker Engine API of which `inspect` and `--format json` speak the words.
const API_VERSION: &str = "1.56";

flags! {
    /// Flags of `version`.
    VersionArgs {
        /// Print with a Go template, or `json`
        format: Text = long("format").short('f'),
    }
}

/// What `kista --version` says.
pub(crate) fn version_line() -> String {
    format!("Kista version {}, build {}", env!("CARGO_PKG_VERSION"), build())
}

/// What the builder called this build.
fn build() -> &'static str {
    option_env!("KISTA_BUILD").unwrap_or("unknown")
}

impl Command for VersionArgs {
    const PATH: &'static str = "version";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, _call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let system = rustix::system::uname();
        let kernel = system.release().to_string_lossy();
        let arch = oci::Platform::host().architecture;
        let version = env!("CARGO_PKG_VERSION");
        // Client and engine are one program; scripts ask for either.
        let value = json!({
            "Client": {
                "Platform": { "Name": "Kista" },
                "Version": version,
                "ApiVersion": API_VERSION,
                "GitCommit": build(),
                "Os": "linux",
                "Arch": arch,
                "Context": "default",
            },
            "Server": {
                "Platform": { "Name": "Kista" },
                "Components": [{ "Name": "Engine", "Version": version, "Details": {
                    "ApiVersion": API_VERSION,
                    "Arch": arch,
                    "GitCommit": build(),
                    "KernelVersion": kernel,
                    "Os": "linux",
                } }],
                "Version": version,
                "ApiVersion": API_VERSION,
                "GitCommit": build(),
                "Os": "linux",
                "Arch": arch,
                "KernelVersion": kernel,
            },
        });
        if let Some(text) = self.format.as_deref().filter(|text| !text.is_empty()) {
            return super::info::print_one(text, &value, ui);
        }
        let mut out = ui.out();
        writeln!(out, "Kista {version}, client and engine in one:")?;
        writeln!(out, " Version:           {version}")?;
        writeln!(out, " API version:       {API_VERSION} (words of inspect and templates)")?;
        writeln!(out, " Git commit:        {}", build())?;
        writeln!(out, " OS/Arch:           linux/{arch}")?;
        writeln!(out, " Kernel:            {kernel}")?;
        Ok(Exit::Success)
    }
}
