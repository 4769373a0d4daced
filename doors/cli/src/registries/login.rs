//! `login`: tries a name and a password at a registry, and keeps them.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use engine::{EngineError, Registries, RegistryLogin, StoredIn};

use crate::attach::is_terminal;
use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, flags, long};
use crate::prompt;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `login`.
    LoginArgs {
        /// Password; other users of this machine can see it while this command runs
        password: Text = long("password").short('p'),
        /// Read the password from standard input
        password_stdin: Switch = long("password-stdin"),
        /// Name
        username: Text = long("username").short('u'),
    }
}

/// More is no password.
const MAX_PASSWORD_BYTES: u64 = 64 << 10;

impl Command for LoginArgs {
    const PATH: &'static str = "login";
    const USAGE: &'static str = "[OPTIONS] [SERVER]";
    const ARGS: Arity = Arity::AtMost(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let from_stdin = self.password_stdin.is_on();
        let mut user = self.username.text().to_owned();
        let mut password = self.password.text().to_owned();
        if !password.is_empty() {
            writeln!(
                ui.err(),
                "WARNING! Using --password via the CLI is insecure. Use --password-stdin."
            )?;
        }
        if from_stdin && !password.is_empty() {
            return ui.fail("--password and --password-stdin are mutually exclusive");
        }
        if from_stdin && user.is_empty() {
            return ui.fail("Must provide --username with --password-stdin");
        }
        let server = args.into_iter().next().unwrap_or_default();
        let registry = match Registries::registry_name(&server) {
            Ok(registry) => registry,
            Err(error) => return ui.report(&error),
        };
        if from_stdin {
            io::stdin().lock().take(MAX_PASSWORD_BYTES).read_to_string(&mut password)?;
            password.truncate(password.trim_end_matches(['\r', '\n']).len());
        }
        if user.is_empty() || password.is_empty() {
            if from_stdin || !is_terminal(io::stdin().as_fd()) {
                return ui.fail("Error: Cannot perform an interactive login from a non TTY device");
            }
            if user.is_empty() {
                user = prompt::ask("Username: ", ui)?;
            }
            if password.is_empty() {
                password = prompt::secret("Password: ", ui)?;
            }
            if user.is_empty() || password.is_empty() {
                return ui.fail("Error: username and password must not be empty");
            }
        }
        let login = RegistryLogin { registry, user };
        match call.registries().login(&login, &password) {
            Ok(stored) => {
                if let StoredIn::File(path) = stored {
                    writeln!(
                        ui.err(),
                        "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
                         Configure a credential helper to remove this warning. See\n\
                         https://docs.docker.com/go/credential-store/\n",
                        path.display()
                    )?;
                }
                writeln!(ui.out(), "Login Succeeded")?;
                Ok(Exit::Success)
            }
            Err(error @ EngineError::Invalid { .. }) => ui.fail(error),
            Err(error) => ui.report(&error),
        }
    }
}
