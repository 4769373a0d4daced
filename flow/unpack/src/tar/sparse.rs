//! Maps of sparse files: where the data of an entry belongs.

use std::io::Read;

use super::header::{Header, number};
use super::pax::{Pax, decimal};
use super::reader::{NUMBER, refused};
use super::{BLOCK, Entry, Reader, Region, TarError};

/// Offset and length of one region as GNU's old headers have it: twice twelve bytes.
const PAIR: usize = 24;

/// Adds the pairs of an old GNU sparse header, up to the first empty one.
///
/// `pairs` is a whole number of 24-byte pairs: four in the header, 21 in each extension block.
fn old_gnu(map: &mut Vec<Region>, pairs: &[u8], most: usize) -> Result<(), &'static str> {
    for pair in pairs.chunks_exact(PAIR) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        let part = |field| number(field).ok().and_then(|value| u64::try_from(value).ok());
        let (Some(offset), Some(length)) = (part(&pair[..12]), part(&pair[12..])) else {
            return Err("a sparse map holds no numbers");
        };
        if map.len() >= most {
            return Err("too many sparse regions");
        }
        map.push(Region { offset, length });
    }
    Ok(())
}

/// Whether a map is one: ascending, disjoint, within the file, and as long as the data.
fn check(map: &[Region], size: u64, data_bytes: u64) -> Result<(), &'static str> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for region in map {
        if region.offset < end {
            return Err("sparse regions overlap");
        }
        end = region.offset.checked_add(region.length).ok_or("a sparse region is too long")?;
        // Cannot overflow: the regions are disjoint.
        sum += region.length;
    }
    if end > size {
        return Err("a sparse region ends behind its file");
    }
    if sum != data_bytes {
        return Err("a sparse map and its data differ in length");
    }
    Ok(())
}

/// Why a sparse map could not be read: the archive, or what it says.
enum MapError {
    Archive(TarError),
    Refused(&'static str),
}

impl MapError {
    fn named(self, path: &[u8]) -> TarError {
        match self {
            Self::Archive(error) => error,
            Self::Refused(what) => refused(path, what),
        }
    }
}

impl From<TarError> for MapError {
    fn from(error: TarError) -> Self {
        Self::Archive(error)
    }
}

impl From<&'static str> for MapError {
    fn from(what: &'static str) -> Self {
        Self::Refused(what)
    }
}

impl<R: Read> Reader<R> {
    /// Finds out whether a file is sparse, and where its data belongs.
    pub(super) fn holes(
        &mut self,
        header: &Header<'_>,
        flag: u8,
        pax: &mut Pax,
        entry: &mut Entry,
    ) -> Result<(), TarError> {
        let refuse = |what| refused(&entry.path, what);
        let (map, size) = if flag == b'S' {
            self.old_gnu_map(header).map_err(|why| why.named(&entry.path))?
        } else if pax.sparse.is_some() {
            let size = pax.sparse.size.ok_or_else(|| refuse("a sparse file has no size"))?;
            let map = match (pax.sparse.major, pax.sparse.minor) {
                (None | Some(0), _) => std::mem::take(&mut pax.sparse.map),
                (Some(1), Some(0)) => self.leading_map().map_err(|why| why.named(&entry.path))?,
                _ => return Err(refuse("its sparse format is unknown")),
            };
            let count = u64::try_from(map.len()).unwrap_or(u64::MAX);
            if pax.sparse.count.is_some_and(|stated| stated != count) {
                return Err(refuse("a sparse map has another length than stated"));
            }
            (map, size)
        } else {
            return Ok(());
        };
        check(&map, size, self.data_left).map_err(refuse)?;
        (entry.size, entry.sparse) = (size, Some(map));
        Ok(())
    }

    /// The map of an old GNU sparse file: in its header, and in blocks between that and the data.
    fn old_gnu_map(&mut self, header: &Header<'_>) -> Result<(Vec<Region>, u64), MapError> {
        let most = self.limits.sparse_regions;
        let mut map = Vec::new();
        old_gnu(&mut map, &header.block()[386..482], most)?;
        let mut more = header.block()[482] != 0;
        while more {
            let offset = self.source.offset();
            let block = self.source.block()?.ok_or(TarError::Truncated { offset })?;
            old_gnu(&mut map, &block[..504], most)?;
            more = block[504] != 0;
        }
        let size = number(&header.block()[483..495]);
        let size = size.ok().and_then(|size| u64::try_from(size).ok()).ok_or(NUMBER)?;
        Ok((map, size))
    }

    /// The map of GNU's sparse format 1.0: decimal lines before the data, padded to a block.
    fn leading_map(&mut self) -> Result<Vec<Region>, MapError> {
        let before = self.data_left;
        let count = self.map_number()?;
        let most = self.limits.sparse_regions;
        if usize::try_from(count).map_or(true, |count| count > most) {
            return Err(MapError::Refused("too many sparse regions"));
        }
        let mut map = Vec::new();
        for _ in 0..count {
            let (offset, length) = (self.map_number()?, self.map_number()?);
            map.push(Region { offset, length });
        }
        let padding = (before - self.data_left).wrapping_neg() % BLOCK as u64;
        if padding > self.data_left {
            return Err(MapError::Refused("a sparse map is longer than its file"));
        }
        self.source.skip(padding)?;
        self.data_left -= padding;
        Ok(map)
    }

    fn map_number(&mut self) -> Result<u64, MapError> {
        let mut digits = [0; 20];
        for index in 0..digits.len() {
            let byte = *self.data()?.first().ok_or("a sparse map is longer than its file")?;
            self.consume(1);
            if byte == b'\n' {
                return decimal(&digits[..index]).ok_or(MapError::Refused(NUMBER));
            }
            digits[index] = byte;
        }
        Err(MapError::Refused(NUMBER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_must_fit_their_data() {
        let map = |pairs: &[(u64, u64)]| -> Vec<Region> {
            pairs.iter().map(|&(offset, length)| Region { offset, length }).collect()
        };
        let ok = map(&[(0, 10), (100, 5), (200, 0)]);
        assert_eq!(check(&ok, 200, 15), Ok(()));
        assert!(check(&ok, 199, 15).is_err());
        assert!(check(&ok, 200, 16).is_err());
        assert!(check(&map(&[(0, 10), (9, 1)]), 100, 11).is_err());
        assert!(check(&map(&[(10, 1), (0, 1)]), 100, 2).is_err());
        assert!(check(&map(&[(u64::MAX, 2)]), u64::MAX, 2).is_err());
        assert_eq!(check(&[], 5, 0), Ok(()));
    }
}
