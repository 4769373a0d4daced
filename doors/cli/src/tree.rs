//! The tree of commands: what there is, and what is known and not there yet.

use std::io;

use crate::command::{Call, Leaf, leaf};
use crate::registries;
use crate::ui::{Exit, Ui};
use crate::{build, container, image, inspect, network, system, volume, working};

/// A command or a group of them.
#[derive(Debug)]
pub(crate) struct Node {
    /// The word.
    pub(crate) name: &'static str,
    /// Other words for it.
    pub(crate) aliases: &'static [&'static str],
    /// One line for the user.
    pub(crate) about: &'static str,
    /// Where help lists it.
    pub(crate) category: Category,
    /// What it is.
    pub(crate) body: Body,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Body {
    /// A group.
    Group(&'static [Node]),
    /// A command.
    Leaf(Leaf),
    /// A command of Docker's that is not there: why.
    Later(&'static str),
}

/// Where help lists a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    /// First.
    Common,
    /// Groups.
    Management,
    /// Everything else.
    Other,
    /// Nowhere.
    Hidden,
}

const fn command(name: &'static str, leaf: Leaf, about: &'static str) -> Node {
    Node { name, aliases: &[], about, category: Category::Other, body: Body::Leaf(leaf) }
}

const fn group(name: &'static str, children: &'static [Node], about: &'static str) -> Node {
    let body = Body::Group(children);
    Node { name, aliases: &[], about, category: Category::Management, body }
}

const fn later(name: &'static str, why: &'static str) -> Node {
    Node { name, aliases: &[], about: why, category: Category::Hidden, body: Body::Later(why) }
}

impl Node {
    const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn category(self, category: Category) -> Self {
        Self { category, ..self }
    }

    /// Whether a user's word means it.
    pub(crate) fn answers_to(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }
}

const BUILD: Leaf = leaf::<build::BuildArgs>();
const BUILD_PRUNE: Leaf = leaf::<build::PruneArgs>();
const ATTACH: Leaf = leaf::<container::AttachArgs>();
const CREATE: Leaf = leaf::<container::CreateArgs>();
const EXEC: Leaf = leaf::<container::ExecArgs>();
const KILL: Leaf = leaf::<container::KillArgs>();
const LOGS: Leaf = leaf::<container::LogsArgs>();
const PAUSE: Leaf = leaf::<container::PauseArgs>();
const PORT: Leaf = leaf::<container::PortArgs>();
const PS: Leaf = leaf::<container::ListArgs>();
const COMMIT: Leaf = leaf::<container::CommitArgs>();
const RENAME: Leaf = leaf::<container::RenameArgs>();
const RESTART: Leaf = leaf::<container::RestartArgs>();
const RM: Leaf = leaf::<container::RemoveArgs>();
const RUN: Leaf = Leaf { enter: run, ..leaf::<container::RunArgs>() };
const START: Leaf = leaf::<container::StartArgs>();
const STOP: Leaf = leaf::<container::StopArgs>();
const TOP: Leaf = leaf::<container::TopArgs>();
const UNPAUSE: Leaf = leaf::<container::UnpauseArgs>();
const WAIT: Leaf = leaf::<container::WaitArgs>();
const IMAGES: Leaf = leaf::<image::ListArgs>();
const IMPORT: Leaf = leaf::<image::ImportArgs>();
const LOAD: Leaf = leaf::<image::LoadArgs>();
const PULL: Leaf = leaf::<image::PullArgs>();
const PUSH: Leaf = leaf::<image::PushArgs>();
const RMI: Leaf = leaf::<image::RemoveArgs>();
const SAVE: Leaf = leaf::<image::SaveArgs>();
const TAG: Leaf = leaf::<image::TagArgs>();
const INFO: Leaf = leaf::<system::InfoArgs>();

/// A working container's commands have flags of their own.
fn run(words: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
    let leaf = match working::is_working_run(&words) {
        true => leaf::<working::WorkingRunArgs>(),
        false => leaf::<container::RunArgs>(),
    };
    (leaf.enter)(words, call, ui)
}

const ABOUT_BUILD: &str = "Make an image of a Dockerfile and a directory";
const ABOUT_BUILD_PRUNE: &str = "Forget what builds have done";
const ABOUT_ATTACH: &str = "Connect this terminal to a running container's streams";
const ABOUT_CREATE: &str = "Make a container without starting it";
const ABOUT_EXEC: &str = "Run one more command in a running container";
const ABOUT_KILL: &str = "Send a signal to the first process of containers, KILL by default";
const ABOUT_LOGS: &str = "Print what a container has written";
const ABOUT_PAUSE: &str = "Freeze all processes of containers";
const ABOUT_PORT: &str = "Show the published ports of a container";
const ABOUT_PS: &str = "List containers";
const ABOUT_COMMIT: &str = "Make an image of what a container has become";
const ABOUT_RENAME: &str = "Give a container another name";
const ABOUT_RESTART: &str = "Stop containers and start them again";
const ABOUT_RM: &str = "Remove containers";
const ABOUT_RUN: &str = "Make a container of an image and run a command in it";
const ABOUT_START: &str = "Start containers that do not run";
const ABOUT_STOP: &str = "Ask containers to exit, then insist";
const ABOUT_TOP: &str = "Show the processes of a container";
const ABOUT_UNPAUSE: &str = "Let frozen containers go on";
const ABOUT_WAIT: &str = "Wait until containers have ended and print their exit codes";
const ABOUT_IMAGES: &str = "List images";
const ABOUT_IMPORT: &str = "Make an image of a root file system in a tar archive";
const ABOUT_LOAD: &str = "Take in images from an archive that `docker save` or skopeo wrote";
const ABOUT_PULL: &str = "Fetch an image from a registry";
const ABOUT_PUSH: &str = "Send an image to its registry";
const ABOUT_RMI: &str = "Remove images, or names of them";
const ABOUT_SAVE: &str = "Write images into an archive";
const ABOUT_TAG: &str = "Give an image one more name";
const ABOUT_INFO: &str = "Show facts about this installation and the system";

const BAKE: &str = "bake files come with a later piece of work; `kista build` is there";
const BUILDERS: &str = "there are no builders to choose from: Kista builds in its own process";
const TRUST: &str = "Docker Content Trust was given up by Docker; a digest in a name pins an image";
const LAYERS: &str = "writing layers comes with a later piece of work";
const FILES: &str = "copying out of and into containers comes with a later piece of work; \
    until then `kista exec CONTAINER tar -c PATH`";
const FIGURES: &str = "live statistics come with a later piece of work";
const EVENTS: &str = "events come with a later piece of work";
const UPDATES: &str = "changing the limits of a container comes with a later piece of work";
const CHECKPOINTS: &str = "checkpoints need CRIU, which comes with a later piece of work";
const PLUGINS: &str = "Kista has no plugins";
const SWARM: &str = "Kista runs containers on one machine and takes no part in a swarm";
const CONTEXTS: &str = "there is no daemon to choose; `--root DIR` chooses another data directory";
const COMPOSE: &str = "Compose files come with a later piece of work";

/// Every first word.
pub(crate) static ROOT: &[Node] = &[
    command("run", RUN, ABOUT_RUN).category(Category::Common),
    command("exec", EXEC, ABOUT_EXEC).category(Category::Common),
    command("ps", PS, ABOUT_PS).category(Category::Common),
    command("build", BUILD, ABOUT_BUILD).category(Category::Common),
    command("pull", PULL, ABOUT_PULL).category(Category::Common),
    command("images", IMAGES, ABOUT_IMAGES).category(Category::Common),
    command("version", leaf::<system::VersionArgs>(), "Show versions").category(Category::Common),
    command("info", INFO, ABOUT_INFO).category(Category::Common),
    group("builder", BUILDER, "Manage builds"),
    group("buildx", BUILDX, "Build images"),
    group("container", CONTAINER, "Manage containers"),
    group("image", IMAGE, "Manage images"),
    group("manifest", MANIFEST, "Look at manifests, and make lists of them"),
    group("network", NETWORK, "Manage networks"),
    group("registry", REGISTRY, "Run a registry"),
    group("system", SYSTEM, "Look after this installation"),
    group("volume", VOLUME, "Manage volumes"),
    command("attach", ATTACH, ABOUT_ATTACH),
    command("commit", COMMIT, ABOUT_COMMIT),
    command(
        "config",
        leaf::<working::ConfigArgs>(),
        "Change what a working container's image says",
    ),
    command("copy", leaf::<working::CopyArgs>(), "Copy files into a working container"),
    command("create", CREATE, ABOUT_CREATE),
    command("from", leaf::<working::FromArgs>(), "Make a working container of an image"),
    command("import", IMPORT, ABOUT_IMPORT),
    command(
        "inspect",
        leaf::<inspect::InspectArgs>(),
        "Print all about containers, images, networks, volumes",
    ),
    command("kill", KILL, ABOUT_KILL),
    command("load", LOAD, ABOUT_LOAD),
    command("login", leaf::<registries::LoginArgs>(), "Log in to a registry"),
    command("logout", leaf::<registries::LogoutArgs>(), "Forget the credentials for a registry"),
    command("logs", LOGS, ABOUT_LOGS),
    command("pause", PAUSE, ABOUT_PAUSE),
    command("port", PORT, ABOUT_PORT),
    command("push", PUSH, ABOUT_PUSH),
    command("rename", RENAME, ABOUT_RENAME),
    command("restart", RESTART, ABOUT_RESTART),
    command("rm", RM, ABOUT_RM),
    command("rmi", RMI, ABOUT_RMI),
    command("save", SAVE, ABOUT_SAVE),
    command("start", START, ABOUT_START),
    command("stop", STOP, ABOUT_STOP),
    command("tag", TAG, ABOUT_TAG),
    command("top", TOP, ABOUT_TOP),
    command("unpause", UNPAUSE, ABOUT_UNPAUSE),
    command("wait", WAIT, ABOUT_WAIT),
    command("__cli-tree", leaf::<system::CliTreeArgs>(), "Print this tree as JSON")
        .category(Category::Hidden),
    later("bake", BAKE),
    later("checkpoint", CHECKPOINTS),
    later("compose", COMPOSE),
    later("context", CONTEXTS),
    later("cp", FILES),
    later("diff", FILES),
    later("events", EVENTS),
    later("export", FILES),
    later("history", LAYERS),
    later("node", SWARM),
    later("plugin", PLUGINS),
    command("search", leaf::<registries::SearchArgs>(), "Find repositories in a registry"),
    later("secret", SWARM),
    later("service", SWARM),
    later("stack", SWARM),
    later("stats", FIGURES),
    later("swarm", SWARM),
    later("trust", TRUST),
    later("update", UPDATES),
];

static BUILDER: &[Node] =
    &[command("build", BUILD, ABOUT_BUILD), command("prune", BUILD_PRUNE, ABOUT_BUILD_PRUNE)];

static BUILDX: &[Node] = &[
    command("build", BUILD, ABOUT_BUILD).aliases(&["b"]),
    command("prune", BUILD_PRUNE, ABOUT_BUILD_PRUNE),
    later("bake", BAKE),
    later("create", BUILDERS),
    later("du", "accounting of disk space comes with a later piece of work"),
    later("imagetools", "`kista manifest` is there"),
    later("inspect", BUILDERS),
    later("ls", BUILDERS),
    later("rm", BUILDERS),
    later("stop", BUILDERS),
    later("use", BUILDERS),
    later("version", "`kista version` is there"),
];

static CONTAINER: &[Node] = &[
    command("attach", ATTACH, ABOUT_ATTACH),
    command("commit", COMMIT, ABOUT_COMMIT),
    command("create", CREATE, ABOUT_CREATE),
    command("exec", EXEC, ABOUT_EXEC),
    command("inspect", leaf::<container::InspectArgs>(), "Print all about containers"),
    command("kill", KILL, ABOUT_KILL),
    command("logs", LOGS, ABOUT_LOGS),
    command("ls", PS, ABOUT_PS).aliases(&["ps", "list"]),
    command("pause", PAUSE, ABOUT_PAUSE),
    command("port", PORT, ABOUT_PORT),
    command("prune", leaf::<container::PruneArgs>(), "Remove all containers that do not run"),
    command("rename", RENAME, ABOUT_RENAME),
    command("restart", RESTART, ABOUT_RESTART),
    command("rm", RM, ABOUT_RM).aliases(&["remove"]),
    command("run", RUN, ABOUT_RUN),
    command("start", START, ABOUT_START),
    command("stop", STOP, ABOUT_STOP),
    command("top", TOP, ABOUT_TOP),
    command("unpause", UNPAUSE, ABOUT_UNPAUSE),
    command("wait", WAIT, ABOUT_WAIT),
    later("cp", FILES),
    later("diff", FILES),
    later("export", FILES),
    later("stats", FIGURES),
    later("update", UPDATES),
];

static IMAGE: &[Node] = &[
    command("import", IMPORT, ABOUT_IMPORT),
    command("inspect", leaf::<image::InspectArgs>(), "Print all about images"),
    command("load", LOAD, ABOUT_LOAD),
    command("ls", IMAGES, ABOUT_IMAGES).aliases(&["list"]),
    command("prune", leaf::<image::PruneArgs>(), "Remove images that nothing needs"),
    command("rm", RMI, ABOUT_RMI).aliases(&["rmi", "remove"]),
    command("pull", PULL, ABOUT_PULL),
    command("push", PUSH, ABOUT_PUSH),
    command("save", SAVE, ABOUT_SAVE),
    command("tag", TAG, ABOUT_TAG),
    command("build", BUILD, ABOUT_BUILD),
    later("history", LAYERS),
];

static MANIFEST: &[Node] = &[
    command("inspect", leaf::<registries::ManifestInspectArgs>(), "Print a manifest or an index"),
    command("referrers", leaf::<registries::ReferrersArgs>(), "List what is said about an image"),
    command("annotate", leaf::<registries::AnnotateListArgs>(), "Say what an entry runs on"),
    command("create", leaf::<registries::CreateListArgs>(), "Begin a list of manifests"),
    command("push", leaf::<registries::PushListArgs>(), "Send a list to its repository"),
    command("rm", leaf::<registries::RemoveListArgs>(), "Forget lists"),
];

static NETWORK: &[Node] = &[
    command("connect", leaf::<network::ConnectArgs>(), "Put a container into one more network"),
    command("create", leaf::<network::CreateArgs>(), "Make a network"),
    command("disconnect", leaf::<network::DisconnectArgs>(), "Take a container out of a network"),
    command("inspect", leaf::<network::InspectArgs>(), "Print all about networks"),
    command("ls", leaf::<network::ListArgs>(), "List networks").aliases(&["list"]),
    command("prune", leaf::<network::PruneArgs>(), "Remove networks that no container uses"),
    command("rm", leaf::<network::RemoveArgs>(), "Remove networks").aliases(&["remove"]),
];

static REGISTRY: &[Node] = &[command(
    "serve",
    leaf::<registries::ServeArgs>(),
    "Serve a registry until it is told to end",
)];

static SYSTEM: &[Node] = &[
    command("check", leaf::<system::CheckArgs>(), "Look for what should not be there, and mend it"),
    command("df", leaf::<system::UsageArgs>(), "Show what takes how much space"),
    command("info", INFO, ABOUT_INFO),
    later("dial-stdio", CONTEXTS),
    later("events", EVENTS),
    later("prune", "`kista container prune`, `image prune` and `volume prune` are there"),
];

static VOLUME: &[Node] = &[
    command("create", leaf::<volume::CreateArgs>(), "Make a volume"),
    command("inspect", leaf::<volume::InspectArgs>(), "Print all about volumes"),
    command("ls", leaf::<volume::ListArgs>(), "List volumes").aliases(&["list"]),
    command("prune", leaf::<volume::PruneArgs>(), "Remove volumes that no container uses"),
    command("rm", leaf::<volume::RemoveArgs>(), "Remove volumes").aliases(&["remove"]),
    later("update", SWARM),
];

/// Calls `visit` with every node and its full path.
pub(crate) fn walk(visit: &mut dyn FnMut(&str, &Node)) {
    fn below(prefix: &str, nodes: &'static [Node], visit: &mut dyn FnMut(&str, &Node)) {
        for node in nodes {
            let path = format!("{prefix} {}", node.name);
            visit(&path, node);
            if let Body::Group(children) = node.body {
                below(&path, children, visit);
            }
        }
    }
    below("kista", ROOT, visit);
}

/// Every path that leads to the command, long ones first, as help shows them.
pub(crate) fn paths_of(command: &str) -> Vec<String> {
    let mut paths = Vec::new();
    walk(&mut |path, node| {
        if matches!(&node.body, Body::Leaf(leaf) if leaf.path == command) {
            let (parent, _) = path.rsplit_once(' ').unwrap_or(("kista", path));
            paths.push(path.to_owned());
            paths.extend(node.aliases.iter().map(|alias| format!("{parent} {alias}")));
        }
    });
    paths.sort_by_key(|path| std::cmp::Reverse(path.matches(' ').count()));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_leads_to_two_commands() {
        for nodes in
            [ROOT, BUILDER, BUILDX, CONTAINER, IMAGE, MANIFEST, NETWORK, REGISTRY, SYSTEM, VOLUME]
        {
            let mut words: Vec<&str> = nodes
                .iter()
                .flat_map(|n| std::iter::once(n.name).chain(n.aliases.iter().copied()))
                .collect();
            let count = words.len();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), count);
        }
    }

    #[test]
    fn no_flag_is_declared_twice_in_a_command() {
        walk(&mut |path, node| {
            if let Body::Leaf(leaf) = &node.body {
                let mut longs: Vec<&str> = leaf.flags.iter().map(|flag| flag.long).collect();
                let mut shorts: Vec<char> = leaf.flags.iter().filter_map(|f| f.short).collect();
                let counts = (longs.len(), shorts.len());
                longs.sort_unstable();
                longs.dedup();
                shorts.sort_unstable();
                shorts.dedup();
                assert_eq!((longs.len(), shorts.len()), counts, "{path}");
            }
        });
    }
}
