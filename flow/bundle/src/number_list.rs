//! Lists of processors or memory nodes, such as `0-3,7`. cpuset(7), "List format".

/// The largest number that is looked at; more would only cost memory (CVE-2018-20699).
const LIMIT: u32 = 8192;

/// A set of small numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NumberList(Vec<u64>);

impl NumberList {
    /// Reads a list; empty is the empty set. The error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        if text.is_empty() {
            return Ok(list);
        }
        let invalid = || format!("invalid format: {text}");
        let number = |part: &str| -> Result<u32, String> {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let number = part.parse::<u32>().ok().filter(|_| digits).ok_or_else(invalid)?;
            if number > LIMIT {
                return Err(format!("value of out range, maximum is {LIMIT}"));
            }
            Ok(number)
        };
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(invalid());
            }
            for number in first..=last {
                list.insert(number);
            }
        }
        Ok(list)
    }

    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().enumerate().all(|(at, bits)| bits & !other.0.get(at).unwrap_or(&0) == 0)
    }

    fn insert(&mut self, number: u32) {
        let (word, bit) = ((number / 64) as usize, number % 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists() {
        let list = |text| NumberList::parse(text).unwrap();
        assert_eq!(list("0-2,1,07"), list("7,0,1,2"));
        assert!(list("1,3").is_subset(&list("0-3")));
        assert!(!list("4").is_subset(&list("0-3")));
        assert!(!list("100").is_subset(&list("0-3")));
        assert!(list("").is_subset(&list("")));
        for bad in
            [",", "1,", "a", "2-1", "1-", "-1", "+1", "1--2", "0-9223372036854775807", "8193"]
        {
            assert!(NumberList::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[0-9,-]{0,16}") {
            if let Ok(list) = NumberList::parse(&text) {
                prop_assert!(list.is_subset(&list));
            }
        }
    }
}
