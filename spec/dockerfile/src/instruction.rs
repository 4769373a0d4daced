//! The typed form of a Dockerfile. Texts are as written: variables are not expanded yet.

use crate::directive::Directives;
use crate::heredoc::Heredoc;
use crate::lint::Warning;
use crate::source::Lines;

/// A whole file.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// The directives at its top.
    pub directives: Directives,
    /// The escape character: `\` or a backquote.
    pub escape: char,
    /// The `ARG` instructions before the first `FROM`.
    pub arguments: Vec<Instruction>,
    /// The stages in order; never empty.
    pub stages: Vec<Stage>,
    /// What the linter found in the file alone.
    pub warnings: Vec<Warning>,
}

/// `FROM` and what follows up to the next one.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The name behind `AS`, in lower case.
    pub name: Option<String>,
    /// What it starts from: an image, an earlier stage, or `scratch`; may hold variables.
    pub base: String,
    /// `--platform`; may hold variables.
    pub platform: Option<String>,
    /// `FROM` as written.
    pub keyword: String,
    /// The line.
    pub source: String,
    /// Where `FROM` stands.
    pub lines: Lines,
    /// The comments right above it.
    pub comments: Vec<String>,
    /// The instructions of the stage.
    pub instructions: Vec<Instruction>,
}

impl Stage {
    /// The text of the comment `# NAME text` right above the stage.
    pub fn description(&self) -> Option<&str> {
        let name = self.name.as_ref()?;
        self.comments.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    }
}

/// One instruction.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// The keyword as written.
    pub keyword: String,
    /// The logical line, without blanks around it.
    pub source: String,
    /// Where it stands, heredocs included.
    pub lines: Lines,
    /// The comments right above it.
    pub comments: Vec<String>,
    /// What it says.
    pub kind: Kind,
}

/// The instructions, but for `FROM`.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Copies files, downloads, and unpacks archives.
    Add(Add),
    /// Declares build arguments.
    Arg(Vec<ArgPair>),
    /// The default command.
    Cmd(CommandLine),
    /// Copies files.
    Copy(Copy),
    /// The program to run.
    Entrypoint(CommandLine),
    /// Sets environment variables.
    Env(Vec<KeyValue>),
    /// Ports, each a word that [`crate::ports::parse`] reads once it is expanded.
    Expose(Vec<String>),
    /// How to tell whether a container is well.
    Healthcheck(Healthcheck),
    /// Sets labels.
    Label(Vec<KeyValue>),
    /// The author.
    Maintainer(String),
    /// An instruction for images that start from this one.
    Onbuild(String),
    /// Runs a command.
    Run(Run),
    /// The shell of the shell form.
    Shell(Vec<String>),
    /// The signal that stops a container.
    StopSignal(String),
    /// The user, and perhaps the group.
    User(String),
    /// Paths that become volumes.
    Volume(Vec<String>),
    /// The working directory.
    Workdir(String),
}

/// A name and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The name.
    pub key: String,
    /// The value, with its quotes.
    pub value: String,
    /// True for the old form with a blank instead of `=`.
    pub legacy: bool,
}

/// A build argument and its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgPair {
    /// The name.
    pub key: String,
    /// The default, with its quotes; `None` without `=`.
    pub value: Option<String>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    /// The arguments of the exec form; at most one text in the shell form.
    pub words: Vec<String>,
    /// True in the shell form.
    pub shell: bool,
}

/// What `ADD` and `COPY` take from where to where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// Paths, patterns or URLs.
    pub paths: Vec<String>,
    /// Files that stand in the Dockerfile itself.
    pub files: Vec<InlineFile>,
    /// The destination.
    pub destination: String,
}

/// A file out of a heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Whether variables in it are expanded.
    pub expand: bool,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Add {
    /// What goes where.
    pub sources: Sources,
    /// `--chown`; empty without.
    pub chown: String,
    /// `--chmod`; empty without.
    pub chmod: String,
    /// `--link`.
    pub link: bool,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`; empty without.
    pub checksum: String,
    /// `--unpack`; `None` leaves it to the kind of source.
    pub unpack: Option<bool>,
    /// `--exclude`.
    pub excludes: Vec<String>,
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// What goes where.
    pub sources: Sources,
    /// `--from`: a stage by name or index, a named context, or an image; the context if `None`.
    pub from: Option<String>,
    /// `--chown`; empty without.
    pub chown: String,
    /// `--chmod`; empty without.
    pub chmod: String,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
}

/// `HEALTHCHECK`. Durations are nanoseconds, and 0 if not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Healthcheck {
    /// `NONE`, or `CMD` and arguments, or `CMD-SHELL` and one text.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: i64,
    /// How long one may take.
    pub timeout: i64,
    /// During which failures do not count.
    pub start_period: i64,
    /// Between two checks in the start period.
    pub start_interval: i64,
    /// How many failures in a row make a container unhealthy; 0 if not given.
    pub retries: i64,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: CommandLine,
    /// The documents that its line starts.
    pub heredocs: Vec<Heredoc>,
    /// The values of `--mount`, for [`crate::RunMount::parse`].
    pub mounts: Vec<String>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--security`.
    pub security: SecurityMode,
    /// `--device`.
    pub devices: Vec<crate::RunDevice>,
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum NetworkMode {
    /// What the build was told.
    #[default]
    Default,
    /// No network but loopback.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityMode {
    /// Confined as a container is.
    Sandbox,
    /// With all privileges; must be allowed by who builds.
    Insecure,
}
