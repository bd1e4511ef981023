//! Patterns of file names, as `include` has them: `*`, `?` and `[a-z]`. Must not: look at files.

/// No file has a longer name (NAME_MAX).
const LONGEST: usize = 255;

/// Whether a file's name fits to a pattern. A name that begins with a dot needs a pattern that does.
pub fn matches(pattern: &str, name: &str) -> bool {
    let too_long = pattern.len() > LONGEST || name.len() > LONGEST;
    if too_long || (name.starts_with('.') && !pattern.starts_with('.')) {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stands, and what it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(length) = one(&pattern[p..], name[n]) {
            p += length;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How long the part of the pattern is that takes this character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => {
            let end = rest.iter().skip(1).position(|c| *c == ']')? + 1;
            let inverted = matches!(rest[0], '!' | '^');
            let inner = if inverted { &rest[1..end] } else { &rest[..end] };
            (in_class(inner, c) != inverted).then_some(end + 2)
        }
        [first, ..] if *first == c => Some(1),
        _ => None,
    }
}

fn in_class(mut class: &[char], c: char) -> bool {
    loop {
        class = match class {
            [low, '-', high, ..] if (*low..=*high).contains(&c) => return true,
            [_, '-', _, rest @ ..] => rest,
            [one, ..] if *one == c => return true,
            [_, rest @ ..] => rest,
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, fits) in [
            ("*.conf", "web.conf", true),
            ("*.conf", ".web.conf", false),
            ("*", "", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("?eb", "web", true),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("[", "[", false),
            ("web", "web", true),
            ("web", "web2", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
