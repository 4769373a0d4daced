//! Sizes and durations as Go's libraries take them.

use std::time::Duration;

/// Bytes: a number, perhaps with a fraction, and a unit of `b k m g t p` (powers of 1024, in any
/// case, also `kb` and `kib`); `-1` stands for no limit.
pub(crate) fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = lower.split_at(end.unwrap_or(lower.len()));
    let unit = unit.trim_start();
    let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" if !unit.starts_with("ib") => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let number: f64 =
        number.parse().ok().filter(|_| number.starts_with(|d: char| d.is_ascii_digit()))?;
    let bytes = number * f64::from(2_u32).powi(shift);
    (bytes <= i64::MAX as f64).then_some(bytes as i64)
}

/// A duration such as `5s`, `100ms` or `1m30s`; more than zero.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[end..];
    }
    (sum > Duration::ZERO).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, want) in [
            ("-1", Some(-1)),
            ("0", Some(0)),
            ("67108864", Some(64 << 20)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("1.5k", Some(1536)),
            ("12b", Some(12)),
            ("", None),
            ("m", None),
            ("-2", None),
            ("12x", None),
            ("12ib", None),
            ("9999999p", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, want) in [
            ("5s", Some(5_000)),
            ("100ms", Some(100)),
            ("1m30s", Some(90_000)),
            ("0.5s", Some(500)),
            ("0s", None),
            ("5", None),
            ("-1s", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(duration(text), want.map(Duration::from_millis), "{text}");
        }
    }
}
