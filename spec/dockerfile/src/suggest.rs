//! "Did you mean": the option that a mistyped word is nearest to.

/// The option at the smallest edit distance below 3, or `None`, also when `word` is an option.
///
/// Of several at the same distance the first is taken.
pub fn suggest<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    let mut least = 3;
    for option in options {
        if option == word {
            return None;
        }
        let distance = distance(word, option);
        if distance < least {
            least = distance;
            best = Some(option);
        }
    }
    best
}

/// Levenshtein's distance; words of which one is much longer are just called far apart.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    if left.len().abs_diff(right.len()) >= 3 {
        return 3;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.iter().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_suggested() {
        let options = ["from", "source", "target", "type"];
        assert_eq!(suggest("form", options), Some("from"));
        assert_eq!(suggest("sorce", options), Some("source"));
        assert_eq!(suggest("from", options), None);
        assert_eq!(suggest("entirely", options), None);
    }
}
