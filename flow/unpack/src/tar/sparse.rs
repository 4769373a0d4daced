//! Maps of sparse files: where the data of an entry belongs.

use super::Region;
use super::header::number;

/// Offset and length of one region as GNU's old headers have it: twice twelve bytes.
const PAIR: usize = 24;

/// Adds the pairs of an old GNU sparse header, up to the first empty one.
///
/// `pairs` is a whole number of 24-byte pairs: four in the header, 21 in each extension block.
pub(super) fn old_gnu(
    map: &mut Vec<Region>,
    pairs: &[u8],
    most: usize,
) -> Result<(), &'static str> {
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
pub(super) fn check(map: &[Region], size: u64, data_bytes: u64) -> Result<(), &'static str> {
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
