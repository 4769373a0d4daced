//! `ps`: lists containers.

use std::io::{self, Write};

use engine::{ContainerState, ContainerSummary, ListContainers};
use oci::Timestamp;
use serde_json::Value;

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Integer, Switch, Text, flags, long};
use crate::render::{
    self, Format, Row, ago, human_duration, human_size, local_time, print_rows, uses_field,
    uses_whole,
};
use crate::text::{ellipsis, quote, short_id};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `ps`.
    ListArgs {
        /// Those that do not run too
        all: Switch = long("all").short('a'),
        /// Only those that match (status=exited, label=KEY, name=...)
        filter: Filter = long("filter").short('f'),
        /// Print as `table`, `table TEMPLATE`, `json` or a Go template
        format: Text = long("format"),
        /// Only so many, the newest first; those that do not run too
        last: Integer<i64> = long("last").short('n'),
        /// Only the newest; one that does not run too
        latest: Switch = long("latest").short('l'),
        /// Cut nothing off
        no_trunc: Switch = long("no-trunc"),
        /// Only ids
        quiet: Switch = long("quiet").short('q'),
        /// Count the bytes that each container has written too
        size: Switch = long("size").short('s'),
    }
}

const TABLE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t\
    {{.Names}}";

/// What errors of templates call a line.
const TYPE_NAME: &str = "*formatter.ContainerContext";

/// A placeholder with an argument, which no head belongs to.
const LABEL: &str = "Label";

const HEADS: [(&str, &str); 16] = [
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("HealthStatus", "HEALTH STATUS"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("Ports", "PORTS"),
    ("RunningFor", "CREATED"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];

impl Command for ListArgs {
    const PATH: &'static str = "container ls";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let quiet = self.quiet.is_on();
        let format = match self.format.text() {
            "" if quiet => String::new(),
            "" => call.config().ps_format,
            text => {
                if quiet {
                    writeln!(
                        ui.err(),
                        "WARNING: Ignoring custom format, because both --format and --quiet are set."
                    )?;
                }
                text.to_owned()
            }
        };
        let table =
            if self.size.is_on() { format!("{TABLE}\t{{{{.Size}}}}") } else { TABLE.into() };
        let format = match quiet {
            true => Format::Template("{{.ID}}".into()),
            false => Format::parse(&format, &table),
        };
        if let Some(Err(text)) =
            self.format.as_deref().map(|_| render::check(&format, TYPE_NAME, &HEADS))
        {
            return ui.fail(text);
        }
        let size = self.size.0.unwrap_or_else(|| uses_field(&format, "Size"));
        let last = match (self.last.0, self.latest.is_on()) {
            (None | Some(-1), true) => Some(1),
            (Some(count), _) => usize::try_from(count).ok().filter(|count| *count > 0),
            (None, false) => None,
        };
        let request = ListContainers { all: self.all.is_on(), last, filters: self.filter.0, size };
        let containers = match call.engine().and_then(|engine| engine.list_containers(&request)) {
            Ok(containers) => containers,
            Err(error) => return ui.report(&error),
        };
        let now = Timestamp::now();
        let cut = !self.no_trunc.is_on();
        // With a thousand containers, what nobody sees takes longer than what is seen.
        let all = uses_whole(&format);
        let names = HEADS.iter().map(|(name, _)| *name).chain([LABEL]);
        let used: Vec<&str> = names.filter(|name| all || uses_field(&format, name)).collect();
        let rows = sys::parallel::map(&containers, |container| row(container, cut, now, &used));
        let printed = print_rows(&format, TYPE_NAME, &HEADS, rows, &mut ui.out())?;
        match printed {
            Ok(()) => Ok(Exit::Success),
            Err(text) => ui.fail(text),
        }
    }
}

/// The placeholders of one line, those that are `used`: some of [`HEADS`] and perhaps [`LABEL`], in
/// this order.
fn row(container: &ContainerSummary, cut: bool, now: Timestamp, used: &[&str]) -> Row {
    let id = if cut { short_id(&container.id) } else { &container.id };
    let shorten = |text: &str, width: usize| match cut {
        true => ellipsis(text, width),
        false => text.to_owned(),
    };
    let mounts =
        || container.mounts.iter().map(|mount| shorten(mount, 15)).collect::<Vec<String>>();
    let volumes = || container.mounts.iter().filter(|mount| !mount.starts_with('/')).count();
    let pair = |(key, value): (&String, &String)| format!("{key}={value}");
    let labels = || container.labels.iter().map(pair).collect::<Vec<String>>();
    let size = || match container.size_bytes {
        None => "0B".to_owned(),
        Some((written, 0)) => human_size(written, 3),
        Some((written, all)) => {
            format!("{} (virtual {})", human_size(written, 3), human_size(all, 3))
        }
    };
    let mut row = Row::with_capacity(used.len());
    let mut wanted = used.iter().copied().peekable();
    let mut put = |name: &str, text: &dyn Fn() -> String| {
        if wanted.next_if_eq(&name).is_some() {
            row.insert(name.to_owned(), Value::from(text()));
        }
    };
    put("Command", &|| quote(&shorten(&container.command, 20)));
    put("CreatedAt", &|| local_time(container.created));
    put("HealthStatus", &String::new);
    put("ID", &|| id.to_owned());
    put("Image", &|| image(container, cut));
    put("Labels", &|| labels().join(","));
    put("LocalVolumes", &|| volumes().to_string());
    put("Mounts", &|| mounts().join(","));
    put("Names", &|| container.name.clone());
    put("Networks", &|| container.networks.join(","));
    put("Platform", &String::new);
    put("Ports", &|| container.ports.clone());
    put("RunningFor", &|| ago(container.created, now));
    put("Size", &size);
    put("State", &|| state(container.state).to_owned());
    put("Status", &|| status(container, now));
    // A container of any platform but the host's does not run, so that there is none to tell.
    if let Some(platform) = row.get_mut("Platform") {
        *platform = Value::Null;
    }
    if used.last() == Some(&LABEL) {
        let labels = serde_json::to_value(&container.labels).unwrap_or_default();
        row.insert(crate::render::LABELS_BY_KEY.into(), labels);
    }
    row
}

/// The image's name as the user gave it, without what is not for the eye.
fn image(container: &ContainerSummary, cut: bool) -> String {
    if container.image.is_empty() {
        return "<no image>".to_owned();
    } else if !cut {
        return container.image.clone();
    }
    let id = short_id(&container.image_id);
    if short_id(&container.image) == id {
        return id.to_owned();
    }
    // As nearly all are: a name of Docker's own registry, and a tag.
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if let Some((name, tag)) = container.image.split_once(':')
        && name.bytes().all(is_plain)
        && name != "localhost"
        && tag.bytes().all(is_plain)
    {
        return container.image.clone();
    }
    match container.image.parse::<oci::Reference>() {
        Ok(name) => match name.tag() {
            Some(tag) => format!("{}:{tag}", name.familiar_repository()),
            None => name.familiar_repository(),
        },
        Err(_) => container.image.clone(),
    }
}

fn state(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "created",
        ContainerState::Running => "running",
        ContainerState::Paused => "paused",
        ContainerState::Exited => "exited",
        ContainerState::Removing => "removing",
        ContainerState::Dead => "dead",
    }
}

/// `Up 2 minutes`, `Exited (0) 3 hours ago`.
fn status(container: &ContainerSummary, now: Timestamp) -> String {
    let up = || human_duration(now.since(container.started));
    match container.state {
        ContainerState::Created => "Created".to_owned(),
        ContainerState::Running => format!("Up {}", up()),
        ContainerState::Paused => format!("Up {} (Paused)", up()),
        ContainerState::Exited => {
            format!("Exited ({}) {}", container.exit_code, ago(container.finished, now))
        }
        ContainerState::Removing => "Removal In Progress".to_owned(),
        ContainerState::Dead => "Dead".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> ContainerSummary {
        let time = Timestamp::from_unix;
        ContainerSummary {
            id: "0123456789abcdef".repeat(4),
            name: "eager_hopper".into(),
            image: "debian@sha256:0000000000000000000000000000000000000000000000000000000000000000"
                .into(),
            image_id: format!("sha256:{}", "f".repeat(64)),
            command: "sh -c 'while true; do sleep 1; done'".into(),
            created: time(1000, 0),
            state: ContainerState::Exited,
            pid: 0,
            exit_code: 3,
            started: time(1010, 0),
            finished: time(1020, 0),
            labels: [("a".into(), "1".into()), ("b".into(), "2".into())].into(),
            mounts: vec!["/var/lib/something/long".into(), "data".into()],
            ports: String::new(),
            networks: vec!["none".into()],
            size_bytes: Some((2, 1_982_000)),
        }
    }

    fn all() -> Vec<&'static str> {
        HEADS.iter().map(|(name, _)| *name).chain([LABEL]).collect()
    }

    #[test]
    fn a_line_looks_as_dockers() {
        let now = Timestamp::from_unix(1140, 0);
        let format = Format::parse("", &format!("{TABLE}\t{{{{.Size}}}}"));
        let mut out = Vec::new();
        let rows = vec![row(&summary(), true, now, &all())];
        print_rows(&format, "", &HEADS, rows, &mut out).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS                     \
             PORTS     NAMES          SIZE\n\
             0123456789ab   debian    \"sh -c 'while true; …\"   2 minutes ago   Exited (3) 2 minutes ago   \
             \u{20}         eager_hopper   2B (virtual 1.98MB)\n"
        );
    }

    #[test]
    fn states_in_words() {
        let now = Timestamp::from_unix(1030, 0);
        for (state, want) in [
            (ContainerState::Created, "Created"),
            (ContainerState::Running, "Up 20 seconds"),
            (ContainerState::Paused, "Up 20 seconds (Paused)"),
            (ContainerState::Exited, "Exited (3) 10 seconds ago"),
        ] {
            assert_eq!(status(&ContainerSummary { state, ..summary() }, now), want);
        }
    }

    #[test]
    fn placeholders_are_all_there() {
        let row = row(&summary(), true, Timestamp::now(), &all());
        for (name, _) in HEADS {
            assert!(row.contains_key(name), "{name}");
        }
        assert_eq!(row["Mounts"], "/var/lib/somet…,data");
        assert_eq!(row["LocalVolumes"], "1");
        assert_eq!(row["Labels"], "a=1,b=2");
    }
}
