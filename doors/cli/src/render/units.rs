//! Sizes, durations and times for people, with the roundings of Docker's go-units.

use std::time::Duration;

use oci::Timestamp;

/// A size in units of 1000, with so many significant digits: `1.98MB`.
pub(crate) fn human_size(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit < UNITS.len() - 1 {
        size /= 1000.0;
        unit += 1;
    }
    format!("{}{}", general(size, digits), UNITS[unit])
}

/// C's `%.Ng`: so many significant digits, no zeros at the end, and an exponent where rounding
/// gives one digit too many.
fn general(number: f64, digits: usize) -> String {
    let scientific = format!("{number:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: usize = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent >= digits {
        return format!("{}e+{exponent:02}", trim(mantissa));
    }
    trim(&format!("{number:.*}", digits - 1 - exponent))
}

/// A duration in one unit: `About a minute`, `3 hours`.
pub(crate) fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (duration.as_secs() + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// How long ago a time was: `2 minutes ago`.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", human_duration(now.since(time)))
}

/// A time in the user's zone, as Go prints it: `2026-11-21 11:47:44 +0000 UTC`.
pub(crate) fn local_time(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.unix_seconds()) {
        Ok(instant) => {
            let zoned = instant.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
        }
        Err(_) => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, three, four) in [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1kB"),
            (1_982_400, "1.98MB", "1.982MB"),
            (117_600_000, "118MB", "117.6MB"),
            (999_600, "1e+03kB", "999.6kB"),
            (999_960, "1e+03kB", "1000kB"),
            (1_050_000_000, "1.05GB", "1.05GB"),
        ] {
            assert_eq!(human_size(bytes, 3), three, "{bytes}");
            assert_eq!(human_size(bytes, 4), four, "{bytes}");
        }
    }

    #[test]
    fn durations() {
        const DAY: u64 = 24 * 3600;
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (3 * DAY, "3 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (800 * DAY, "2 years"),
        ] {
            assert_eq!(human_duration(Duration::from_secs(seconds)), want, "{seconds}");
        }
    }

    #[test]
    fn times_are_told_in_the_users_zone() {
        let time = Timestamp::from_unix(1_000_000_000, 5);
        let text = local_time(time);
        assert!(text.starts_with("2001-09-"), "{text}");
        let now = Timestamp::from_unix(1_000_000_120, 0);
        assert_eq!(ago(Timestamp::from_unix(1_000_000_000, 0), now), "2 minutes ago");
    }
}
