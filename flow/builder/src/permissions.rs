//! `--chmod`: an octal mode, or one in words as chmod(1) takes it.

/// What becomes of a file's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// This one.
    Octal(u32),
    /// Changed by these.
    Changes(Vec<Change>),
}

/// One change: `u+x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Bits 2, 1 and 0: user, group, others.
    who: u32,
    operator: char,
    /// `rwx` as three bits.
    bits: u32,
    /// `X`: `x` for directories, and for what anybody may execute.
    conditional: bool,
    /// `s`.
    set_id: bool,
    /// `t`.
    sticky: bool,
}

impl Permissions {
    /// Reads a mode; the error says what one must be.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            )
        };
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Self::Octal(mode)),
                _ => Err(wrong()),
            };
        }
        let changes: Option<Vec<Vec<Change>>> = text.split(',').map(changes).collect();
        changes.map(|changes| Self::Changes(changes.concat())).ok_or_else(wrong)
    }

    /// The mode of a file that had `mode`.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let changes = match self {
            Self::Octal(mode) => return *mode,
            Self::Changes(changes) => changes,
        };
        let mut mode = mode;
        for change in changes {
            let mut bits = change.bits;
            if change.conditional && (is_directory || mode & 0o111 != 0) {
                bits |= 1;
            }
            let mut value = 0;
            let mut mask = 0;
            for (place, special) in [(2, 0o4000), (1, 0o2000), (0, 0)] {
                if change.who & (1 << place) != 0 {
                    value |= bits << (3 * place);
                    mask |= 0o7 << (3 * place);
                    value |= if change.set_id { special } else { 0 };
                    mask |= special;
                }
            }
            if change.sticky {
                value |= 0o1000;
            }
            mode = match change.operator {
                '+' => mode | value,
                '-' => mode & !value,
                _ => mode & !mask | value,
            };
        }
        mode
    }
}

/// `[ugoa...](+|-|=)[rwxXst...]`, several operators one after the other.
fn changes(text: &str) -> Option<Vec<Change>> {
    let start = text.find(['+', '-', '='])?;
    let (who, mut rest) = text.split_at(start);
    let mut mask = 0;
    for letter in who.chars() {
        mask |= match letter {
            'u' => 4,
            'g' => 2,
            'o' => 1,
            'a' => 7,
            _ => return None,
        };
    }
    let who = if mask == 0 { 7 } else { mask };
    let mut all = Vec::new();
    while let Some(operator) = rest.chars().next() {
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
        let mut change =
            Change { who, operator, bits: 0, conditional: false, set_id: false, sticky: false };
        for letter in rest[1..end].chars() {
            match letter {
                'r' => change.bits |= 4,
                'w' => change.bits |= 2,
                'x' => change.bits |= 1,
                'X' => change.conditional = true,
                's' => change.set_id = true,
                't' => change.sticky = true,
                _ => return None,
            }
        }
        all.push(change);
        rest = &rest[end..];
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_changed_as_chmod_does() {
        for (text, before, directory, want) in [
            ("755", 0o600, false, 0o755),
            ("4755", 0o600, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("go-w", 0o666, false, 0o644),
            ("a=r", 0o777, false, 0o444),
            ("+x", 0o644, false, 0o755),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o644, true, 0o755),
            ("a+X", 0o744, false, 0o755),
            ("u=rwx,go=rX", 0o700, true, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("u=rw-x", 0o777, false, 0o677),
            ("u+rw-x", 0o100, false, 0o600),
            ("+t", 0o777, true, 0o1777),
        ] {
            let found = Permissions::parse(text).unwrap().apply(before, directory);
            assert_eq!(found, want, "{text} {before:o}");
        }
        for text in ["", "8", "10000", "z+x", "u", "u+z", "-1 "] {
            assert!(Permissions::parse(text).is_err(), "{text:?}");
        }
    }
}
