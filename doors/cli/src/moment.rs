//! Points in time as `--since` and `--until` take them.

use oci::Timestamp;

use crate::text::quote;

/// Parses how long ago (`1h30m`), a time (`2026-11-21T11:47:44Z`; without a zone it is the
/// user's, and seconds, minutes, hours may be missing), or seconds since 1970 with a fraction.
/// The error is for the user.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(nanos) = duration(text).filter(|_| text != "0") {
        return Ok(shifted(now, -nanos));
    }
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Some(time) = civil(text) {
        return Ok(time);
    }
    let fail = || format!("failed to parse value as time or duration: {}", quote(text));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| fail())?;
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(fail());
    }
    let nanos = format!("{fraction:0<9}").parse().map_err(|_| fail())?;
    Ok(Timestamp::from_unix(seconds, nanos))
}

fn shifted(time: Timestamp, nanos: i128) -> Timestamp {
    const SECOND: i128 = 1_000_000_000;
    let all = i128::from(time.unix_seconds()) * SECOND + i128::from(time.subsec_nanos()) + nanos;
    let seconds = i64::try_from(all.div_euclid(SECOND)).unwrap_or(i64::MIN);
    Timestamp::from_unix(seconds, u32::try_from(all.rem_euclid(SECOND)).unwrap_or(0))
}

/// Go's durations, in nanoseconds: `1h2m3.5s`, `-10ms`.
fn duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i128;
    let mut any = false;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 15 || whole.len() > 15 {
            return None;
        }
        let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        total = total.checked_add(digits(whole)? * unit + digits(fraction)? * unit / scale)?;
        any = true;
        rest = tail;
    }
    any.then_some(sign * total)
}

/// Times that are shorter than RFC 3339, or without a zone.
fn civil(text: &str) -> Option<Timestamp> {
    let zoned = match text.split_once('T') {
        Some((_, time)) => time.contains(['Z', 'z', '+', '-']),
        None => text.contains(['Z', 'z', '+']) || text.matches('-').count() == 3,
    };
    let formats: &[&str] = match zoned {
        true => &["%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z", "%Y-%m-%dT%H%:z", "%Y-%m-%d%:z"],
        false => &["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d"],
    };
    // `Z` is an offset like any other.
    let text = text.replace(['Z', 'z'], "+00:00");
    formats.iter().find_map(|format| {
        let broken = jiff::fmt::strtime::parse(format, &text).ok()?;
        let date = broken.to_date().ok()?;
        let time = jiff::civil::time(
            broken.hour().unwrap_or(0),
            broken.minute().unwrap_or(0),
            broken.second().unwrap_or(0),
            broken.subsec_nanosecond().unwrap_or(0),
        );
        let zone = match broken.offset() {
            Some(offset) => offset.to_time_zone(),
            None => jiff::tz::TimeZone::system(),
        };
        let instant = date.to_datetime(time).to_zoned(zone).ok()?.timestamp();
        let nanos = u32::try_from(instant.subsec_nanosecond()).unwrap_or(0);
        Some(Timestamp::from_unix(instant.as_second(), nanos))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_count_back_from_now() {
        let now = Timestamp::from_unix(1_000_000, 500_000_000);
        for (text, seconds, nanos) in [
            ("10m", 999_400, 500_000_000),
            ("1h30m", 994_600, 500_000_000),
            ("1.5s", 999_999, 0),
            ("250ms", 1_000_000, 250_000_000),
            ("-1s", 1_000_001, 500_000_000),
        ] {
            assert_eq!(parse(text, now), Ok(Timestamp::from_unix(seconds, nanos)), "{text}");
        }
    }

    #[test]
    fn times_may_be_short() {
        let now = Timestamp::from_unix(0, 0);
        for (text, seconds, nanos) in [
            ("2001-09-09T01:46:40Z", 1_000_000_000, 0),
            ("2001-09-09T01:46:40.5Z", 1_000_000_000, 500_000_000),
            ("2001-09-09T03:46:40+02:00", 1_000_000_000, 0),
            ("2001-09-09T01:46Z", 999_999_960, 0),
            ("2001-09-09T01Z", 999_997_200, 0),
            ("2001-09-09Z", 999_993_600, 0),
            ("1000000000", 1_000_000_000, 0),
            ("1000000000.25", 1_000_000_000, 250_000_000),
            ("0", 0, 0),
        ] {
            assert_eq!(parse(text, now), Ok(Timestamp::from_unix(seconds, nanos)), "{text}");
        }
        assert!(parse("2001-09-09T01:46:40", now).is_ok());
        assert!(parse("2001-09-09", now).is_ok());
        for text in ["x", "10x", "2001-13-01", "", "1.x"] {
            assert!(parse(text, now).is_err(), "{text}");
        }
    }
}
