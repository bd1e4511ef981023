//! Did you mean: the known word that is closest to a mistyped one.
//! Must not: know where the words come from.

/// The candidate within reach of a slip of the fingers, nearest first, or one that the word is the beginning of; `None`
/// if there is neither.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    // A third of the word may be wrong, at most three letters: further away it is another word.
    let reach = word.chars().count().div_ceil(3).clamp(1, 3);
    let slip = candidates
        .clone()
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance);
    let begun = |candidate: &&str| word.len() > 1 && candidate.starts_with(word);
    slip.map(|(_, candidate)| candidate)
        .or_else(|| candidates.into_iter().find(begun))
}

/// How far apart two words are, whatever their case: insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(x != y);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("statsu", "status", 1),
            ("Status", "status", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let words = ["status", "services", "config", "connections"];
        assert_eq!(nearest("statsu", words), Some("status"));
        assert_eq!(nearest("serivces", words), Some("services"));
        assert_eq!(nearest("confgi", words), Some("config"));
        assert_eq!(nearest("connect", words), Some("connections"));
        assert_eq!(nearest("ping", words), None);
        assert_eq!(nearest("frobs", words), None);
        assert_eq!(nearest("hist", ["list", "exit"]), Some("list"));
        assert_eq!(nearest("zzz", ["a", "ab", "log"]), None);
        assert_eq!(nearest("", words), None);
    }
}
