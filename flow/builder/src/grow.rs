//! An image that grows by one instruction at a time, without a Dockerfile.
//!
//! Each is the only instruction of a stage that starts from what the image has become, so that it
//! is done and remembered as one of a Dockerfile is. The image is the one before until the
//! instruction is done.

use std::sync::atomic::AtomicBool;

use dockerfile::lint::{LintOptions, Linter};
use dockerfile::{Add, Copy, Directives, Dockerfile, Instruction, Kind, Lines, Sources, Stage};
use oci::{ImageConfig, Platform};

use crate::events::EventSink;
use crate::request::{BaseImage, BaseImages, Request, Stores};
use crate::run::Runner;
use crate::{BuildError, Located};

/// What the stage starts from: a name that no image has.
const ITSELF: &str = "growing.invalid/image";

/// One instruction for an image.
#[derive(Debug)]
pub struct Growth<'a> {
    /// What the image is: its layers are in the store.
    pub image: &'a ImageConfig,
    /// `RUN`, `COPY` or `ADD`. Its words stand for themselves: no variable is expanded.
    pub instruction: Kind,
    /// How it is told of: `RUN make`.
    pub source: String,
    /// Variables for this command alone, over those of the image.
    pub environment: &'a [String],
    /// Its user, if it is not the image's.
    pub user: Option<&'a str>,
    /// Its working directory, if it is not the image's.
    pub directory: Option<&'a str>,
}

/// Does the instruction; answers what the image is then. It is as before if nothing was changed.
///
/// The caller holds the store's shared lock until what is answered is written down.
pub fn grow(
    growth: Growth<'_>,
    request: &Request,
    (stores, images): (&Stores, &dyn BaseImages),
    runner: &dyn Runner,
    events: &dyn EventSink,
    stop: &AtomicBool,
) -> Result<ImageConfig, Located> {
    let image = growth.image;
    let missing = stores.snapshots.missing(&image.rootfs.diff_ids).map_err(BuildError::from)?;
    if let Some(layer) = missing.first() {
        return Err(BuildError::Invalid(format!("layer {layer} is not there any more")).into());
    }
    let file = file(growth.instruction, growth.source);
    let mut start = image.clone();
    // They are for builds that start from it.
    start.config.on_build.clear();
    for entry in growth.environment {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        crate::plan::set_env(&mut start.config.env, name, value);
    }
    if let Some(user) = growth.user {
        user.clone_into(&mut start.config.user);
    }
    if let Some(directory) = growth.directory {
        let path = format!("/{}/{directory}", start.config.working_dir);
        let path = if directory.starts_with('/') { directory.to_owned() } else { path };
        start.config.working_dir = dockerfile::ignore::clean(&path);
    }
    let platform = match image.platform.os.is_empty() {
        true => Platform::host(),
        false => image.platform.clone(),
    };
    let images = Itself { start, images };
    let mut linter = Linter::new(LintOptions::default());
    let plan = crate::plan::evaluate(&file, request, &platform, &images, &mut linter)?;
    let solved = crate::solve(&plan, request, stores, runner, events, stop)?;
    let mut grown = crate::image::config(&plan, &solved);
    let mut image = image.clone();
    let entry = grown.history.pop().filter(|entry| !entry.empty_layer);
    if let Some(entry) = entry {
        image.created = entry.created;
        image.rootfs = grown.rootfs;
        image.history.push(entry);
    }
    Ok(image)
}

/// The Dockerfile of one instruction.
fn file(kind: Kind, source: String) -> Dockerfile {
    let keyword = source.split(' ').next().unwrap_or_default().to_owned();
    let lines = Lines::one(1);
    let instruction =
        Instruction { keyword, source, lines, comments: Vec::new(), kind: literal_kind(kind) };
    let stage = Stage {
        name: None,
        base: ITSELF.into(),
        platform: None,
        keyword: "FROM".into(),
        source: format!("FROM {ITSELF}"),
        lines,
        comments: Vec::new(),
        instructions: vec![instruction],
    };
    Dockerfile {
        directives: Directives::default(),
        escape: '\\',
        arguments: Vec::new(),
        stages: vec![stage],
        warnings: Vec::new(),
    }
}

/// The same with words that are expanded to themselves.
fn literal_kind(kind: Kind) -> Kind {
    let sources = |sources: Sources| Sources {
        paths: sources.paths.iter().map(|path| literal(path)).collect(),
        destination: literal(&sources.destination),
        files: sources.files,
    };
    match kind {
        Kind::Run(run) => Kind::Run(dockerfile::Run {
            mounts: run
                .mounts
                .iter()
                .map(|mount| mount.replace('\\', "\\\\").replace('$', "\\$"))
                .collect(),
            ..run
        }),
        Kind::Copy(copy) => Kind::Copy(Copy {
            sources: sources(copy.sources),
            chown: literal(&copy.chown),
            chmod: literal(&copy.chmod),
            ..copy
        }),
        Kind::Add(add) => Kind::Add(Add {
            sources: sources(add.sources),
            chown: literal(&add.chown),
            chmod: literal(&add.chmod),
            checksum: literal(&add.checksum),
            ..add
        }),
        other => other,
    }
}

/// A word that the lexer reads as `text`.
fn literal(text: &str) -> String {
    let special = |letter: char| matches!(letter, '$' | '\\' | '\'' | '"');
    text.chars()
        .flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter]))
        .collect()
}

/// The growing image, and all others.
struct Itself<'a> {
    start: ImageConfig,
    images: &'a dyn BaseImages,
}

impl BaseImages for Itself<'_> {
    fn find(&self, name: &str, platform: &Platform) -> Result<BaseImage, BuildError> {
        match name {
            ITSELF => Ok(BaseImage {
                name: ITSELF.into(),
                config: self.start.clone(),
                diff_ids: self.start.rootfs.diff_ids.clone(),
                digest: None,
            }),
            other => self.images.find(other, platform),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_themselves() {
        for text in ["plain", "$HOME/a b", "${x:-y}", "\\*", "it's", "a\"b", "\\$x"] {
            let lexer = dockerfile::Lexer::new('\\');
            assert_eq!(lexer.expand(&literal(text), &()).unwrap().text, text);
        }
    }
}
