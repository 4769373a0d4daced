//! File name patterns: those of `COPY`, which are Go's `path/filepath.Match`, and the machine
//! that also matches the patterns of `.dockerignore`.
//!
//! All ways to match go forward at once, so that matching takes time in proportion to the pattern
//! times the name, whatever a stranger wrote.

/// A pattern whose syntax is wrong: a class that does not end or is empty, or a last `\`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// This character.
    Just(char),
    /// Any character but `/`.
    One,
    /// Any text without `/`.
    Star,
    /// Nothing, or any text that ends in `/`.
    Folders,
    /// Any text.
    Rest,
    /// A character in, or not in, some ranges.
    Class { negated: bool, ranges: Vec<(char, char)> },
    /// Nothing, and only at the very start.
    Start,
}

/// Whether the whole name matches.
pub(crate) fn matches(parts: &[Part], name: &str) -> bool {
    let mut places = vec![false; parts.len() + 1];
    // Where the text of a `Folders` is under way and has not come to a slash.
    let mut inside = vec![false; parts.len() + 1];
    let (mut next, mut next_inside) = (places.clone(), inside.clone());
    places[0] = true;
    skip_empty(parts, &mut places, true);
    for letter in name.chars() {
        next.fill(false);
        next_inside.fill(false);
        for (place, part) in parts.iter().enumerate() {
            if *part == Part::Folders && (places[place] || inside[place]) && letter != '\n' {
                next_inside[place] = true;
                next[place + 1] |= letter == '/';
            }
            if !places[place] {
                continue;
            }
            match part {
                Part::Just(wanted) => next[place + 1] |= *wanted == letter,
                Part::One => next[place + 1] |= letter != '/',
                Part::Star => next[place] |= letter != '/',
                Part::Rest => next[place] |= letter != '\n',
                Part::Class { negated, ranges } => {
                    let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter));
                    next[place + 1] |= within != *negated;
                }
                Part::Folders | Part::Start => {}
            }
        }
        std::mem::swap(&mut places, &mut next);
        std::mem::swap(&mut inside, &mut next_inside);
        skip_empty(parts, &mut places, false);
        if !places.contains(&true) && !inside.contains(&true) {
            return false;
        }
    }
    places[parts.len()]
}

fn skip_empty(parts: &[Part], places: &mut [bool], at_start: bool) {
    for (place, part) in parts.iter().enumerate() {
        let empty = match part {
            Part::Star | Part::Folders | Part::Rest => true,
            Part::Start => at_start,
            _ => false,
        };
        places[place + 1] |= places[place] && empty;
    }
}

/// Reads a class behind its `[`, up to and with its `]`.
pub(crate) fn class(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Part, BadPattern> {
    let negated = letters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && letters.next_if_eq(&']').is_some() {
            return Ok(Part::Class { negated, ranges });
        }
        let low = class_letter(letters)?;
        let high = match letters.next_if_eq(&'-') {
            Some(_) => class_letter(letters)?,
            None => low,
        };
        ranges.push((low, high));
        if letters.peek().is_none() {
            return Err(BadPattern);
        }
    }
}

fn class_letter(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<char, BadPattern> {
    match letters.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => letters.next().ok_or(BadPattern),
        Some(letter) => Ok(letter),
    }
}

/// The parts of a pattern in which `*` is any text without `/`.
fn parse(pattern: &str) -> Result<Vec<Part>, BadPattern> {
    let mut parts = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '*' => Part::Star,
            '?' => Part::One,
            '[' => class(&mut letters)?,
            '\\' => Part::Just(letters.next().ok_or(BadPattern)?),
            other => Part::Just(other),
        });
    }
    parts.dedup_by(|next, last| *next == Part::Star && *last == Part::Star);
    Ok(parts)
}

/// Whether a name matches a pattern: `*`, `?`, `[a-z]`, `[^a]` and `\` as escape; `/` is only
/// matched by `/`.
///
/// Go's `path/filepath.Match`.
pub fn path_match(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    Ok(matches(&parse(pattern)?, name))
}

/// Whether a source path of `COPY` is a pattern. An escaped character is not one.
pub fn has_wildcard(path: &str) -> bool {
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, want) in [
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "ab/c", Ok(false)),
            ("a*/b", "abc/b", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("ab[c]", "abc", Ok(true)),
            ("ab[b-d]", "abc", Ok(true)),
            ("ab[^e-g]", "abc", Ok(true)),
            ("ab[^b-d]", "abc", Ok(false)),
            ("a\\*b", "a*b", Ok(true)),
            ("a\\*b", "ab", Ok(false)),
            ("a???b", "a☺b", Ok(false)),
            ("a?b", "a/b", Ok(false)),
            ("[\\]a]", "]", Ok(true)),
            ("[\\-x]", "-", Ok(true)),
            ("[]a]", "]", Err(BadPattern)),
            ("[-]", "-", Err(BadPattern)),
            ("[x-]", "x", Err(BadPattern)),
            ("[a-b-c]", "a", Err(BadPattern)),
            ("[", "a", Err(BadPattern)),
            ("[^bc", "a", Err(BadPattern)),
            ("a[", "a", Err(BadPattern)),
            ("\\", "a", Err(BadPattern)),
            ("*x", "xxx", Ok(true)),
        ] {
            assert_eq!(path_match(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn a_costly_pattern_costs_little() {
        let name = "a".repeat(5_000);
        assert_eq!(path_match(&"*a".repeat(200), &name), Ok(true));
        assert_eq!(path_match(&"*b".repeat(200), &name), Ok(false));
    }
}
