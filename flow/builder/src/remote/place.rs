//! Names of things that are elsewhere: which of them are URLs, and which repositories.

use crate::BuildError;

/// Something that is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of a web server.
    Http(String),
    /// A git repository.
    Git(GitPlace),
}

/// A git repository, and what of it is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitPlace {
    /// As git takes it.
    pub repository: String,
    /// A branch, a tag or a commit; the repository's own choice if empty.
    pub reference: String,
    /// A directory of it; the whole if empty.
    pub subdirectory: String,
}

impl Place {
    /// What `ADD` and contexts take a text for; `None` if it is a path.
    ///
    /// A URL of http is a repository if its path ends in `.git`, as BuildKit has it.
    pub fn of(text: &str) -> Result<Option<Self>, BuildError> {
        let is_http = text.starts_with("http://") || text.starts_with("https://");
        let is_git = text.starts_with("git://")
            || text.starts_with("ssh://")
            || is_scp(text)
            || (is_http && text.split(['#', '?']).next().is_some_and(|url| url.ends_with(".git")));
        match (is_git, is_http) {
            (true, _) => GitPlace::parse(text).map(Self::Git).map(Some),
            (false, true) => Ok(Some(Self::Http(text.to_owned()))),
            (false, false) => Ok(None),
        }
    }

    /// As [`Place::of`], of a context: `github.com/...` is one too.
    pub fn of_context(text: &str) -> Result<Option<Self>, BuildError> {
        match text.starts_with("github.com/") {
            true => GitPlace::parse(&format!("https://{text}")).map(Self::Git).map(Some),
            false => Self::of(text),
        }
    }
}

/// `user@host:path`, as ssh takes it.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    rest.split_once(':').is_some_and(|(host, path)| word(user) && word(host) && !path.is_empty())
}

impl GitPlace {
    /// `REPOSITORY[#REFERENCE[:SUBDIRECTORY]]`, or with `?ref=`, `branch=`, `tag=`, `subdir=`.
    pub fn parse(text: &str) -> Result<Self, BuildError> {
        let invalid =
            |why: &str| BuildError::Invalid(format!("invalid git URL {}: {why}", redacted(text)));
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (url, query) = match is_scp(url) {
            true => (url, ""),
            false => url.split_once('?').unwrap_or((url, "")),
        };
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut place = Self {
            repository: url.to_owned(),
            reference: reference.to_owned(),
            subdirectory: subdirectory.to_owned(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "ref" => value.clone_into(&mut place.reference),
                "branch" => place.reference = format!("refs/heads/{value}"),
                "tag" => place.reference = format!("refs/tags/{value}"),
                "subdir" => value.clone_into(&mut place.subdirectory),
                _ => return Err(invalid(&format!("unexpected query {key:?}"))),
            }
        }
        // Each is a word of a command line of git's (CVE-2019-13139).
        let is_plain = |text: &str| {
            !text.starts_with('-') && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
        };
        if !is_plain(&place.repository) {
            return Err(invalid("its repository is none"));
        }
        let bad = ["..", "~", "^", ":", "?", "*", "[", "\\", "@{"];
        if !is_plain(&place.reference) || bad.iter().any(|bad| place.reference.contains(bad)) {
            return Err(invalid("its reference is none"));
        }
        // Each component is a directory of the tree and nothing else (CVE-2026-33748).
        let is_inside = place
            .subdirectory
            .trim_matches('/')
            .split('/')
            .all(|name| name != ".." && name != "." && !name.contains(['\\', '\0']));
        if !is_inside || place.subdirectory.starts_with('/') && place.subdirectory.len() > 4096 {
            return Err(invalid("its subdirectory leads out of it"));
        }
        place.subdirectory = place.subdirectory.trim_matches('/').to_owned();
        Ok(place)
    }

    /// The commit, if the reference is a whole one.
    pub(crate) fn commit(&self) -> Option<&str> {
        Some(self.reference.as_str()).filter(|text| is_commit(text))
    }
}

/// Whether a text is the whole name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A text without the passwords of the URLs in it: it goes into histories and onto screens.
pub fn redacted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out += before;
        let end = after.find(['/', '?', '#', ' ', '"', '\'']).unwrap_or(after.len());
        let (authority, after) = after.split_at(end);
        out += &match authority.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((name, _)) => format!("{name}:xxxxx@{host}"),
                None => format!("xxxxx@{host}"),
            },
            None => authority.to_owned(),
        };
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_paths() {
        let git = |text| match Place::of_context(text).unwrap() {
            Some(Place::Git(place)) => (place.repository, place.reference, place.subdirectory),
            other => panic!("{text}: {other:?}"),
        };
        let three = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        for (text, wanted) in [
            ("git://h/r", three("git://h/r", "", "")),
            ("https://h/r.git#v1:a/b", three("https://h/r.git", "v1", "a/b")),
            ("https://h/r.git?branch=x&subdir=/d/", three("https://h/r.git", "refs/heads/x", "d")),
            ("git@h:r.git#:d", three("git@h:r.git", "", "d")),
            ("github.com/a/b#m", three("https://github.com/a/b", "m", "")),
            ("ssh://u@h:22/r", three("ssh://u@h:22/r", "", "")),
        ] {
            assert_eq!(git(text), wanted);
        }
        assert_eq!(
            Place::of("https://h/r.tar").unwrap(),
            Some(Place::Http("https://h/r.tar".into()))
        );
        for text in ["a/b", "./git@x", "github.com/a/b", "user@host", "C:\\x"] {
            assert_eq!(Place::of(text).unwrap(), None, "{text}");
        }
    }

    /// Shown with the three checks of `GitPlace::parse` taken out, as is the property below.
    #[test]
    fn places_that_would_be_options_or_lead_out_are_refused() {
        for text in [
            "git://h/r#-x",
            "git://h/r#--upload-pack=x",
            "git://h/r#a..b",
            "git://h/r#a b",
            "git://h/r x",
            "git://h/r#m:../x",
            "git://h/r#m:a/../../x",
            "git://h/r#m:./x",
            "git://h/r#m:a\\..\\b",
            "git://h/r?upload-pack=x",
        ] {
            assert!(GitPlace::parse(text).is_err(), "{text}");
        }
    }

    /// Shown with `redacted` without effect.
    #[test]
    fn passwords_are_not_shown() {
        for (text, shown) in [
            ("ADD https://u:p@h/r.git /x", "ADD https://u:xxxxx@h/r.git /x"),
            ("https://token@h/r", "https://xxxxx@h/r"),
            ("https://h/@x http://a:b@c", "https://h/@x http://a:xxxxx@c"),
            ("git@h:r", "git@h:r"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_becomes_an_option_or_leaves_the_tree(text in "[a-z@:/.#?=&~^ -]{0,40}", tail in ".*") {
            for start in ["", "git://h/", "https://h/r.git", "git@h:r#", "ssh://h/r#m:"] {
                let text = format!("{start}{text}{tail}");
                let _ = redacted(&text);
                let Ok(Some(Place::Git(place))) = Place::of_context(&text) else { continue };
                proptest::prop_assert!(!place.repository.starts_with('-'));
                proptest::prop_assert!(!place.reference.starts_with('-'));
                proptest::prop_assert!(place.subdirectory.split('/').all(|name| name != ".."));
            }
        }
    }
}
