//! `copy`: files into a working container, as COPY and ADD do.

use std::io;
use std::os::fd::OwnedFd;

use dockerfile::{Add, Copy, Kind, Sources};
use engine::{BuildContext, BuildError, BuildImage, BuildRequest, Growth};

use super::{failed, grow};
use crate::command::{Arity, Call, Command};
use crate::flags::{List, Switch, Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `copy`.
    CopyArgs {
        /// Do as ADD does: fetch URLs and git repositories, unpack archives
        add: Switch = long("add"),
        /// Digest of what is fetched, with --add
        checksum: Text = long("checksum"),
        /// Mode of what is copied (0644, u+x)
        chmod: Text = long("chmod"),
        /// Owner of what is copied (USER[:GROUP])
        chown: Text = long("chown"),
        /// Leave out what matches this pattern
        exclude: List = long("exclude"),
        /// Copy out of another working container, or an image
        from: Text = long("from"),
        /// Keep the folders of sources
        parents: Switch = long("parents"),
    }
}

impl Command for CopyArgs {
    const PATH: &'static str = "copy";
    const USAGE: &'static str = "[OPTIONS] NAME SOURCE... DESTINATION";
    const ARGS: Arity = Arity::AtLeast(3);

    fn run(self, mut args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let name = args.remove(0);
        let registries = call.registries();
        match self.wishes(args) {
            Ok((growth, mut build)) => {
                build.request.client = Some(registries.for_files());
                grow(&name, growth, build, call, ui)
            }
            Err(error) => failed(&error, ui),
        }
    }
}

impl CopyArgs {
    fn wishes(self, mut args: Vec<String>) -> Result<(Growth, BuildImage), BuildError> {
        let invalid = |message: &str| Err(BuildError::Invalid(message.to_owned()));
        let mut destination = args.pop().unwrap_or_default();
        if args.len() > 1 && !destination.ends_with('/') {
            destination.push('/');
        }
        let is_add = self.add.is_on();
        if is_add && (self.from.0.is_some() || self.parents.is_on()) {
            return invalid("--add takes no --from and no --parents");
        } else if !is_add && self.checksum.0.is_some() {
            return invalid("--checksum is for what --add fetches");
        }
        let mut request = BuildRequest::default();
        let paths = match self.from.0 {
            Some(_) => args.clone(),
            None => {
                request.contexts.insert(String::new(), host()?);
                args.iter().map(|path| of_host(path, is_add)).collect::<Result<_, _>>()?
            }
        };
        let shown = destination.clone();
        let sources = Sources { paths, files: Vec::new(), destination };
        let (chown, chmod) = (self.chown.text().to_owned(), self.chmod.text().to_owned());
        let excludes = self.exclude.0;
        let (keyword, instruction) = match is_add {
            true => (
                "ADD",
                Kind::Add(Add {
                    sources,
                    chown,
                    chmod,
                    excludes,
                    checksum: self.checksum.text().to_owned(),
                    ..Add::default()
                }),
            ),
            false => (
                "COPY",
                Kind::Copy(Copy {
                    sources,
                    chown,
                    chmod,
                    excludes,
                    from: self.from.0,
                    parents: self.parents.is_on(),
                    ..Copy::default()
                }),
            ),
        };
        let growth = Growth {
            instruction,
            source: format!("{keyword} {} {shown}", args.join(" ")),
            environment: Vec::new(),
            user: None,
            directory: None,
        };
        Ok((growth, BuildImage { request, ..BuildImage::default() }))
    }
}

/// The whole host: whoever calls says which of his files are taken, and may read them.
fn host() -> Result<BuildContext, BuildError> {
    let root: OwnedFd = std::fs::File::open("/")
        .map_err(|source| BuildError::Io { action: "open", path: "/".into(), source })?
        .into();
    Ok(BuildContext { root, name: None, ignore: Default::default(), held: None, source: None })
}

/// A source as a path from the root; a URL stays one for `ADD`.
fn of_host(path: &str, is_add: bool) -> Result<String, BuildError> {
    if (is_add && engine::Place::of(path)?.is_some()) || path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let folder = std::env::current_dir().map_err(|source| BuildError::Io {
        action: "find",
        path: ".".into(),
        source,
    })?;
    Ok(format!("{}/{path}", pattern_of(&folder.to_string_lossy())))
}

/// A path that stands for itself where patterns are read.
fn pattern_of(path: &str) -> String {
    let special = |letter: char| matches!(letter, '*' | '?' | '[' | '\\');
    path.chars()
        .flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter]))
        .collect()
}
