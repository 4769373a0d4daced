//! Durations as Go writes them: `1m30s`, `1.5h`, `300ms`.

/// Parses a duration into nanoseconds; it may be negative.
///
/// The error is worded as Go's `time.ParseDuration` words it.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    } else if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || end > 30 {
            return Err(invalid());
        }
        let unit_end = after
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        let digits = |part: &str| match part {
            "" => Ok(0),
            part => part.parse::<i128>().map_err(|_| invalid()),
        };
        let fraction = &fraction[..fraction.len().min(15)];
        let places = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| invalid())?);
        total = digits(whole)?
            .checked_mul(scale)
            .and_then(|whole| whole.checked_add(total))
            .and_then(|sum| Some(sum + digits(fraction).ok()? * scale / places))
            .ok_or_else(invalid)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse() {
        for (text, want) in [
            ("0", 0),
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("-1ms", -1_000_000),
            ("2h45m0.001s", 9_900_001_000_000),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        assert_eq!(parse("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(parse("5x").unwrap_err(), "time: unknown unit \"x\" in duration \"5x\"");
        for text in ["", "-", "s", "1..2s", "99999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
