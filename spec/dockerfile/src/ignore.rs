//! `.dockerignore`: which files of a context do not take part in a build.
//!
//! The rules are moby's, to the letter: a pattern is anchored at the root of the context, `*` and
//! `?` stop at `/`, `**` does not, `!` takes back, the last pattern that matches decides, and what
//! matches a folder matches all below it. Three of moby's shortcuts show in results, and are
//! kept: a pattern without wildcards but for a last `**` is a prefix, one whose only wildcard is a
//! leading `**` is a suffix, and a `^` outside of a class stands for the start, beside a wildcard.
//! What moby would call a syntax error only when it comes to match a file is one at once here.
//!
//! moby/patternmatcher, the comments of `PatternMatcher` and `ignorefile.ReadAll`.

use crate::glob::{BadPattern, Part, class, matches};
use crate::lines::is_space;

/// Why an ignore file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// A lone `!`.
    #[error("illegal exclusion pattern: \"!\"")]
    LoneException,
    /// A pattern's syntax.
    #[error("{pattern:?}: syntax error in pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
}

/// The patterns of an ignore file, or of `--exclude`.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

/// What is known of a folder's patterns, for what lies in it.
#[derive(Debug, Clone, Default)]
pub struct Above(Vec<bool>);

#[derive(Debug, Clone)]
struct Pattern {
    /// Starts with `!`.
    exception: bool,
    text: String,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    Exact,
    /// The text without its last `**`.
    Prefix,
    /// The text without its first `**`.
    Suffix,
    Parts(Vec<Part>),
}

impl Patterns {
    /// Reads the lines of an ignore file: comments and blank lines are left out, paths cleaned.
    pub fn read(content: &[u8]) -> Result<Self, IgnoreError> {
        Self::new(&lines(content))
    }

    /// Takes patterns, each perhaps with a `!` before it.
    pub fn new(patterns: &[String]) -> Result<Self, IgnoreError> {
        let mut parsed = Vec::new();
        for pattern in patterns {
            let pattern = pattern.trim_matches(is_space);
            if pattern.is_empty() {
                continue;
            }
            let cleaned = clean(pattern);
            let (exception, text) = match cleaned.strip_prefix('!') {
                Some("") => return Err(IgnoreError::LoneException),
                Some(text) => (true, text.to_owned()),
                None => (false, cleaned),
            };
            let bad = |_| IgnoreError::Pattern { pattern: text.clone() };
            crate::glob::path_match(&text, ".").map_err(bad)?;
            let how = How::of(&text).map_err(bad)?;
            parsed.push(Pattern { exception, text, how });
        }
        Ok(Self { patterns: parsed })
    }

    /// Whether nothing is ignored.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether any pattern takes back what others ignore.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Whether a pattern ignores all that lies at the root.
    pub fn ignores_root(&self) -> bool {
        let all = ["*", "**", "**/*"];
        self.patterns.iter().any(|one| !one.exception && all.contains(&one.text.as_str()))
    }

    /// Whether a path, relative to the root of the context, is ignored.
    pub fn matches(&self, path: &str) -> bool {
        let mut matched = false;
        for pattern in &self.patterns {
            if pattern.exception == matched && pattern.matches_or_above(path) {
                matched = !pattern.exception;
            }
        }
        matched
    }

    /// As [`Patterns::matches`], for who walks a tree from its root: `above` is what this
    /// returned for the folder that holds the path, or the default at the root.
    pub fn matches_below(&self, path: &str, above: &Above) -> (bool, Above) {
        let mut matched = false;
        let mut results = vec![false; self.patterns.len()];
        for (place, pattern) in self.patterns.iter().enumerate() {
            let mut hit = above.0.get(place).copied().unwrap_or(false);
            if !hit {
                if pattern.exception != matched {
                    continue;
                }
                hit = match above.0.is_empty() {
                    true => pattern.matches_or_above(path),
                    false => pattern.matches(path),
                };
            }
            results[place] = hit;
            if hit {
                matched = !pattern.exception;
            }
        }
        (matched, Above(results))
    }

    /// Whether anything below an ignored folder may be taken back, so that it must be walked.
    pub fn may_take_back_below(&self, folder: &str) -> bool {
        self.patterns.iter().filter(|pattern| pattern.exception).any(|pattern| {
            !matches!(pattern.how, How::Exact)
                || pattern.text.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        match &self.how {
            How::Exact => path == self.text,
            How::Prefix => path.starts_with(&self.text[..self.text.len() - 2]),
            How::Suffix => {
                let suffix = &self.text[2..];
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            How::Parts(parts) => matches(parts, path),
        }
    }

    /// Matches the path or a folder above it.
    fn matches_or_above(&self, path: &str) -> bool {
        self.matches(path)
            || path.match_indices('/').any(|(at, _)| at > 0 && self.matches(&path[..at]))
    }
}

impl How {
    fn of(text: &str) -> Result<Self, BadPattern> {
        let mut parts = Vec::new();
        let mut letters = text.chars().peekable();
        // What the text is, should nothing else follow.
        let mut how = Self::Exact;
        let mut machine = false;
        let mut first = true;
        while let Some(letter) = letters.next() {
            match letter {
                '*' if letters.next_if_eq(&'*').is_some() => {
                    letters.next_if_eq(&'/');
                    if letters.peek().is_some() {
                        parts.push(Part::Folders);
                        machine = true;
                    } else if matches!(how, Self::Exact) && !machine {
                        how = Self::Prefix;
                    } else {
                        parts.push(Part::Rest);
                        machine = true;
                    }
                    if first {
                        how = Self::Suffix;
                        machine = false;
                    }
                }
                '*' => {
                    parts.push(Part::Star);
                    machine = true;
                }
                '?' => {
                    parts.push(Part::One);
                    machine = true;
                }
                '[' => {
                    parts.push(class(&mut letters)?);
                    machine = true;
                }
                ']' => {
                    parts.push(Part::Just(']'));
                    machine = true;
                }
                '\\' => {
                    parts.push(escape(letters.next().ok_or(BadPattern)?)?);
                    machine = true;
                }
                '^' => parts.push(Part::Start),
                other => parts.push(Part::Just(other)),
            }
            first = false;
        }
        Ok(if machine { Self::Parts(parts) } else { how })
    }
}

/// A character behind `\`. Moby hands both to a regular expression, where some letters have a
/// meaning of their own.
fn escape(letter: char) -> Result<Part, BadPattern> {
    let digits = vec![('0', '9')];
    let blanks = vec![('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')];
    let word = vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
    Ok(match letter {
        'd' | 'D' => Part::Class { negated: letter == 'D', ranges: digits },
        's' | 'S' => Part::Class { negated: letter == 'S', ranges: blanks },
        'w' | 'W' => Part::Class { negated: letter == 'W', ranges: word },
        'a' => Part::Just('\u{7}'),
        'f' => Part::Just('\u{c}'),
        't' => Part::Just('\t'),
        'n' => Part::Just('\n'),
        'r' => Part::Just('\r'),
        'v' => Part::Just('\u{b}'),
        other if other.is_ascii_alphanumeric() => return Err(BadPattern),
        other => Part::Just(other),
    })
}

/// The patterns of an ignore file, one a line.
fn lines(content: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut patterns = Vec::new();
    for line in text.lines() {
        let pattern = line.trim_matches(is_space);
        if line.starts_with('#') || pattern.is_empty() {
            continue;
        }
        let (mark, path) = match pattern.strip_prefix('!') {
            Some(path) => ("!", path.trim_matches(is_space)),
            None => ("", pattern),
        };
        let mut path = if path.is_empty() { String::new() } else { clean(path) };
        if path.len() > 1 && path.starts_with('/') {
            path.remove(0);
        }
        patterns.push(format!("{mark}{path}"));
    }
    patterns
}

/// The shortest path that means the same by its text alone. Go's `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => match names.last() {
                Some(&last) if last != ".." => drop(names.pop()),
                _ if !rooted => names.push(".."),
                _ => {}
            },
            name => names.push(name),
        }
    }
    match (rooted, names.is_empty()) {
        (true, _) => format!("/{}", names.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => names.join("/"),
    }
}
