//! `COPY` and `ADD`: what is taken from where to where.

use std::collections::BTreeSet;

use dockerfile::lint::{Linter, Rule};
use dockerfile::{Add, InlineFile, Instruction, Kind, Lexer, Sources};
use oci::Digest;

use super::names::shown;
use super::stage::{Expander, Stage};
use super::stages::Stages;
use super::{Action, Origin};
use crate::permissions::Permissions;
use crate::remote::{GitPlace, Place, redacted};
use crate::{BuildError, Located};

/// A `COPY` or `ADD` whose words are expanded.
#[derive(Debug)]
pub(crate) struct CopyAction {
    /// Where the paths are.
    pub(crate) from: Origin,
    /// What is taken.
    pub(crate) paths: Vec<SourcePath>,
    /// What is taken from elsewhere.
    pub(crate) remotes: Vec<RemoteSource>,
    /// Files of the Dockerfile itself.
    pub(crate) files: Vec<InlineFile>,
    /// Absolute; ends in a slash if it must be a directory.
    pub(crate) destination: String,
    /// `user[:group]`; empty keeps the owners, which for a context are root.
    pub(crate) chown: String,
    /// The mode; `None` keeps it.
    pub(crate) chmod: Option<Chmod>,
    /// Patterns of what is left out.
    pub(crate) excludes: Vec<String>,
    /// Whether archives are unpacked; `None` unpacks those of the context alone.
    pub(crate) unpack: Option<bool>,
    /// Whether the layers below are not looked at.
    pub(crate) link: bool,
}

/// One source that is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RemoteSource {
    /// A file of a web server.
    Http { url: String, checksum: Option<Digest> },
    /// A directory of a repository.
    Git { place: GitPlace, keep_directory: bool, checksum: String },
}

impl RemoteSource {
    /// Its URL, without a password.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Http { url, .. } => redacted(url),
            Self::Git { place, .. } => redacted(&place.repository),
        }
    }
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourcePath {
    /// From the root, perhaps a pattern.
    pub(crate) path: String,
    /// With `--parents`: what of the path is kept at the destination.
    pub(crate) kept: Option<String>,
}

/// `--chmod`.
pub(crate) type Chmod = Permissions;

impl Stages<'_> {
    /// Plans a `COPY` or `ADD`; answers which variables were not set.
    pub(super) fn copy(
        &mut self,
        index: usize,
        stage: &mut Stage,
        step: &Instruction,
        trigger: bool,
        linter: &mut Linter,
    ) -> Result<BTreeSet<String>, Located> {
        let fail = |error| Located::at(step.lines)(error);
        let invalid = |message: String| fail(BuildError::Invalid(message));
        let scope = stage.scope.clone();
        let mut words = Expander { lexer: self.lexer, scope: &scope, missing: BTreeSet::new() };
        let mut expand = |word: &str| words.word(word).map_err(|error| invalid(error.to_string()));
        let (sources, chown, chmod, link, excludes) = match &step.kind {
            Kind::Add(add) => (&add.sources, &add.chown, &add.chmod, add.link, &add.excludes),
            Kind::Copy(copy) => {
                (&copy.sources, &copy.chown, &copy.chmod, copy.link, &copy.excludes)
            }
            _ => unreachable!("the caller has looked"),
        };
        let keyword = if matches!(step.kind, Kind::Add(_)) { "ADD" } else { "COPY" };
        let sources = Sources {
            paths: sources.paths.iter().map(|path| expand(path)).collect::<Result<_, _>>()?,
            files: sources.files.clone(),
            destination: expand(&sources.destination)?,
        };
        let (chown, chmod) = (expand(chown)?, expand(chmod)?);
        let chmod = match chmod.as_str() {
            "" => None,
            text => Some(Permissions::parse(text).map_err(|why| invalid(why.to_owned()))?),
        };
        let (paths, remotes, unpack) = match &step.kind {
            Kind::Add(add) => {
                let checksum = expand(&add.checksum)?;
                let (paths, remotes) = split(add, &sources.paths, &checksum).map_err(fail)?;
                (paths, remotes, add.unpack)
            }
            _ => {
                refuse_remote_copy(&sources.paths).map_err(fail)?;
                (sources.paths.clone(), Vec::new(), Some(false))
            }
        };
        let destination = stage.absolute(&sources.destination);
        if sources.paths.len() + sources.files.len() > 1 && !destination.ends_with('/') {
            return Err(invalid(format!(
                "When using {keyword} with more than one source file, the destination must be a directory and end with a /"
            )));
        }
        let missing = words.missing;
        let files = expand_files(&sources.files, &scope, stage, step)?;
        let (from, parents) = match &step.kind {
            Kind::Copy(copy) => {
                let origin = match &copy.from {
                    Some(from) => self.copy_origin(from, index, step, linter)?,
                    None => Origin::Context(String::new()),
                };
                (origin, copy.parents)
            }
            _ => (Origin::Context(String::new()), false),
        };
        if from == Origin::Context(String::new()) {
            self.check_ignored(&paths, keyword, step, linter);
        }
        let mut text = keyword.to_owned();
        if parents {
            text += " --parents";
        }
        for (flag, value) in [("--chown", &chown), ("--chmod", &raw_chmod(step, &chmod))] {
            if !value.is_empty() {
                text += &format!(" {flag}={value}");
            }
        }
        sources.paths.iter().for_each(|path| text += &format!(" {}", redacted(path)));
        files.iter().for_each(|file| text += &format!(" <<{}", file.name));
        text += &format!(" {} # buildkit", sources.destination);
        let name = redacted(&shown(&self.lexer, &step.source, &scope));
        let name = stage.counter.next(&name, trigger);
        let action = CopyAction {
            from,
            paths: paths.iter().map(|path| source_path(path, parents)).collect(),
            remotes,
            files,
            destination,
            chown,
            chmod,
            excludes: excludes.clone(),
            unpack,
            link,
        };
        let done = self.push(index, stage, name, step.lines, Action::Copy(Box::new(action)));
        stage.note(text, Some(done));
        Ok(missing)
    }

    fn copy_origin(
        &mut self,
        from: &str,
        index: usize,
        step: &Instruction,
        linter: &mut Linter,
    ) -> Result<Origin, Located> {
        let invalid = |message: &str| Located::at(step.lines)(BuildError::Invalid(message.into()));
        let expanded = self.lexer.expand(from, &()).map_err(|error| invalid(&error.to_string()))?;
        if expanded.text != from {
            return Err(invalid(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
            ));
        }
        self.origin(from, index, "copy", step.lines, linter)
    }

    /// Whether a source is one that the ignore file leaves out.
    fn check_ignored(
        &self,
        paths: &[String],
        keyword: &str,
        step: &Instruction,
        linter: &mut Linter,
    ) {
        let Some(context) = self.request.contexts.get("") else { return };
        if context.ignore.is_empty() || context.ignore.has_exceptions() {
            return;
        }
        for path in paths {
            let clean = dockerfile::ignore::clean(path);
            let root = matches!(clean.as_str(), "." | "/");
            if (root && !context.ignore.ignores_root()) || !context.ignore.matches(&clean) {
                continue;
            }
            let verb = if keyword == "ADD" { "Add" } else { "Copy" };
            let message =
                format!("Attempting to {verb} file {clean:?} that is excluded by .dockerignore");
            linter.report(&step.comments, Rule::CopyIgnoredFile, step.lines, message);
        }
    }
}

/// `--chmod` as it was written.
fn raw_chmod(step: &Instruction, chmod: &Option<Chmod>) -> String {
    match (&step.kind, chmod) {
        (_, None) => String::new(),
        (Kind::Add(add), _) => add.chmod.clone(),
        (Kind::Copy(copy), _) => copy.chmod.clone(),
        _ => String::new(),
    }
}

/// With `--parents` the path up to `/./` is only where to look.
fn source_path(path: &str, parents: bool) -> SourcePath {
    if !parents {
        return SourcePath { path: path.to_owned(), kept: None };
    }
    let kept = path.split_once("/./").map_or(path, |(_, kept)| kept);
    SourcePath { path: path.replacen("/./", "/", 1), kept: Some(kept.to_owned()) }
}

/// Variables in heredocs, but for those whose word was quoted.
fn expand_files(
    files: &[InlineFile],
    scope: &super::scope::Scope,
    _stage: &Stage,
    step: &Instruction,
) -> Result<Vec<InlineFile>, Located> {
    let lexer = Lexer::new('\\').ignore_quotes();
    files
        .iter()
        .map(|file| {
            let content = match file.expand {
                true => {
                    lexer
                        .expand(&file.content, scope)
                        .map_err(|error| {
                            Located::at(step.lines)(BuildError::Invalid(error.to_string()))
                        })?
                        .text
                }
                false => file.content.clone(),
            };
            Ok(InlineFile { content, ..file.clone() })
        })
        .collect()
}

/// The sources that are paths, and those that are elsewhere.
fn split(
    add: &Add,
    paths: &[String],
    checksum: &str,
) -> Result<(Vec<String>, Vec<RemoteSource>), BuildError> {
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    let invalid = |message: &str| BuildError::Invalid(message.to_owned());
    for path in paths {
        match Place::of(path)? {
            None if add.keep_git_dir.is_some() && paths.len() == 1 => {
                return Err(invalid("keep-git-dir flag is only supported for git sources"));
            }
            None => local.push(path.clone()),
            Some(Place::Git(place)) => remote.push(RemoteSource::Git {
                place,
                keep_directory: add.keep_git_dir.unwrap_or(false),
                checksum: checksum.to_owned(),
            }),
            Some(Place::Http(url)) => {
                let parse = |text: &str| text.parse::<Digest>();
                let checksum = match checksum {
                    "" => None,
                    text => Some(parse(text).map_err(|error| {
                        BuildError::Invalid(format!("invalid checksum {text:?}: {error}"))
                    })?),
                };
                remote.push(RemoteSource::Http { url, checksum });
            }
        }
    }
    match (checksum, paths.len()) {
        ("", _) => Ok((local, remote)),
        (_, 1) if remote.len() == 1 => Ok((local, remote)),
        (_, 1) => Err(invalid("checksum requires HTTP(S) or Git sources")),
        _ => Err(invalid("checksum can't be specified for multiple sources")),
    }
}

fn refuse_remote_copy(paths: &[String]) -> Result<(), BuildError> {
    for path in paths {
        match Place::of(path)? {
            Some(Place::Git(_)) => {
                return Err(BuildError::Invalid("source can't be a git ref for COPY".into()));
            }
            Some(Place::Http(_)) => {
                return Err(BuildError::Invalid("source can't be a URL for COPY".into()));
            }
            None => {}
        }
    }
    Ok(())
}
