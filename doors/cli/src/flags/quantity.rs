//! Flags that hold quantities: sizes, processors, limits and rates.

use std::collections::BTreeMap;

use dockerapi::{ThrottleDevice, Ulimit, WeightDevice};

use super::Value;
use crate::text::quote;

/// Bytes, with an optional unit of 1024s; 0 if not given.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Bytes(pub(crate) i64);

impl Value for Bytes {
    const KIND: &'static str = "bytes";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = parse_bytes(text)?;
        Ok(())
    }
}

/// As [`Bytes`], and -1 for no limit.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SwapBytes(pub(crate) i64);

impl Value for SwapBytes {
    const KIND: &'static str = "bytes";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = if text == "-1" { -1 } else { parse_bytes(text)? };
        Ok(())
    }
}

/// A size in bytes: a decimal number, then nothing, `b`, or one of `k m g t p` with an optional
/// `b` or `ib`, in either case and perhaps behind a space. Units are powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, String> {
    let (number, suffix) = match text.split_once(' ') {
        Some(parts) => parts,
        None => match text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.') {
            Some(last) => text.split_at(last + 1),
            None => return Err(format!("invalid size: '{text}'")),
        },
    };
    let size: f64 = number
        .parse()
        .map_err(|_| format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(number)))?;
    if size < 0.0 {
        return Err(format!("invalid size: '{text}'"));
    }
    let lower = suffix.to_ascii_lowercase();
    let power = match lower.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(format!("invalid suffix: '{lower}'")),
    };
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is meant")]
    let bytes = (size * 1024_f64.powi(power)) as i64;
    Ok(bytes)
}

/// Processors as a decimal number, kept in billionths; 0 if not given.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CpuDecimal(pub(crate) i64);

impl Value for CpuDecimal {
    const KIND: &'static str = "decimal";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = parse_cpus(text)?;
        Ok(())
    }
}

/// Exact: `0.1` is 100,000,000 billionths, and more than nine places are an error.
fn parse_cpus(text: &str) -> Result<i64, String> {
    let fail = || format!("failed to parse {text} as a rational number");
    if let Some((dividend, divisor)) = text.split_once('/') {
        let dividend: i128 = dividend.parse().map_err(|_| fail())?;
        let divisor: i128 = divisor.parse().map_err(|_| fail())?;
        let nanos = dividend.checked_mul(1_000_000_000).ok_or_else(fail)?;
        if divisor == 0 {
            return Err(fail());
        } else if nanos % divisor != 0 {
            return Err("value is too precise".to_owned());
        }
        return i64::try_from(nanos / divisor).map_err(|_| fail());
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| fail())?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = [whole, fraction].concat();
    if all.is_empty() || all.len() > 30 || !all.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(fail());
    }
    let mut nanos: i128 = all.parse().map_err(|_| fail())?;
    let places = 9 + i64::from(exponent) - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    for _ in 0..places.unsigned_abs().min(40) {
        if places > 0 {
            nanos = nanos.checked_mul(10).ok_or_else(fail)?;
        } else if nanos % 10 == 0 {
            nanos /= 10;
        } else {
            return Err("value is too precise".to_owned());
        }
    }
    i64::try_from(if negative { -nanos } else { nanos }).map_err(|_| fail())
}

/// Resource limits by name, `name=soft[:hard]`; the last of a name counts.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ulimits(BTreeMap<String, Ulimit>);

impl Ulimits {
    /// In the order of their names.
    pub(crate) fn into_list(self) -> Vec<Ulimit> {
        self.0.into_values().collect()
    }
}

const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Value for Ulimits {
    const KIND: &'static str = "ulimit";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let Some((name, limits)) = text.split_once('=') else {
            return Err(format!("invalid ulimit argument: {text}"));
        };
        if !ULIMITS.contains(&name) {
            return Err(format!("invalid ulimit type: {name}"));
        }
        let number = |text: &str| {
            text.parse::<i64>()
                .map_err(|_| format!("strconv.ParseInt: parsing {}: invalid syntax", quote(text)))
        };
        let (soft, hard) = match limits.split_once(':') {
            Some((soft, hard)) => {
                let hard = number(hard)?;
                (number(soft)?, hard)
            }
            None => (number(limits)?, number(limits)?),
        };
        let order = "ulimit soft limit must be less than or equal to hard limit:";
        if hard != -1 && soft == -1 {
            return Err(format!("{order} soft: -1 (unlimited), hard: {hard}"));
        } else if hard != -1 && soft > hard {
            return Err(format!("{order} {soft} > {hard}"));
        }
        self.0.insert(name.to_owned(), Ulimit { name: name.to_owned(), hard, soft });
        Ok(())
    }
}

/// Splits `/dev/x:value`.
fn device_and_value(text: &str) -> Result<(&str, &str), String> {
    match text.split_once(':') {
        Some((device, value)) if device.starts_with("/dev/") => Ok((device, value)),
        Some((device, _)) if !device.is_empty() => {
            Err(format!("bad format for device path: {text}"))
        }
        _ => Err(format!("bad format: {text}")),
    }
}

/// Bytes a second by device: `/dev/x:1mb`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Throttles(pub(crate) Vec<ThrottleDevice>);

impl Value for Throttles {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let (device, rate) = device_and_value(text)?;
        let rate = parse_bytes(rate).ok().and_then(|rate| u64::try_from(rate).ok());
        let rate = rate.ok_or_else(|| {
            format!(
                "invalid rate for device: {text}. The correct format is \
                 <device-path>:<number>[<unit>]. Number must be a positive integer. \
                 Unit is optional and can be kb, mb, or gb"
            )
        })?;
        self.0.push(ThrottleDevice { path: device.to_owned(), rate });
        Ok(())
    }
}

/// Operations a second by device: `/dev/x:1000`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rates(pub(crate) Vec<ThrottleDevice>);

impl Value for Rates {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let (device, rate) = device_and_value(text)?;
        let rate = rate.parse().map_err(|_| {
            format!(
                "invalid rate for device: {text}. The correct format is \
                 <device-path>:<number>. Number must be a positive integer"
            )
        })?;
        self.0.push(ThrottleDevice { path: device.to_owned(), rate });
        Ok(())
    }
}

/// Weights by device: `/dev/x:500`, from 10 to 1000, or 0.
#[derive(Debug, Default, Clone)]
pub(crate) struct Weights(pub(crate) Vec<WeightDevice>);

impl Value for Weights {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let (device, weight) = device_and_value(text)?;
        let weight = weight.parse().ok().filter(|weight| matches!(weight, 0 | 10..=1000));
        let weight = weight.ok_or_else(|| format!("invalid weight for device: {text}"))?;
        self.0.push(WeightDevice { path: device.to_owned(), weight });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("0", Ok(0)),
            ("32", Ok(32)),
            ("32b", Ok(32)),
            ("4k", Ok(4096)),
            ("4K", Ok(4096)),
            ("4kb", Ok(4096)),
            ("4KiB", Ok(4096)),
            ("1.5m", Ok(1_572_864)),
            ("2 g", Ok(2_147_483_648)),
            ("1T", Ok(1_099_511_627_776)),
            ("x", Err("invalid size: 'x'")),
            ("", Err("invalid size: ''")),
            ("-1", Err("invalid size: '-1'")),
            ("4x", Err("invalid suffix: 'x'")),
            ("4bb", Err("invalid suffix: 'bb'")),
            ("4kib1", Err("strconv.ParseFloat: parsing \"4kib1\": invalid syntax")),
        ] {
            assert_eq!(parse_bytes(text), want.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn processors_are_exact() {
        for (text, want) in [
            ("1", Ok(1_000_000_000)),
            ("0.1", Ok(100_000_000)),
            ("1.5", Ok(1_500_000_000)),
            (".5", Ok(500_000_000)),
            ("1e-3", Ok(1_000_000)),
            ("1/2", Ok(500_000_000)),
            ("0.0000000001", Err("value is too precise")),
            ("1/3", Err("value is too precise")),
            ("x", Err("failed to parse x as a rational number")),
            ("", Err("failed to parse  as a rational number")),
        ] {
            assert_eq!(parse_cpus(text), want.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn limits() {
        let mut limits = Ulimits::default();
        for text in ["nofile=1024:2048", "core=0", "nofile=10", "stack=-1", "data=1:-1"] {
            limits.set(text).unwrap();
        }
        let list: Vec<_> =
            limits.into_list().iter().map(|l| (l.name.clone(), l.soft, l.hard)).collect();
        assert_eq!(
            list,
            [
                ("core".into(), 0, 0),
                ("data".into(), 1, -1),
                ("nofile".into(), 10, 10),
                ("stack".into(), -1, -1),
            ]
        );
        for (text, want) in [
            ("x", "invalid ulimit argument: x"),
            ("foo=1", "invalid ulimit type: foo"),
            ("core=a", "strconv.ParseInt: parsing \"a\": invalid syntax"),
            ("core=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
        ] {
            assert_eq!(Ulimits::default().set(text).unwrap_err(), want);
        }
    }

    #[test]
    fn devices_with_values() {
        let mut throttles = Throttles::default();
        throttles.set("/dev/sda:1mb").unwrap();
        assert_eq!(throttles.0[0].rate, 1_048_576);
        assert!(throttles.set("/dev/sda:x").unwrap_err().starts_with("invalid rate for device"));
        assert_eq!(throttles.set("sda").unwrap_err(), "bad format: sda");
        assert_eq!(throttles.set("sda:1").unwrap_err(), "bad format for device path: sda:1");
        let mut weights = Weights::default();
        assert!(weights.set("/dev/sda:10").is_ok());
        assert_eq!(weights.set("/dev/sda:5").unwrap_err(), "invalid weight for device: /dev/sda:5");
        let mut rates = Rates::default();
        assert!(rates.set("/dev/sda:1000").is_ok());
        assert!(rates.set("/dev/sda:1k").is_err());
    }
}
