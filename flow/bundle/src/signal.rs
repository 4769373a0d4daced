//! Signals by name and number.

use crate::BundleError;

/// The first real-time signal that programs may use; the C library keeps two for itself.
const RTMIN: i32 = 34;
/// The last one.
const RTMAX: i32 = 64;

/// Names without `SIG`, on Linux for x86 and arm. signal(7).
const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// The number of a signal, given as a number, or as a name with or without `SIG` in any case, or
/// as `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`.
pub fn parse_signal(text: &str) -> Result<i32, BundleError> {
    let number = match text.parse::<i32>() {
        Ok(number) => Some(number).filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())),
        Err(_) => by_name(text),
    };
    number
        .filter(|number| (1..=RTMAX).contains(number))
        .ok_or_else(|| BundleError::invalid(format!("invalid signal: {text}")))
}

fn by_name(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let offset = |rest: &str, sign: char| -> Option<i32> {
        if rest.is_empty() {
            return Some(0);
        }
        let digits = rest.strip_prefix(sign)?;
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|offset| plain && *offset <= RTMAX - RTMIN)
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+').map(|offset| RTMIN + offset);
    }
    let rest = name.strip_prefix("RTMAX")?;
    offset(rest, '-').map(|offset| RTMAX - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        let rows = [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("SIGRTMAX", 64),
        ];
        for (text, number) in rows {
            assert_eq!(parse_signal(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        let long = "RTMIN+99999999999";
        for text in
            ["", "0", "65", "-9", "+9", "SIG", "NOPE", "RTMIN+31", "RTMIN-1", "RTMAX+", long]
        {
            let err = parse_signal(text).unwrap_err().to_string();
            assert_eq!(err, format!("invalid signal: {text}"));
        }
    }
}
