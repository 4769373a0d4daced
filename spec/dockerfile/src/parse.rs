//! Nodes to typed instructions.

use crate::directive::Directives;
use crate::error::{ParseError, Reason};
use crate::flags::{Flags, Takes};
use crate::heredoc::{Heredoc, chomp, heredoc_word};
use crate::instruction::{
    Add, ArgPair, CommandLine, Copy, Dockerfile, Healthcheck, InlineFile, Instruction, KeyValue,
    Kind, NetworkMode, Run, SecurityMode, Sources, Stage,
};
use crate::lines::{self, is_space};
use crate::lint::{LintOptions, Linter, Rule, casing};
use crate::mount::{RunDevice, check_from};
use crate::node::{Arguments, Node};
use crate::source::Lines;
use crate::suggest::suggest;
use crate::words::split_first;

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads a whole file.
///
/// `lint` decides which warnings are kept; [`LintOptions::of_file`] reads it from the file.
pub fn parse(content: &[u8], lint: &LintOptions) -> Result<Dockerfile, ParseError> {
    let text = String::from_utf8_lossy(content);
    let mut linter = Linter::new(lint.clone());
    let lines::Nodes { nodes, escape, directives } = lines::read(&text, &mut linter)?;
    let mut file = Dockerfile {
        directives,
        escape,
        arguments: Vec::new(),
        stages: Vec::new(),
        warnings: Vec::new(),
    };
    for node in nodes {
        let lines = node.lines;
        let fail = |reason| ParseError::instruction(reason, lines);
        if node.keyword.eq_ignore_ascii_case("from") {
            file.stages.push(stage(node, &mut linter).map_err(fail)?);
            continue;
        }
        let instruction = instruction(node, &mut linter).map_err(fail)?;
        match file.stages.last_mut() {
            Some(stage) => stage.instructions.push(instruction),
            None if matches!(instruction.kind, Kind::Arg(_)) => file.arguments.push(instruction),
            None => return Err(ParseError::line(Reason::NoStage, lines)),
        }
    }
    if file.stages.is_empty() {
        return Err(ParseError::line(Reason::NoStages, Lines::default()));
    }
    casing::stages(&file.stages, &mut linter);
    file.warnings = linter.into_warnings();
    Ok(file)
}

/// Reads the trigger of an `ONBUILD`, on behalf of the stage whose `FROM` stands at `lines`.
pub fn parse_trigger(expression: &str, lines: Lines) -> Result<Instruction, ParseError> {
    let mut linter = Linter::new(LintOptions::none());
    let place = |error: ParseError| ParseError::line(error.reason, lines);
    let mut nodes = lines::read(expression, &mut linter).map_err(place)?.nodes;
    let (Some(mut node), true) = (nodes.pop(), nodes.is_empty()) else {
        return Err(ParseError::line(Reason::SeveralTriggers, lines));
    };
    node.lines = lines;
    instruction(node, &mut linter).map_err(|reason| ParseError::line(reason, lines))
}

/// `FROM`.
fn stage(node: Node, linter: &mut Linter) -> Result<Stage, Reason> {
    let Arguments::Plain(words) = &node.arguments else { return Err(Reason::FromArguments) };
    if let [_, keyword, name] = words.as_slice() {
        casing::stage_name(&node, keyword, name, linter);
    }
    let name = match words.as_slice() {
        [_] => None,
        [_, keyword, name] if keyword.eq_ignore_ascii_case("as") => Some(stage_name(name)?),
        _ => return Err(Reason::FromArguments),
    };
    let flags = Flags::parse(&node.flags, &[("platform", Takes::Text)])?;
    if let Some(name) = &name {
        casing::description("FROM", &[name.as_str()], &node, linter);
    }
    Ok(Stage {
        name,
        base: words[0].clone(),
        platform: flags.get("platform").filter(|text| !text.is_empty()).map(str::to_owned),
        source: node.original.trim_matches(is_space).to_owned(),
        keyword: node.keyword,
        lines: node.lines,
        comments: node.comments,
        instructions: Vec::new(),
    })
}

/// A stage's name, in lower case.
fn stage_name(name: &str) -> Result<String, Reason> {
    let lower = name.to_lowercase();
    let valid = lower.starts_with(|letter: char| letter.is_ascii_lowercase())
        && lower.bytes().all(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_.".contains(&letter)
        });
    if valid { Ok(lower) } else { Err(Reason::StageName { name: name.to_owned() }) }
}

/// Any instruction but `FROM`.
fn instruction(node: Node, linter: &mut Linter) -> Result<Instruction, Reason> {
    let kind = kind(&node, linter)?;
    Ok(Instruction {
        source: node.original.trim_matches(is_space).to_owned(),
        keyword: node.keyword,
        lines: node.lines,
        comments: node.comments,
        kind,
    })
}

fn kind(node: &Node, linter: &mut Linter) -> Result<Kind, Reason> {
    let none = || Flags::parse(&node.flags, &[]);
    Ok(match node.keyword.to_ascii_lowercase().as_str() {
        "add" => Kind::Add(add(node)?),
        "arg" => {
            let pairs = arguments(node)?;
            let keys: Vec<&str> = pairs.iter().map(|pair| pair.key.as_str()).collect();
            casing::description("ARG", &keys, node, linter);
            Kind::Arg(pairs)
        }
        "cmd" => {
            none()?;
            Kind::Cmd(command(node))
        }
        "copy" => Kind::Copy(copy(node)?),
        "entrypoint" => {
            none()?;
            Kind::Entrypoint(command(node))
        }
        "env" => {
            none()?;
            Kind::Env(pairs(node, "ENV")?)
        }
        "expose" => {
            let mut ports = at_least_one(node, "EXPOSE")?;
            none()?;
            ports.sort();
            Kind::Expose(ports)
        }
        "healthcheck" => Kind::Healthcheck(healthcheck(node)?),
        "label" => {
            none()?;
            Kind::Label(pairs(node, "LABEL")?)
        }
        "maintainer" => {
            let text = "Maintainer instruction is deprecated in favor of using label";
            linter.report(&node.comments, Rule::MaintainerDeprecated, node.lines, text);
            let author = exactly_one(node, "MAINTAINER")?;
            none()?;
            Kind::Maintainer(author)
        }
        "onbuild" => Kind::Onbuild(trigger(node)?),
        "run" => Kind::Run(run(node)?),
        "shell" => {
            none()?;
            match &node.arguments {
                Arguments::Json(words) if !words.is_empty() => Kind::Shell(words.clone()),
                Arguments::Plain(words) if !words.is_empty() => {
                    return Err(Reason::NotJson { keyword: "SHELL" });
                }
                _ => return Err(Reason::AtLeastOne { keyword: "SHELL" }),
            }
        }
        "stopsignal" => Kind::StopSignal(exactly_one(node, "STOPSIGNAL")?),
        "user" => {
            let user = exactly_one(node, "USER")?;
            none()?;
            Kind::User(user)
        }
        "volume" => {
            let volumes = at_least_one(node, "VOLUME")?;
            none()?;
            let trimmed = volumes.iter().map(|path| path.trim_matches(is_space).to_owned());
            let volumes: Vec<String> = trimmed.collect();
            if volumes.iter().any(String::is_empty) {
                return Err(Reason::EmptyVolume);
            }
            Kind::Volume(volumes)
        }
        "workdir" => {
            let path = exactly_one(node, "WORKDIR")?;
            none()?;
            Kind::Workdir(path)
        }
        _ => {
            let upper = node.keyword.to_uppercase();
            let suggestion = suggest(&upper, KEYWORDS).map(|word| {
                let lower = node.keyword == node.keyword.to_lowercase();
                if lower { word.to_lowercase() } else { word.to_owned() }
            });
            return Err(Reason::UnknownInstruction { keyword: node.keyword.clone(), suggestion });
        }
    })
}

/// The words of an instruction, whichever of the two forms they have.
fn words(node: &Node) -> &[String] {
    match &node.arguments {
        Arguments::Plain(words) | Arguments::Json(words) => words,
        _ => &[],
    }
}

fn at_least_one(node: &Node, keyword: &'static str) -> Result<Vec<String>, Reason> {
    match words(node) {
        [] => Err(Reason::AtLeastOne { keyword }),
        words => Ok(words.to_vec()),
    }
}

fn exactly_one(node: &Node, keyword: &'static str) -> Result<String, Reason> {
    match words(node) {
        [word] => Ok(word.clone()),
        _ => Err(Reason::ExactlyOne { keyword }),
    }
}

fn pairs(node: &Node, keyword: &'static str) -> Result<Vec<KeyValue>, Reason> {
    let Arguments::Pairs(pairs) = &node.arguments else {
        return Err(Reason::AtLeastOne { keyword });
    };
    if pairs.is_empty() {
        return Err(Reason::AtLeastOne { keyword });
    } else if pairs.iter().any(|pair| pair.key.is_empty()) {
        return Err(Reason::BlankName { keyword });
    }
    Ok(pairs.clone())
}

fn arguments(node: &Node) -> Result<Vec<ArgPair>, Reason> {
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(Reason::BlankName { keyword: "ARG" }),
        Some((key, value)) => Ok(ArgPair { key: key.into(), value: Some(value.into()) }),
        None => Ok(ArgPair { key: word, value: None }),
    };
    at_least_one(node, "ARG")?.into_iter().map(pair).collect()
}

fn command(node: &Node) -> CommandLine {
    CommandLine {
        words: words(node).to_vec(),
        shell: !matches!(node.arguments, Arguments::Json(_)),
    }
}

const COPY_FLAGS: [(&str, Takes); 6] = [
    ("chown", Takes::Text),
    ("from", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Bool),
    ("exclude", Takes::Texts),
    ("parents", Takes::Bool),
];

fn copy(node: &Node) -> Result<Copy, Reason> {
    if words(node).len() < 2 {
        return Err(Reason::NoDestination { keyword: "COPY" });
    }
    let flags = Flags::parse(&node.flags, &COPY_FLAGS)?;
    Ok(Copy {
        sources: sources(node, "COPY")?,
        from: flags.get("from").filter(|from| !from.is_empty()).map(str::to_owned),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.bool("link").unwrap_or(false),
        parents: flags.bool("parents").unwrap_or(false),
        excludes: flags.texts("exclude"),
    })
}

const ADD_FLAGS: [(&str, Takes); 7] = [
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Text),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Texts),
];

fn add(node: &Node) -> Result<Add, Reason> {
    if words(node).len() < 2 {
        return Err(Reason::NoDestination { keyword: "ADD" });
    }
    let flags = Flags::parse(&node.flags, &ADD_FLAGS)?;
    Ok(Add {
        sources: sources(node, "ADD")?,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.bool("link").unwrap_or(false),
        keep_git_dir: flags.bool("keep-git-dir"),
        checksum: flags.text("checksum"),
        unpack: flags.bool("unpack"),
        excludes: flags.texts("exclude"),
    })
}

/// The last word is the destination; words that start a heredoc are files.
fn sources(node: &Node, keyword: &'static str) -> Result<Sources, Reason> {
    let Some((destination, words)) = words(node).split_last() else {
        return Err(Reason::NoDestination { keyword });
    };
    if heredoc_word(destination).is_some() {
        return Err(Reason::HeredocDestination { keyword });
    }
    let mut sources = Sources { destination: destination.clone(), ..Sources::default() };
    for word in words {
        let Some(heredoc) = heredoc_word(word) else {
            sources.paths.push(word.clone());
            continue;
        };
        let content = node.heredocs.iter().rfind(|document| document.name == heredoc.name);
        let content = content.map(|document| document.content.as_str()).unwrap_or_default();
        sources.files.push(InlineFile {
            name: heredoc.name,
            content: if heredoc.chomp { chomp(content) } else { content.to_owned() },
            expand: heredoc.expand,
        });
    }
    Ok(sources)
}

const RUN_FLAGS: [(&str, Takes); 4] = [
    ("mount", Takes::Texts),
    ("network", Takes::Text),
    ("security", Takes::Text),
    ("device", Takes::Texts),
];

fn run(node: &Node) -> Result<Run, Reason> {
    let flags = Flags::parse(&node.flags, &RUN_FLAGS)?;
    let mounts = flags.texts("mount");
    mounts.iter().try_for_each(|mount| check_from(mount))?;
    let network = match flags.get("network") {
        None | Some("default") => NetworkMode::Default,
        Some("none") => NetworkMode::None,
        Some("host") => NetworkMode::Host,
        Some(other) => return Err(Reason::NetworkMode { mode: other.to_owned() }),
    };
    let security = match flags.get("security") {
        None | Some("sandbox") => SecurityMode::Sandbox,
        Some("insecure") => SecurityMode::Insecure,
        Some(other) => return Err(Reason::SecurityMode { mode: other.to_owned() }),
    };
    let devices = flags.texts("device");
    Ok(Run {
        command: command(node),
        heredocs: node.heredocs.clone(),
        mounts,
        network,
        security,
        devices: devices.iter().map(|text| RunDevice::parse(text)).collect::<Result<_, _>>()?,
    })
}

const CHECK_FLAGS: [(&str, Takes); 5] = [
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];

fn healthcheck(node: &Node) -> Result<Healthcheck, Reason> {
    let Arguments::Check { kind, command, json } = &node.arguments else {
        return Err(Reason::AtLeastOne { keyword: "HEALTHCHECK" });
    };
    let kind = kind.to_uppercase();
    if kind.is_empty() {
        return Err(Reason::AtLeastOne { keyword: "HEALTHCHECK" });
    } else if kind == "NONE" {
        if !command.is_empty() {
            return Err(Reason::NoneWithArguments);
        }
        return Ok(Healthcheck { test: vec![kind], ..Healthcheck::default() });
    }
    let flags = Flags::parse(&node.flags, &CHECK_FLAGS)?;
    if kind != "CMD" {
        return Err(Reason::CheckType { kind });
    } else if command.is_empty() {
        return Err(Reason::NoCheckCommand);
    }
    let mut test = vec![if *json { kind } else { "CMD-SHELL".to_owned() }];
    test.extend(command.iter().cloned());
    let retries = match flags.get("retries").filter(|text| !text.is_empty()) {
        Some(text) => i64::from(text.parse::<i32>().map_err(|_| {
            Reason::Number(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
        })?),
        None => 0,
    };
    if retries < 0 {
        return Err(Reason::NegativeRetries { retries });
    }
    Ok(Healthcheck {
        test,
        interval: interval(&flags, "interval")?,
        timeout: interval(&flags, "timeout")?,
        start_period: interval(&flags, "start-period")?,
        start_interval: interval(&flags, "start-interval")?,
        retries,
    })
}

/// Nanoseconds; 0, or a millisecond and more.
fn interval(flags: &Flags, flag: &'static str) -> Result<i64, Reason> {
    let Some(text) = flags.get(flag).filter(|text| !text.is_empty()) else { return Ok(0) };
    match crate::duration::parse(text).map_err(Reason::Number)? {
        nanos if nanos != 0 && nanos < 1_000_000 => Err(Reason::IntervalTooShort { flag }),
        nanos => Ok(nanos),
    }
}

/// The text of an `ONBUILD`, with its heredocs.
fn trigger(node: &Node) -> Result<String, Reason> {
    let Arguments::Trigger(inner) = &node.arguments else {
        return Err(Reason::AtLeastOne { keyword: "ONBUILD" });
    };
    Flags::parse(&node.flags, &[])?;
    match inner.keyword.to_uppercase() {
        chained if chained == "ONBUILD" => return Err(Reason::ChainedTrigger),
        keyword if keyword == "MAINTAINER" || keyword == "FROM" => {
            return Err(Reason::NotATrigger { keyword });
        }
        _ => {}
    }
    let (_, rest) = split_first(node.original.trim_start_matches(is_space));
    let mut expression = rest.unwrap_or_default().trim_start_matches(is_space).to_owned();
    for Heredoc { name, content, .. } in &node.heredocs {
        expression.push('\n');
        expression.push_str(content);
        expression.push_str(name);
    }
    Ok(expression)
}

impl Dockerfile {
    /// The directives of a file, without the rest of it; what cannot be read is left out.
    pub fn directives_of(content: &[u8]) -> Directives {
        let text = String::from_utf8_lossy(content);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut directives = Directives::default();
        for line in text.lines() {
            if !matches!(directives.offer(line), Ok(true)) {
                break;
            }
        }
        directives
    }
}
