//! Archives made of raw 512-byte records, so that they can be wrong in every way.

/// An archive being forged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forge {
    bytes: Vec<u8>,
    mode: Option<u32>,
    owner: (u32, u32),
    mtime: u64,
}

/// One header, before its checksum is computed.
pub(crate) struct Header([u8; 512]);

impl Header {
    /// A ustar header with the usual fields.
    pub(crate) fn new(flag: u8, name: &[u8], size: u64) -> Self {
        let mut header = Self([0; 512]);
        header.put(257, b"ustar\x0000").put(0, &name[..name.len().min(100)]);
        header.octal(100, 8, 0o644).octal(108, 8, 0).octal(116, 8, 0);
        header.octal(124, 12, size).octal(136, 12, 1_700_000_000);
        header.0[156] = flag;
        header
    }

    /// Bytes at an offset.
    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// A number in a field of `width` bytes.
    pub(crate) fn octal(&mut self, at: usize, width: usize, value: u64) -> &mut Self {
        let digits = width - 1;
        self.put(at, format!("{value:0digits$o}\0").as_bytes())
    }

    /// The block with its checksum.
    pub(crate) fn block(&self) -> [u8; 512] {
        let mut block = self.0;
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

impl Forge {
    pub(crate) fn new() -> Self {
        Self { mtime: 1_700_000_000, ..Self::default() }
    }

    /// The mode of the entries that follow.
    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The owner of the entries that follow.
    pub(crate) fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// The time of the entries that follow.
    pub(crate) fn mtime(mut self, seconds: u64) -> Self {
        self.mtime = seconds;
        self
    }

    /// Any block or bytes.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Any data, padded.
    pub(crate) fn data(self, data: &[u8]) -> Self {
        let padding = data.len().wrapping_neg() % 512;
        self.raw(data).raw(&[0; 512][..padding])
    }

    /// An entry of any type.
    pub(crate) fn entry(self, flag: u8, name: &str, link: &str, data: &[u8]) -> Self {
        self.device(flag, name, link, (0, 0), data)
    }

    fn device(self, flag: u8, name: &str, link: &str, device: (u64, u64), data: &[u8]) -> Self {
        let long = name.len() > 100 || link.len() > 100;
        let forge = match long {
            true => self.pax(&[("path", name.as_bytes()), ("linkpath", link.as_bytes())]),
            false => self,
        };
        let mut header = Header::new(flag, name.as_bytes(), data.len() as u64);
        let usual = if flag == b'5' { 0o755 } else { 0o644 };
        header.put(157, &link.as_bytes()[..link.len().min(100)]);
        header.octal(100, 8, u64::from(forge.mode.unwrap_or(usual)));
        header.octal(108, 8, u64::from(forge.owner.0)).octal(116, 8, u64::from(forge.owner.1));
        header.octal(136, 12, forge.mtime).octal(329, 8, device.0).octal(337, 8, device.1);
        forge.raw(&header.block()).data(data)
    }

    pub(crate) fn file(self, name: &str, data: &str) -> Self {
        self.entry(b'0', name, "", data.as_bytes())
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, "", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, b"")
    }

    pub(crate) fn fifo(self, name: &str) -> Self {
        self.entry(b'6', name, "", b"")
    }

    pub(crate) fn char_device(self, name: &str, major: u64, minor: u64) -> Self {
        self.device(b'3', name, "", (major, minor), b"")
    }

    pub(crate) fn block_device(self, name: &str, major: u64, minor: u64) -> Self {
        self.device(b'4', name, "", (major, minor), b"")
    }

    /// A local extended header for the next entry; empty values are left out.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.extended(b'x', records)
    }

    /// An extended header, local (`x`) or global (`g`).
    pub(crate) fn extended(self, flag: u8, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records.iter().filter(|(_, value)| !value.is_empty()) {
            let rest = key.len() + value.len() + 3;
            let length = (1..9)
                .map(|digits| rest + digits)
                .find(|length| length.to_string().len() + rest == *length);
            data.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.raw(&Header::new(flag, b"PaxHeaders/x", data.len() as u64).block()).data(&data)
    }

    /// A GNU long name (`L`) or long link (`K`) for the next entry.
    pub(crate) fn gnu_long(self, flag: u8, name: &str) -> Self {
        let data = [name.as_bytes(), b"\0"].concat();
        self.raw(&Header::new(flag, b"././@LongLink", data.len() as u64).block()).data(&data)
    }

    /// The archive with its end.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.raw(&[0; 1024]).bytes
    }

    /// The archive as it is.
    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}
