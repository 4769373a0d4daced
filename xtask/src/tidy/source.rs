//! What a source file may not hold.

/// Beyond this a file is two.
const MAX_LINES: usize = 900;

/// The findings in one file; `name` is its path in the tree.
pub(crate) fn check(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(format!("{name}: {lines} lines, more than {MAX_LINES}"));
    }
    let code = without_comments_and_strings(text);
    for (index, line) in code.lines().enumerate() {
        let mut add = |what: &str| findings.push(format!("{name}:{}: {what}", index + 1));
        if words(line).any(|word| word == "unsafe" || word == "unsafe_code")
            && !name.starts_with("sys/")
        {
            add("unsafe code belongs in sys/");
        }
        if line.contains("#[ignore]") {
            add("an ignored test says why: #[ignore = \"...\"]");
        }
        if words(line).any(|word| word == "todo" || word == "unimplemented") && line.contains("!(")
        {
            add("unfinished");
        }
    }
    for (index, line) in text.lines().enumerate() {
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        if ["TODO", "FIXME", "XXX"].iter().any(|mark| words(comment).any(|word| word == *mark)) {
            findings.push(format!("{name}:{}: unfinished", index + 1));
        }
    }
    findings
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The code alone, line by line: comments, strings and characters become blanks.
fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            quoted(rest)
        } else if let Some(hashes) = raw_string(rest, &out) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// The hashes of a raw string that begins here.
fn raw_string(rest: &str, before: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let inside_word = before.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_');
    let hashes = after.len() - after.trim_start_matches('#').len();
    (!inside_word && after[hashes..].starts_with('"')).then_some(hashes)
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal's length, 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |at| at + 4),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_in_code_only() {
        let bad = "fn f<'a>(c: char) -> bool { c == '\"' && unsafe { g() } }\n";
        assert_eq!(check("run/a.rs", bad), ["run/a.rs:1: unsafe code belongs in sys/"]);
        assert_eq!(check("sys/a.rs", bad), [""; 0]);
        let good =
            "// unsafe\n/* unsafe */ let a = \"unsafe \\\" unsafe\"; let b = r#\"unsafe\"#;\n";
        assert_eq!(check("run/a.rs", good), [""; 0]);
    }

    #[test]
    fn what_is_unfinished_or_left_out_is_found() {
        let ignored = concat!("#[", "ignore]\nfn f() { ", "todo", "!() } // TO", "DO: later\n");
        assert_eq!(check("a.rs", ignored).len(), 3, "{:?}", check("a.rs", ignored));
        assert_eq!(check("a.rs", "#[ignore = \"slow\"]\n"), [""; 0]);
        assert_eq!(check("a.rs", &"\n".repeat(901)).len(), 1);
    }
}
