//! Variable expansion and word splitting, as a Dockerfile's instructions want it.
//!
//! This is the shell's manner, with fewer forms: `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w}
//! ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r} ${v//p/r}`. There is no command substitution and
//! no arithmetic: nothing is run.
//!
//! Dockerfile reference 1.20, "Environment replacement".

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use crate::lines::is_space;
use crate::pattern::Pattern;

/// How many bytes variables may add to one text: values that double from line to line would soon
/// fill any memory. The kernel takes no argument of more than an eighth of it.
const MOST_BYTES: usize = 1 << 20;
/// How deep `${a:-${b:-...}}` may nest; deeper is an error and not an exhausted stack.
const DEEPEST: usize = 100;

/// Where the values of variables come from.
pub trait Variables {
    /// The value, or `None` if the variable is not set.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Variables for () {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }
}

impl<F: Fn(&str) -> Option<&'static str>> Variables for F {
    fn get(&self, name: &str) -> Option<&str> {
        self(name)
    }
}

impl Variables for [(String, String)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {text:?}: {reason}")]
pub struct ExpandError {
    text: String,
    reason: String,
}

/// What became of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text, expanded and without its quotes.
    pub text: String,
    /// The same, split at blanks that were neither quoted nor escaped.
    pub words: Vec<String>,
    /// Names that were asked for and are set.
    pub matched: BTreeSet<String>,
    /// Names that were asked for and are not set.
    pub unmatched: BTreeSet<String>,
}

/// How to read a text.
#[derive(Debug, Clone, Copy)]
pub struct Lexer {
    escape: char,
    keep_quotes: bool,
    keep_escapes: bool,
    ignore_quotes: bool,
    keep_unset: bool,
}

impl Lexer {
    /// Reads quotes and variables; `escape` takes the meaning of the character after it.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            keep_quotes: false,
            keep_escapes: false,
            ignore_quotes: false,
            keep_unset: false,
        }
    }

    /// Quotes have their meaning and stay in the result.
    pub fn keep_quotes(self) -> Self {
        Self { keep_quotes: true, ..self }
    }

    /// Escape characters have their meaning and stay in the result.
    pub fn keep_escapes(self) -> Self {
        Self { keep_escapes: true, ..self }
    }

    /// Quotes are characters like others.
    pub fn ignore_quotes(self) -> Self {
        Self { ignore_quotes: true, ..self }
    }

    /// A variable that is not set stays as it is written.
    pub fn keep_unset(self) -> Self {
        Self { keep_unset: true, ..self }
    }

    /// Expands a text.
    pub fn expand(
        &self,
        text: &str,
        variables: &(impl Variables + ?Sized),
    ) -> Result<Expanded, ExpandError> {
        let mut reader = Reader {
            lexer: *self,
            keep_escapes: self.keep_escapes,
            input: text.chars().peekable(),
            variables,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
            depth: 0,
            left: MOST_BYTES,
        };
        let (expanded, words) =
            reader.until(None).map_err(|reason| ExpandError { text: text.to_owned(), reason })?;
        let Reader { matched, unmatched, .. } = reader;
        Ok(Expanded { text: expanded, words, matched, unmatched })
    }
}

fn too_long() -> String {
    format!("variables add more than {MOST_BYTES} bytes")
}

/// Collects words while their text is read.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
}

impl Words {
    /// Adds text in which a blank ends a word.
    fn split(&mut self, text: &str) {
        text.chars().for_each(|letter| self.letter(letter));
    }

    fn letter(&mut self, letter: char) {
        if !is_space(letter) {
            self.word.push(letter);
        } else if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

struct Reader<'a, V: ?Sized> {
    lexer: Lexer,
    keep_escapes: bool,
    input: Peekable<Chars<'a>>,
    variables: &'a V,
    matched: BTreeSet<String>,
    unmatched: BTreeSet<String>,
    depth: usize,
    /// How many bytes variables may still add.
    left: usize,
}

impl<V: Variables + ?Sized> Reader<'_, V> {
    /// Reads up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), String> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(&letter) = self.input.peek() {
            if Some(letter) == stop {
                self.input.next();
                return Ok((text, words.finish()));
            }
            match letter {
                '$' => {
                    let value = self.dollar()?;
                    text.push_str(&value);
                    words.split(&value);
                }
                '<' => {
                    let raw = self.redirection();
                    text.push_str(&raw);
                    words.word.push_str(&raw);
                }
                '\'' | '"' if !self.lexer.ignore_quotes => {
                    let quoted = match letter {
                        '"' => self.double_quoted()?,
                        _ => self.single_quoted()?,
                    };
                    text.push_str(&quoted);
                    words.word.push_str(&quoted);
                }
                letter if letter == self.lexer.escape => {
                    self.input.next();
                    if self.keep_escapes {
                        words.word.push(letter);
                        text.push(letter);
                    }
                    let Some(escaped) = self.input.next() else { break };
                    words.word.push(escaped);
                    text.push(escaped);
                }
                letter => {
                    self.input.next();
                    words.letter(letter);
                    text.push(letter);
                }
            }
        }
        match stop {
            Some(stop) => {
                Err(format!("unexpected end of statement while looking for matching {stop}"))
            }
            None => Ok((text, words.finish())),
        }
    }

    /// `<<` takes the blanks behind it, so that `<< EOF` is one word.
    fn redirection(&mut self) -> String {
        self.input.next();
        if self.input.next_if_eq(&'<').is_none() {
            return "<".to_owned();
        }
        let mut raw = "<<".to_owned();
        while let Some(blank) = self.input.next_if(|next| matches!(next, '\t' | '\r' | ' ')) {
            raw.push(blank);
        }
        raw
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let keep = self.lexer.keep_quotes;
        text.extend(self.input.next().filter(|_| keep));
        loop {
            match self.input.next() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching single-quote"
                            .to_owned(),
                    );
                }
                Some('\'') => {
                    text.extend(keep.then_some('\''));
                    return Ok(text);
                }
                Some(letter) => text.push(letter),
            }
        }
    }

    /// In double quotes variables are expanded, and `"`, `$` and the escape can be escaped.
    fn double_quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let keep = self.lexer.keep_quotes;
        text.extend(self.input.next().filter(|_| keep));
        loop {
            match self.input.peek().copied() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching double-quote"
                            .to_owned(),
                    );
                }
                Some('"') => {
                    self.input.next();
                    text.extend(keep.then_some('"'));
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(letter) => {
                    self.input.next();
                    if letter != self.lexer.escape {
                        text.push(letter);
                        continue;
                    }
                    if self.keep_escapes {
                        text.push(letter);
                    }
                    match self.input.peek().copied() {
                        None => {}
                        Some(escaped) if matches!(escaped, '"' | '$') || escaped == letter => {
                            self.input.next();
                            text.push(escaped);
                        }
                        Some(_) => text.push(letter),
                    }
                }
            }
        }
    }

    /// A dollar sign and what belongs to it.
    fn dollar(&mut self) -> Result<String, String> {
        let value = self.substitution()?;
        self.left = self.left.checked_sub(value.len()).ok_or_else(too_long)?;
        Ok(value)
    }

    fn substitution(&mut self) -> Result<String, String> {
        self.input.next();
        if self.input.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.value(&name) {
                Some(value) => value,
                None if self.lexer.keep_unset => format!("${name}"),
                None => String::new(),
            });
        }
        match self.input.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let mut operator = String::new();
        let mut next = self.input.next();
        operator.push(next.unwrap_or(char::REPLACEMENT_CHARACTER));
        let empty_is_unset = next == Some(':');
        if empty_is_unset {
            next = self.input.next();
            operator.push(next.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        match next {
            Some('}') if !empty_is_unset => Ok(match self.value(&name) {
                Some(value) => value,
                None if self.lexer.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some('/') if !empty_is_unset => self.replaced(&name),
            Some(kind @ ('#' | '%')) if !empty_is_unset => self.trimmed(&name, kind),
            Some(kind @ ('-' | '+' | '?')) => {
                self.substituted(&name, kind, &operator, empty_is_unset)
            }
            _ => Err(format!("unsupported modifier ({operator}) in substitution")),
        }
    }

    /// `-`, `+` and `?`, each with and without a colon before it.
    fn substituted(
        &mut self,
        name: &str,
        kind: char,
        operator: &str,
        empty_is_unset: bool,
    ) -> Result<String, String> {
        let word = self.nested('}', false, "syntax error: missing '}'")?;
        let value = self.value(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}{operator}{word}}}"));
        }
        let set = value.is_some();
        let usable = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match (kind, usable) {
            ('-', usable) => Ok(usable.unwrap_or(word)),
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) if !word.is_empty() => Err(format!("{name}: {word}")),
            (_, None) if set => Err(format!("{name}: is not allowed to be empty")),
            (_, None) => Err(format!("{name}: is not allowed to be unset")),
        }
    }

    /// `#` and `%` take the shortest match off an end, `##` and `%%` the longest.
    fn trimmed(&mut self, name: &str, kind: char) -> Result<String, String> {
        let word = self.nested('}', true, "syntax error: missing '}'")?;
        let Some(value) = self.value(name) else {
            let kept = format!("${{{name}{kind}{word}}}");
            return Ok(if self.lexer.keep_unset { kept } else { String::new() });
        };
        let (longest, pattern) = match word.strip_prefix(kind) {
            Some(pattern) => (true, pattern),
            None => (false, word.as_str()),
        };
        let compiled = Pattern::parse(pattern)
            .map_err(|why| format!("invalid pattern ({pattern}) in substitution: {why}"))?;
        let letters: Vec<char> = value.chars().collect();
        Ok(match kind {
            '#' => {
                let end = compiled.match_end(&letters, longest).unwrap_or(0);
                letters[end..].iter().collect()
            }
            _ => {
                let turned: Vec<char> = letters.iter().rev().copied().collect();
                let end = compiled.reversed().match_end(&turned, longest).unwrap_or(0);
                letters[..letters.len() - end].iter().collect()
            }
        })
    }

    /// `/` replaces the first match, `//` each one.
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.input.next_if_eq(&'/').is_some();
        let pattern = self.nested('/', true, "syntax error: missing '/' in ${}")?;
        let replacement = self.nested('}', true, "syntax error: missing '}'")?;
        let Some(value) = self.value(name) else {
            let kept = format!("${{{name}/{pattern}/{replacement}}}");
            return Ok(if self.lexer.keep_unset { kept } else { String::new() });
        };
        let compiled = Pattern::parse(&pattern)
            .map_err(|why| format!("invalid pattern ({pattern}) in substitution: {why}"))?;
        // So often at most, in a value without an end.
        let most = value.len().saturating_add(1).saturating_mul(replacement.len().max(1));
        if most > 64 * MOST_BYTES {
            return Err(too_long());
        }
        Ok(compiled.replace(&value, &replacement, all))
    }

    /// A word inside braces; at the end of the text the error is `missing`.
    fn nested(&mut self, stop: char, keep_escapes: bool, missing: &str) -> Result<String, String> {
        if self.depth == DEEPEST {
            return Err("syntax error: substitutions nest too deeply".to_owned());
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.keep_escapes, keep_escapes);
        let word = self.until(Some(stop));
        self.keep_escapes = outer;
        self.depth -= 1;
        match word {
            Ok((word, _)) => Ok(word),
            Err(_) if self.input.peek().is_none() => Err(missing.to_owned()),
            Err(why) => Err(why),
        }
    }

    /// A variable's name; digits or one special parameter are a name too. May be empty.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.input.peek() {
            Some(first) if first.is_ascii_digit() => {
                while let Some(digit) = self.input.next_if(char::is_ascii_digit) {
                    name.push(digit);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.input.next()),
            _ => {
                while let Some(letter) =
                    self.input.next_if(|next| next.is_alphanumeric() || *next == '_')
                {
                    name.push(letter);
                }
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name).map(str::to_owned);
        let seen = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        seen.insert(name.to_owned());
        value
    }
}
