//! The patterns of `${v#p}` and `${v/p/r}`: `*` is any text, `?` any character, `\` escapes.
//!
//! Neither `*` nor `?` matches a line feed. There are no bracket expressions.

/// A parsed pattern.
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Any,
    One,
    Just(char),
}

impl Pattern {
    /// Parses a pattern. `\` stands before `*`, `?` and `\`; before `}` and `/` it is dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            parts.push(match letter {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => match letters.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => Part::Just(escaped),
                    Some(other) => return Err(format!("invalid escape '\\{other}'")),
                    None => return Err("invalid escape '\\\u{fffd}'".to_owned()),
                },
                other => Part::Just(other),
            });
        }
        parts.dedup_by(|next, last| *next == Part::Any && *last == Part::Any);
        Ok(Self { parts })
    }

    /// The same pattern for a text that is read from its end.
    pub(crate) fn reversed(&self) -> Self {
        Self { parts: self.parts.iter().rev().copied().collect() }
    }

    /// How many of the first characters match: as few as possible, or as many.
    ///
    /// Takes time in proportion to the text times the pattern: all ways to match go forward at
    /// once, as a set of places in the pattern.
    pub(crate) fn match_end(&self, text: &[char], longest: bool) -> Option<usize> {
        let mut places = vec![false; self.parts.len() + 1];
        let mut next = places.clone();
        places[0] = true;
        self.skip_empty(&mut places);
        let mut found = None;
        for end in 0..=text.len() {
            if places[self.parts.len()] {
                found = Some(end);
                if !longest {
                    break;
                }
            }
            let Some(&letter) = text.get(end) else { break };
            next.fill(false);
            for (place, part) in self.parts.iter().enumerate().filter(|(place, _)| places[*place]) {
                match part {
                    Part::Any if letter != '\n' => next[place] = true,
                    Part::One if letter != '\n' => next[place + 1] = true,
                    Part::Just(wanted) if *wanted == letter => next[place + 1] = true,
                    _ => {}
                }
            }
            std::mem::swap(&mut places, &mut next);
            self.skip_empty(&mut places);
            if !places.contains(&true) {
                break;
            }
        }
        found
    }

    /// A `*` can match nothing.
    fn skip_empty(&self, places: &mut [bool]) {
        for (place, part) in self.parts.iter().enumerate() {
            if places[place] && *part == Part::Any {
                places[place + 1] = true;
            }
        }
    }

    /// Replaces the first match, or all of them; each is as long as it can be.
    pub(crate) fn replace(&self, text: &str, replacement: &str, all: bool) -> String {
        let letters: Vec<char> = text.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        let mut last_end = None;
        while at <= letters.len() {
            let matched = self.match_end(&letters[at..], true).map(|length| at + length);
            // An empty match right behind another match is not one.
            if let Some(end) = matched.filter(|end| *end > at || last_end != Some(at)) {
                out.push_str(replacement);
                last_end = Some(end);
                if !all {
                    out.extend(&letters[end..]);
                    return out;
                }
                if end > at {
                    at = end;
                    continue;
                }
            }
            out.extend(letters.get(at));
            at += 1;
        }
        out
    }
}
