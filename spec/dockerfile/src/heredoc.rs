//! Heredocs: `<<NAME`, `<<-NAME`, `<<"NAME"`, with a descriptor's number before them.
//!
//! Dockerfile reference 1.20, "Here-Documents".

use crate::error::Reason;
use crate::expand::Lexer;

/// A document that stands below the instruction that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, without quotes.
    pub name: String,
    /// The descriptor before `<<`; 0 without one.
    pub descriptor: u64,
    /// Whether variables in it are expanded: the word was not quoted.
    pub expand: bool,
    /// Whether leading tabs are taken off: `<<-`.
    pub chomp: bool,
    /// The lines up to the word, as they stand.
    pub content: String,
}

/// Reads a word as the start of a heredoc; `None` if it is not one.
pub fn heredoc_word(word: &str) -> Option<Heredoc> {
    parse_word(word).ok().flatten()
}

fn parse_word(word: &str) -> Result<Option<Heredoc>, Reason> {
    let digits = word.len() - word.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (number, rest) = word.split_at(digits);
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let fail = |error: crate::ExpandError| Reason::Expand(error.to_string());
    let lexer = Lexer::new('\\').keep_unset();
    let plain = lexer.expand(rest, &()).map_err(fail)?;
    let raw = lexer.keep_quotes().expand(rest, &()).map_err(fail)?;
    let ([name], [quoted]) = (plain.words.as_slice(), raw.words.as_slice()) else {
        return Ok(None);
    };
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    Ok(Some(Heredoc {
        name: name.clone(),
        descriptor: number.parse().unwrap_or(0),
        expand: quotes(name) == quotes(quoted),
        chomp,
        content: String::new(),
    }))
}

/// The heredocs that a line starts, in order, without content.
pub(crate) fn of_line(line: &str) -> Result<Vec<Heredoc>, Reason> {
    let lexer = Lexer::new('\\').keep_quotes().keep_escapes().keep_unset();
    // A line that cannot be split into words is its own instruction's affair.
    let Ok(expanded) = lexer.expand(line, &()) else { return Ok(Vec::new()) };
    let parsed: Result<Vec<_>, _> = expanded.words.iter().map(|word| parse_word(word)).collect();
    Ok(parsed?.into_iter().flatten().collect())
}

/// Takes the leading tabs off each line.
pub fn chomp(content: &str) -> String {
    content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}
