//! Sizes as people write them: `64m`, `1.5g`, `512`.

use crate::BundleError;

/// Bytes of a size in the form of `--memory`: a decimal number, then optionally one of
/// `b k m g t p` in any case, the last five also as `kb` or `kib`; all are powers of 1024. A
/// fraction of a byte is dropped. Negative and endless ones are refused.
pub fn parse_ram_bytes(text: &str) -> Result<i64, BundleError> {
    let invalid = || BundleError::invalid(format!("invalid size: '{text}'"));
    let digits = text.rfind(|c: char| c.is_ascii_digit() || c == '.').ok_or_else(invalid)?;
    let (number, rest) = text.split_at(digits + 1);
    let suffix = rest.strip_prefix(' ').unwrap_or(rest).to_ascii_lowercase();
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| plain).ok_or_else(invalid)?;
    let power = match suffix.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(BundleError::invalid(format!("invalid suffix: '{suffix}'"))),
    };
    let bytes = number * 1024f64.powi(power);
    // 2^63 is exact as a float; anything below it fits.
    if bytes >= 9_223_372_036_854_775_808.0 {
        return Err(invalid());
    }
    #[allow(clippy::cast_possible_truncation, reason = "finite, not negative, below 2^63")]
    Ok(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        let rows = [
            ("0", 0),
            ("512", 512),
            ("64m", 64 << 20),
            ("64M", 64 << 20),
            ("1.5g", 3 << 29),
            ("10b", 10),
            ("2KiB", 2048),
            ("2 kb", 2048),
            (".5k", 512),
        ];
        for (text, bytes) in rows {
            assert_eq!(parse_ram_bytes(text).unwrap(), bytes, "{text}");
        }
        for bad in
            ["", "m", "-1", "1e3", "nan", "inf", "1x", "1bb", "1mm", "9999999p", "1..2", "0x1"]
        {
            assert!(parse_ram_bytes(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_size_or_an_error(text in "\\PC{0,12}") {
            if let Ok(bytes) = parse_ram_bytes(&text) {
                prop_assert!(bytes >= 0);
            }
        }
    }
}
