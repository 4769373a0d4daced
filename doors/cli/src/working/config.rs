//! `config`: what the image of a working container says besides its files.
//!
//! Values are written as in a Dockerfile's instructions. `NAME-` takes a variable, label,
//! annotation, port or volume away, as Buildah has it.

use std::collections::BTreeMap;
use std::io;

use engine::{EngineError, WorkingImage};

use super::{failed, waiting};
use crate::command::{Arity, Call, Command};
use crate::flags::{List, Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `config`.
    ConfigArgs {
        /// Annotate the image's manifest (KEY=VALUE, or KEY- for none)
        annotation: List = long("annotation").short('a'),
        /// Architecture of the image
        arch: Text = long("arch"),
        /// Author of the image
        author: Text = long("author"),
        /// Default command, as of CMD ('["a", "b"]' or a line for the shell)
        cmd: Text = long("cmd"),
        /// Note in the history about the last layer
        comment: Text = long("comment"),
        /// How the history says that the last layer came to be
        created_by: Text = long("created-by"),
        /// Program to run, as of ENTRYPOINT; the default command goes unless it is given too
        entrypoint: Text = long("entrypoint"),
        /// Set a variable (NAME=VALUE, NAME from the environment, or NAME- for none)
        env: List = long("env").short('e'),
        /// How to tell whether a container is well, as of HEALTHCHECK ('CMD true', NONE)
        healthcheck: Text = long("healthcheck"),
        /// Label the image (KEY=VALUE, or KEY- for none)
        label: List = long("label").short('l'),
        /// Instruction for images that are built from this one
        onbuild: List = long("onbuild"),
        /// Operating system of the image
        os: Text = long("os"),
        /// Expose a port (PORT[/PROTOCOL], or PORT- for none)
        port: List = long("port").short('p'),
        /// Shell of the lines of a Dockerfile, as of SHELL ('["bash", "-c"]')
        shell: Text = long("shell"),
        /// Signal that stops a container
        stop_signal: Text = long("stop-signal"),
        /// User of the command (NAME|UID[:GROUP|GID])
        user: Text = long("user").short('u'),
        /// Variant of the architecture
        variant: Text = long("variant"),
        /// Make a path a volume (PATH, or PATH- for none)
        volume: List = long("volume").short('v'),
        /// Working directory of commands
        workingdir: Text = long("workingdir"),
    }
}

impl Command for ConfigArgs {
    const PATH: &'static str = "config";
    const USAGE: &'static str = "[OPTIONS] NAME";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let name = &args[0];
        let told = || waiting(name);
        let changed = call.engine().and_then(|engine| {
            engine.configure_working(name, &told, |working| {
                self.change(working).map_err(|message| EngineError::Invalid { message })
            })
        });
        match changed {
            Ok(()) => Ok(Exit::Success),
            Err(error) => failed(&error, ui),
        }
    }
}

impl ConfigArgs {
    fn change(&self, working: &mut WorkingImage) -> Result<(), String> {
        let before = working.clone();
        self.change_platform(working);
        let image = &mut working.image;
        let config = &mut image.config;
        let mut instructions = Vec::new();
        for (keyword, text, field) in [
            ("ENTRYPOINT", &self.entrypoint, &mut config.entrypoint),
            ("CMD", &self.cmd, &mut config.cmd),
        ] {
            match text.as_deref() {
                Some("") => field.clear(),
                Some(text) => instructions.push(format!("{keyword} {text}")),
                None => {}
            }
        }
        for (keyword, text) in
            [("HEALTHCHECK", &self.healthcheck), ("STOPSIGNAL", &self.stop_signal)]
        {
            instructions.extend(text.as_deref().map(|text| format!("{keyword} {text}")));
        }
        instructions.extend(self.onbuild.0.iter().map(|text| format!("ONBUILD {text}")));
        for text in &self.env.0 {
            match (text.split_once('='), text.strip_suffix('-')) {
                (Some((name, value)), _) => set_env(&mut config.env, name, Some(value)),
                (None, Some(name)) => set_env(&mut config.env, name, None),
                (None, None) => {
                    let value = std::env::var(text)
                        .map_err(|_| format!("the environment has no variable {text}"))?;
                    set_env(&mut config.env, text, Some(&value));
                }
            }
        }
        change_map(&mut config.labels, &self.label.0);
        change_map(&mut working.annotations, &self.annotation.0);
        for text in &self.port.0 {
            match text.strip_suffix('-') {
                Some(port) => drop(config.exposed_ports.remove(&with_protocol(port))),
                None => instructions.push(format!("EXPOSE {text}")),
            }
        }
        for text in &self.volume.0 {
            match text.strip_suffix('-') {
                Some(path) => drop(config.volumes.remove(path)),
                None if text.starts_with('/') => {
                    config.volumes.insert(text.clone(), serde_json::json!({}));
                }
                None => return Err(format!("invalid volume {text:?}: not an absolute path")),
            }
        }
        for (text, field) in
            [(&self.user, &mut config.user), (&self.workingdir, &mut config.working_dir)]
        {
            if let Some(text) = text.as_deref() {
                text.clone_into(field);
            }
        }
        if !config.working_dir.is_empty() {
            config.working_dir = dockerfile::ignore::clean(&format!("/{}", config.working_dir));
        }
        if let Some(text) = self.shell.as_deref() {
            config.shell = serde_json::from_str(text)
                .map_err(|_| format!("invalid shell {text:?}: a list as '[\"bash\", \"-c\"]'"))?;
        }
        engine::apply_changes(config, &instructions).map_err(|error| error.to_string())?;
        if let Some(author) = self.author.as_deref() {
            image.author = Some(author.to_owned()).filter(|author| !author.is_empty());
        }
        if let Some(text) = self.created_by.as_deref() {
            text.clone_into(&mut working.last_entry().created_by);
        }
        if let Some(text) = self.comment.as_deref() {
            text.clone_into(&mut working.last_entry().comment);
        }
        match *working == before {
            true if !self.asks_for_something() => {
                Err("nothing to change is given: see `kista config --help`".into())
            }
            _ => Ok(()),
        }
    }

    fn change_platform(&self, working: &mut WorkingImage) {
        let platform = &mut working.image.platform;
        if let Some(text) = self.arch.as_deref() {
            text.clone_into(&mut platform.architecture);
        }
        if let Some(text) = self.os.as_deref() {
            text.clone_into(&mut platform.os);
        }
        if let Some(text) = self.variant.as_deref() {
            platform.variant = Some(text.to_owned()).filter(|text| !text.is_empty());
        }
    }

    fn asks_for_something(&self) -> bool {
        let texts = [
            &self.arch,
            &self.author,
            &self.cmd,
            &self.comment,
            &self.created_by,
            &self.entrypoint,
            &self.healthcheck,
            &self.os,
            &self.shell,
            &self.stop_signal,
            &self.user,
            &self.variant,
            &self.workingdir,
        ];
        let lists =
            [&self.annotation, &self.env, &self.label, &self.onbuild, &self.port, &self.volume];
        texts.iter().any(|text| text.0.is_some()) || lists.iter().any(|list| !list.0.is_empty())
    }
}

/// Sets a variable, or takes it away.
fn set_env(env: &mut Vec<String>, name: &str, value: Option<&str>) {
    let is_it = |entry: &String| entry.split('=').next() == Some(name);
    match value {
        None => env.retain(|entry| !is_it(entry)),
        Some(value) => {
            let new = format!("{name}={value}");
            match env.iter_mut().find(|entry| is_it(entry)) {
                Some(entry) => *entry = new,
                None => env.push(new),
            }
        }
    }
}

fn change_map(map: &mut BTreeMap<String, String>, texts: &[String]) {
    for text in texts {
        match (text.split_once('='), text.strip_suffix('-')) {
            (Some((key, value)), _) => drop(map.insert(key.to_owned(), value.to_owned())),
            (None, Some(key)) => drop(map.remove(key)),
            (None, None) => drop(map.insert(text.clone(), String::new())),
        }
    }
}

/// `80` is `80/tcp`.
fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::parse;

    fn change(words: &[&str], working: &mut WorkingImage) -> Result<(), String> {
        let words = words.iter().map(|word| (*word).to_owned());
        parse::<ConfigArgs>(words, true).unwrap().flags.change(working)
    }

    #[test]
    fn what_is_set_can_be_taken_away() {
        let mut working = WorkingImage::default();
        let set = [
            "-e",
            "A=1",
            "-e",
            "A=2",
            "-l",
            "k=v=w",
            "-a",
            "x=y",
            "-p",
            "80",
            "-p",
            "53/udp",
            "-v",
            "/data",
            "--cmd",
            "echo $A",
            "--entrypoint",
            "[\"/e\"]",
            "--user",
            "7",
            "--workingdir",
            "a/../b",
            "--shell",
            "[\"bash\", \"-c\"]",
            "--arch",
            "arm64",
            "--author",
            "me",
            "--created-by",
            "hand",
            "--healthcheck",
            "NONE",
            "--onbuild",
            "RUN x",
        ];
        change(&set, &mut working).unwrap();
        let config = &working.image.config;
        assert_eq!(config.env, ["A=2"]);
        assert_eq!(config.labels["k"], "v=w");
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("7", "/b"));
        assert_eq!(config.entrypoint, ["/e"]);
        assert_eq!(config.cmd, ["bash", "-c", "echo $A"], "by the shell that it has now");
        assert_eq!(working.image.history[0].created_by, "hand");
        let unset = ["-e", "A-", "-l", "k-", "-a", "x-", "-p", "80-", "-v", "/data-", "--cmd", ""];
        change(&unset, &mut working).unwrap();
        let config = &working.image.config;
        assert!(config.env.is_empty() && config.labels.is_empty() && config.cmd.is_empty());
        assert!(config.volumes.is_empty() && working.annotations.is_empty());
        assert_eq!(config.exposed_ports.len(), 1);
        // An entrypoint takes the default command along, as in a Dockerfile.
        change(&["--cmd", "[\"a\"]"], &mut working).unwrap();
        change(&["--entrypoint", "[\"/f\"]"], &mut working).unwrap();
        assert!(working.image.config.cmd.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            &[][..],
            &["-v", "data"],
            &["--shell", "bash"],
            &["-p", "x"],
            &["--healthcheck", "WHAT"],
            &["-e", "KISTA_TEST_NOT_SET"],
        ] {
            assert!(change(words, &mut WorkingImage::default()).is_err(), "{words:?}");
        }
    }
}
