//! What an archive writes as a path, to what can be made below a root.

/// A path below the root: components joined by `/`, none empty, none `.` or `..`.
///
/// Empty for the root itself. Still only a name: earlier entries may have put links on the way,
/// which the kernel resolves inside the root when the parent directory is opened.
#[derive(Debug, Default)]
pub(super) struct RootfsPath(Vec<u8>);

/// The path leaves the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outside;

impl RootfsPath {
    /// Takes what an entry is called, into the same buffer as the name before.
    ///
    /// Leading `/` and `./` go, as with every unpacker; `a/../b` is `b`, as with Docker's.
    pub(super) fn set(&mut self, written: &[u8]) -> Result<(), Outside> {
        let path = &mut self.0;
        path.clear();
        for component in written.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." if path.is_empty() => return Err(Outside),
                b".." => path.truncate(path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)),
                component => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(component);
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Path of the parent directory, and the name in it.
    pub(super) fn split(&self) -> (&[u8], &[u8]) {
        split(&self.0)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Splits off the last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// What a name says in a layer. image-spec 1.1.1, layer.md, "Whiteouts".
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// Itself.
    Plain,
    /// Lower layers have no such sibling.
    Whiteout(&'a [u8]),
    /// Lower layers have nothing in this directory.
    Opaque,
    /// AUFS's own bookkeeping, which old layers hold and nobody reads.
    Aufs,
    /// A reserved name that means nothing.
    Bad,
}

const WHITEOUT: &[u8] = b".wh.";
const AUFS: &[u8] = b".wh..wh.";

impl<'a> Meaning<'a> {
    /// The meaning of an entry by its parent's path and its name.
    pub(super) fn of(parent: &[u8], name: &'a [u8]) -> Self {
        let reserved =
            parent.split(|&byte| byte == b'/').find(|component| component.starts_with(WHITEOUT));
        match reserved {
            Some(component) if component.starts_with(AUFS) => return Self::Aufs,
            Some(_) => return Self::Bad,
            None => {}
        }
        match name.strip_prefix(WHITEOUT) {
            None => Self::Plain,
            Some(b".wh..opq") => Self::Opaque,
            Some(b"" | b"." | b"..") => Self::Bad,
            Some(rest) if rest.starts_with(WHITEOUT) => Self::Aufs,
            Some(hidden) => Self::Whiteout(hidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root_or_are_refused() {
        for (written, want) in [
            ("a/b", Some("a/b")),
            ("/a//b/", Some("a/b")),
            ("./a/./b/.", Some("a/b")),
            (".", Some("")),
            ("/", Some("")),
            ("./", Some("")),
            ("a/..", Some("")),
            ("a/../b", Some("b")),
            ("a/b/../../c", Some("c")),
            ("...", Some("...")),
            ("..a/..", Some("")),
            ("..", None),
            ("../a", None),
            ("/..", None),
            ("a/../../b", None),
            ("./../etc/passwd", None),
        ] {
            let mut path = RootfsPath::default();
            path.set(b"left/over/from/before").unwrap();
            let got = path.set(written.as_bytes()).map(|()| path.as_bytes());
            assert_eq!(got, want.map(str::as_bytes).ok_or(Outside), "{written}");
        }
    }

    #[test]
    fn whiteouts_name_one_sibling() {
        for (parent, name, want) in [
            ("", "file", Meaning::Plain),
            ("a", ".wh.file", Meaning::Whiteout(b"file")),
            ("a", ".wh..hidden", Meaning::Whiteout(b".hidden")),
            ("a", ".wh..wh..opq", Meaning::Opaque),
            ("a", ".wh..wh.plnk", Meaning::Aufs),
            ("a", ".wh..wh.", Meaning::Aufs),
            ("a", ".wh.", Meaning::Bad),
            ("a", ".wh..", Meaning::Bad),
            ("a", ".wh...", Meaning::Bad),
            ("a", ".wh....", Meaning::Whiteout(b"...")),
            ("a/.wh.b", "c", Meaning::Bad),
            (".wh..wh.plnk", "12.34", Meaning::Aufs),
            ("a", "b.wh.c", Meaning::Plain),
        ] {
            assert_eq!(Meaning::of(parent.as_bytes(), name.as_bytes()), want, "{parent}/{name}");
        }
    }
}
