//! Byte ranges: asked for, and answered.

/// What a `Range` field asks for. RFC 9110, section 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the second byte, both included; to the end if `None`.
    From(u64, Option<u64>),
    /// So many last bytes.
    Last(u64),
}

/// What a range selects of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    /// From `start`, `length` bytes.
    Part {
        /// The first byte.
        start: u64,
        /// How many.
        length: u64,
    },
    /// Nothing: 416.
    Nothing,
}

impl ByteRange {
    /// Parses `bytes=...` with one range; `None` for anything else, which is to be ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// What it selects of `size` bytes.
    pub fn of(self, size: u64) -> Selected {
        let (start, end) = match self {
            Self::Last(0) => return Selected::Nothing,
            Self::Last(count) => (size.saturating_sub(count), size),
            Self::From(first, last) => {
                (first, last.map_or(size, |last| last.saturating_add(1).min(size)))
            }
        };
        match start < end {
            true => Selected::Part { start, length: end - start },
            false => Selected::Nothing,
        }
    }
}

/// `bytes FIRST-LAST/TOTAL`: which part a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub first: u64,
    /// The last one, included.
    pub last: u64,
    /// Of how many; `None` if the sender does not know.
    pub total: Option<u64>,
}

/// Parses the `Content-Range` of a response; `None` if it is of another form.
pub fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    let fits = first <= last && total.is_none_or(|total| last < total);
    fits.then_some(ContentRange { first, last, total })
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_select() {
        let part = |start, length| Some(Selected::Part { start, length });
        for (text, want) in [
            ("bytes=0-", part(0, 10)),
            ("bytes=2-4", part(2, 3)),
            ("bytes=2-400", part(2, 8)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-30", part(0, 10)),
            ("bytes=10-", Some(Selected::Nothing)),
            ("bytes=-0", Some(Selected::Nothing)),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
            ("bytes=0-18446744073709551615", part(0, 10)),
        ] {
            assert_eq!(ByteRange::parse(text).map(|range| range.of(10)), want, "{text}");
        }
    }

    #[test]
    fn content_ranges_must_make_sense() {
        let want = ContentRange { first: 5, last: 9, total: Some(10) };
        assert_eq!(content_range("bytes 5-9/10"), Some(want));
        assert_eq!(content_range("bytes 5-9/*").map(|range| range.total), Some(None));
        for text in ["bytes 5-10/10", "bytes 9-5/10", "bytes */10", "5-9/10", "bytes 5-9"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
