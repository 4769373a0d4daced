//! Options of tmpfs mounts: `--tmpfs PATH:OPTIONS` and `--mount type=tmpfs`.

use dockerapi::TmpfsOptions;

use crate::{BundleError, Propagation};

/// What a tmpfs has unless its options say otherwise.
const DEFAULTS: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];

/// Pairs of flags of which the later wins.
const FLAGS: [(&str, &str); 9] = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("sync", "async"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
];

/// Splits and checks the options of `--tmpfs`. An unknown option or a value that tmpfs(5) does
/// not know is an error; so is what would turn the mount into something else (`bind`, `remount`).
pub(crate) fn parse_options(text: &str) -> Result<Vec<String>, BundleError> {
    let words = text.split(',').filter(|word| !word.is_empty() && *word != "defaults");
    words
        .map(|word| match key(word) {
            Some(_) => Ok(word.to_owned()),
            None => Err(BundleError::invalid(format!("invalid tmpfs option {word:?}"))),
        })
        .collect()
}

/// The options of the long form as those of the short one.
pub(crate) fn from_long(
    options: Option<&TmpfsOptions>,
    read_only: bool,
) -> Result<Vec<String>, BundleError> {
    let mut out = Vec::new();
    if read_only {
        out.push("ro".to_owned());
    }
    let Some(options) = options else { return Ok(out) };
    if options.mode != 0 {
        if options.mode > 0o7777 {
            return Err(BundleError::invalid(format!("invalid tmpfs mode {:o}", options.mode)));
        }
        out.push(format!("mode={:o}", options.mode));
    }
    if options.size_bytes != 0 {
        out.push(format!("size={}", short_size(options.size_bytes)?));
    }
    for words in &options.options {
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [word @ ("exec" | "noexec")] => out.push(word.to_owned()),
            [] | [_, _, _, ..] => return Err(BundleError::invalid("invalid option array length")),
            [word, ..] => return Err(BundleError::invalid(format!("invalid option: {word}"))),
        }
    }
    Ok(out)
}

/// Lays options over the defaults: of two that contradict each other the later stays.
pub(crate) fn with_defaults(options: &[String]) -> Vec<String> {
    let all: Vec<&str> = DEFAULTS.into_iter().chain(options.iter().map(String::as_str)).collect();
    let mut out = Vec::with_capacity(all.len());
    for (at, word) in all.iter().enumerate() {
        if !all[at + 1..].iter().any(|later| key(later) == key(word)) {
            out.push((*word).to_owned());
        }
    }
    out
}

/// What an option decides about; two with the same key exclude each other. `None` if it is none
/// of tmpfs's.
fn key(word: &str) -> Option<&'static str> {
    if let Some((on, _)) = FLAGS.iter().find(|(on, off)| *on == word || *off == word) {
        return Some(on);
    }
    if Propagation::parse(word).is_some() || matches!(word, "unbindable" | "runbindable") {
        return Some("propagation");
    }
    let (name, value) = word.split_once('=')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let scaled =
        |text: &str| digits(text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']).unwrap_or(text));
    let octal = |text: &str| {
        !text.is_empty()
            && text.len() <= 5
            && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
    };
    let id = |text: &str| digits(text) && text.parse::<u32>().is_ok();
    let policy = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-,=".contains(&byte))
    };
    let (name, good) = match name {
        "size" => ("size", scaled(value) || value.strip_suffix('%').is_some_and(digits)),
        "mode" => ("mode", octal(value)),
        "uid" => ("uid", id(value)),
        "gid" => ("gid", id(value)),
        "nr_inodes" => ("nr_inodes", scaled(value)),
        "nr_blocks" => ("nr_blocks", scaled(value)),
        "mpol" => ("mpol", policy(value)),
        _ => return None,
    };
    good.then_some(name)
}

/// A size with the largest suffix that divides it.
fn short_size(bytes: i64) -> Result<String, BundleError> {
    if bytes < 0 {
        return Err(BundleError::invalid(format!("invalid tmpfs size {bytes}")));
    }
    for (suffix, shift) in [("g", 30), ("m", 20), ("k", 10)] {
        if bytes % (1 << shift) == 0 {
            return Ok(format!("{}{suffix}", bytes >> shift));
        }
    }
    Ok(bytes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_over_defaults() {
        let rows = [
            ("", "noexec,nosuid,nodev,rprivate"),
            ("exec", "nosuid,nodev,rprivate,exec"),
            ("rw,size=64m,mode=1777", "noexec,nosuid,nodev,rprivate,rw,size=64m,mode=1777"),
            ("size=1k,size=50%,uid=1,gid=2", "noexec,nosuid,nodev,rprivate,size=50%,uid=1,gid=2"),
            ("ro,defaults,rw,shared,suid,dev", "noexec,rw,shared,suid,dev"),
        ];
        for (text, expected) in rows {
            let options = parse_options(text).unwrap();
            assert_eq!(with_defaults(&options).join(","), expected, "{text}");
        }
    }

    #[test]
    fn what_tmpfs_does_not_know_is_refused() {
        for bad in [
            "bind",
            "rbind",
            "remount",
            "size",
            "size=",
            "size=1t",
            "size=-1",
            "mode=8",
            "uid=-1",
            "uid=4294967296",
            "nr_inodes=x",
            "lowerdir=/",
            "mpol=\n",
            "EXEC",
            "ro ",
        ] {
            assert!(parse_options(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_long_form() {
        let long =
            TmpfsOptions { size_bytes: 64 << 20, mode: 0o1770, options: vec![vec!["exec".into()]] };
        assert_eq!(from_long(Some(&long), true).unwrap(), ["ro", "mode=1770", "size=64m", "exec"]);
        assert!(from_long(None, false).unwrap().is_empty());
        for options in
            [vec![vec![]], vec![vec!["suid".into()]], vec![vec!["exec".into(), "1".into()]]]
        {
            let long = TmpfsOptions { options, ..Default::default() };
            assert!(from_long(Some(&long), false).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_key_comes_twice(text in "(ro,|rw,|exec,|noexec,|size=1k,|mode=7,|dev,|nodev,){0,6}") {
            let merged = with_defaults(&parse_options(&text).unwrap());
            for (at, word) in merged.iter().enumerate() {
                prop_assert!(!merged[at + 1..].iter().any(|other| key(other) == key(word)));
            }
        }

        #[test]
        fn any_text_is_checked(text in "\\PC{0,24}") {
            let _ = parse_options(&text);
        }
    }
}
