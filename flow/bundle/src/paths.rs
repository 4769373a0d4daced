//! Paths as text: cleaning without looking at any file system.

/// The shortest text for an absolute path: no `.`, no `..`, no doubled or trailing slashes. A
/// `..` at the root stays there. A relative path is taken from the root.
///
/// This only makes two spellings of one destination equal; what a path leads to is decided when
/// it is opened inside the root.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut out = String::with_capacity(path.len() + 1);
    for part in &parts {
        out.push('/');
        out.push_str(part);
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

/// How far below the root a clean path is; 0 for the root itself.
pub(crate) fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

/// Whether `path` is `top` or lies below it; both clean.
pub(crate) fn is_at_or_below(path: &str, top: &str) -> bool {
    match path.strip_prefix(top) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || top == "/",
        None => false,
    }
}

/// Whether a relative path stays where it starts, read as text: not absolute, not empty, no way
/// up that is not taken back before.
pub(crate) fn is_local(path: &str) -> bool {
    if path.is_empty() || path.starts_with('/') || path.contains('\0') {
        return false;
    }
    let mut depth = 0usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clean_paths() {
        let rows = [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b//c/", "/a/b/c"),
            ("/../a", "/a"),
            ("/a/../../b", "/b"),
            ("a", "/a"),
        ];
        for (path, expected) in rows {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn below() {
        assert!(is_at_or_below("/proc", "/proc"));
        assert!(is_at_or_below("/proc/self", "/proc"));
        assert!(!is_at_or_below("/process", "/proc"));
        assert!(is_at_or_below("/x", "/"));
    }

    #[test]
    fn local() {
        for good in ["a", "a/..", "a/../b", "./a"] {
            assert!(is_local(good), "{good}");
        }
        for bad in ["", "/a", "..", "a/../..", "../a", "a\0"] {
            assert!(!is_local(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn cleaning_is_idempotent_and_stays_below_the_root(path in "[a./]{0,24}") {
            let once = clean(&path);
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.split('/').any(|part| part == ".." || part == "."));
            prop_assert_eq!(clean(&once), once);
        }
    }
}
