//! A small tar writer: ustar headers, with a PAX header where ustar does not reach.

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl Kind {
    fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// One entry; what is not said is 0 or empty.
#[derive(Debug, Clone)]
pub struct Entry<'e> {
    pub path: &'e str,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    pub link: &'e str,
    pub device: (u32, u32),
    pub content: &'e [u8],
    /// PAX records besides: `SCHILY.xattr.user.x`, ...
    pub extra: Vec<(&'e str, &'e [u8])>,
}

impl<'e> Entry<'e> {
    /// An entry of root's, mode 0755 for a directory and 0644 for others.
    pub fn new(path: &'e str, kind: Kind) -> Self {
        let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
        Self {
            path,
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            link: "",
            device: (0, 0),
            content: &[],
            extra: Vec::new(),
        }
    }
}

/// Collects entries.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file of root's.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> &mut Self {
        self.entry(&Entry { mode, content, ..Entry::new(path, Kind::File) })
    }

    /// A directory of root's.
    pub fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.entry(&Entry { mode, ..Entry::new(path, Kind::Directory) })
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(&Entry { mode: 0o777, link: target, ..Entry::new(path, Kind::Symlink) })
    }

    /// Any entry.
    pub fn entry(&mut self, entry: &Entry<'_>) -> &mut Self {
        let mut records = Vec::new();
        if entry.path.len() > 100 {
            record(&mut records, "path", entry.path.as_bytes());
        }
        if entry.link.len() > 100 {
            record(&mut records, "linkpath", entry.link.as_bytes());
        }
        for (key, value) in &entry.extra {
            record(&mut records, key, value);
        }
        if !records.is_empty() {
            let pax = Entry::new("pax", Kind::File);
            self.header(&Entry { content: &records, ..pax }, b'x');
            self.data(&records);
        }
        self.header(entry, entry.kind.flag());
        self.data(entry.content);
        self
    }

    /// The archive, with the two empty blocks that end it.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    fn header(&mut self, entry: &Entry<'_>, flag: u8) {
        let mut block = [0_u8; 512];
        text(&mut block[..100], entry.path);
        octal(&mut block[100..108], entry.mode.into());
        octal(&mut block[108..116], entry.uid);
        octal(&mut block[116..124], entry.gid);
        octal(&mut block[124..136], entry.content.len() as u64);
        octal(&mut block[136..148], entry.mtime);
        block[148..156].fill(b' ');
        block[156] = flag;
        text(&mut block[157..257], entry.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], entry.device.0.into());
        octal(&mut block[337..345], entry.device.1.into());
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block[148..155], sum);
        self.bytes.extend_from_slice(&block);
    }

    fn data(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }
}

fn text(field: &mut [u8], value: &str) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value.as_bytes()[..length]);
}

/// Octal digits and a NUL.
fn octal(field: &mut [u8], value: u64) {
    let digits = format!("{value:0width$o}", width = field.len() - 1);
    text(field, &digits);
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_what_is_written() {
        let long = "d/".to_owned() + &"n".repeat(150);
        let mut writer = Writer::new();
        writer.directory("d/", 0o755).file("d/f", 0o600, b"content").symlink("l", "d/f");
        writer.file(&long, 0o644, b"x");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tar"), writer.finish()).unwrap();
        let output = std::process::Command::new("tar")
            .args(["-tvf", "a.tar"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let listing = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(listing.contains("-rw-------") && listing.contains("l -> d/f"), "{listing}");
        assert!(listing.contains(&long), "{listing}");
    }
}
