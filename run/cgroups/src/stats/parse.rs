//! The forms in which the kernel writes counts.

use std::collections::BTreeMap;

use super::{BlkioEntry, Pressure, PressureLine};

/// `name value` a line.
pub(super) fn flat(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

/// One value of such a text.
pub(crate) fn value_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A limit: `max`, or a number. Version 1 writes the largest number of whole pages for none.
pub(crate) fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < i64::MAX as u64 - 0x1_0000)
}

/// `8:0 Read 4096`, `8:0 4096`; the sum at the end has no device and is left out.
pub(super) fn blkio(text: &str) -> Vec<BlkioEntry> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (major, minor) = fields.next()?.split_once(':')?;
            let (op, value) = match (fields.next()?, fields.next()) {
                (op, Some(value)) => (op, value),
                (value, None) => ("", value),
            };
            Some(BlkioEntry {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                op: op.to_owned(),
                value: value.parse().ok()?,
            })
        })
        .collect()
}

/// `8:0 rbytes=1 wbytes=2 ...` a line.
pub(super) fn nested(text: &str) -> impl Iterator<Item = (u64, u64, Vec<(&str, u64)>)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (major, minor) = fields.next()?.split_once(':')?;
        let values = pairs(fields).filter_map(|(name, value)| Some((name, value.parse().ok()?)));
        Some((major.parse().ok()?, minor.parse().ok()?, values.collect()))
    })
}

/// `name=value` each.
pub(super) fn pairs<'a>(
    fields: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    fields.filter_map(|field| field.split_once('='))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`.
/// kernel documentation, accounting/psi.rst.
pub(super) fn pressure(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let line = match fields.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        for (name, value) in pairs(fields) {
            let share = || value.parse().unwrap_or_default();
            let PressureLine { avg10, avg60, avg300, total_us } = &mut *line;
            match name {
                "avg10" => *avg10 = share(),
                "avg60" => *avg60 = share(),
                "avg300" => *avg300 = share(),
                "total" => *total_us = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
    pressure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_none_in_both_versions() {
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("9223372036854710272\n"), None, "with pages of 64 KiB");
        assert_eq!(limit("4096\n"), Some(4096));
    }

    #[test]
    fn counts_of_devices_are_read_and_sums_left_out() {
        let read = blkio("8:0 Read 12\n8:0 Total 20\n8:16 7\nTotal 20\n");
        let entries: Vec<_> =
            read.iter().map(|one| (one.major, one.minor, one.op.as_str(), one.value)).collect();
        assert_eq!(entries, [(8, 0, "Read", 12), (8, 0, "Total", 20), (8, 16, "", 7)]);
        let read: Vec<_> = nested("8:0 rbytes=5 wbytes=6 x\n\n").collect();
        assert_eq!(read, [(8, 0, vec![("rbytes", 5), ("wbytes", 6)])]);
    }

    #[test]
    fn pressure_is_read() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\nfull avg10=0.10 total=5\n";
        let read = pressure(text);
        assert_eq!((read.some.avg10, read.some.avg60, read.some.total_us), (1.5, 0.25, 77));
        assert_eq!((read.full.avg10, read.full.total_us), (0.1, 5));
    }

    #[test]
    fn flat_files_are_maps() {
        let text = "low 0\noom_kill 3\noom_group_kill 1\nbad\n";
        assert_eq!(flat(text).len(), 3);
        assert_eq!(value_of(text, "oom_kill"), Some(3));
        assert_eq!(value_of(text, "oom"), None);
    }
}
