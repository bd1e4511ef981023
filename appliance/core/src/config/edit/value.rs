//! A value as an operator types it, as lb.toml has it: a bare word is text where the key takes text. What it may be is in the registry.
//! Must not: know where it goes.

use toml::de::DeValue;

use super::super::fault::quoted;
use super::super::keys::Form;
use super::super::time::Time;
use super::nodes::text;
use crate::suggest::nearest;

/// `path`: for the message.
pub(super) fn written(form: &Form, word: &str, path: &str) -> Result<String, String> {
    let found = match word.chars().next() {
        Some('[' | '{' | '"' | '\'') => as_toml(form, word),
        _ => listed(form, word),
    };
    found.ok_or_else(|| {
        format!(
            "{} is nothing that {} takes; it takes {}{}",
            quoted(word),
            quoted(path),
            form.allowed(),
            hint(form, word)
        )
    })
}

/// What was probably meant.
fn hint(form: &Form, word: &str) -> String {
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    match form {
        Form::Time(_) | Form::Seconds(_) if is_number => format!("; the unit is missing, as in {word}s"),
        form => nearest(word, form.words().iter().copied())
            .map(|meant| format!("; did you mean {}?", quoted(meant)))
            .unwrap_or_default(),
    }
}

/// An IPv6 address with a port begins with a bracket as well.
fn as_toml(form: &Form, word: &str) -> Option<String> {
    match DeValue::parse(word) {
        Ok(_) if !word.contains(['\n', '\r']) => Some(word.to_owned()),
        _ if word.starts_with('[') && word.contains("]:") => listed(form, word),
        // The console has taken the quotes away.
        _ => match (
            form,
            word.strip_prefix('[').and_then(|word| word.strip_suffix(']')),
        ) {
            (Form::List(_), Some(inner)) => listed(form, inner),
            (Form::OneOrMore(form) | Form::UpTo(form, _), Some(inner)) => listed(&Form::List(form), inner),
            _ => None,
        },
    }
}

/// One, or some with commas between them where the key takes several.
fn listed(form: &Form, word: &str) -> Option<String> {
    let each = |form: &Form| {
        let all: Option<Vec<String>> = word.split(',').map(|part| single(form, part.trim())).collect();
        all.map(|all| format!("[{}]", all.join(", ")))
    };
    match form {
        Form::List(form) => each(form),
        Form::OneOrMore(form) | Form::UpTo(form, _) if word.contains(',') => each(form),
        Form::OneOrMore(form) | Form::UpTo(form, _) => single(form, word),
        form => single(form, word),
    }
}

fn single(form: &Form, word: &str) -> Option<String> {
    let quoted = || Some(text(word));
    let time = |range: &std::ops::RangeInclusive<std::time::Duration>| {
        word.parse().is_ok_and(|Time(time)| range.contains(&time))
    };
    match form {
        Form::Text { .. } => quoted(),
        Form::Time(range) | Form::Seconds(range) => quoted().filter(|_| time(range)),
        Form::Number { range, .. } => {
            let number = word.parse().ok().filter(|number| range.contains(number))?;
            Some(number.to_string())
        }
        Form::Percent => quoted().filter(|_| word.ends_with('%')),
        Form::Flag => ["true", "false"].contains(&word).then(|| word.to_owned()),
        Form::Words(words) => quoted().filter(|_| words.contains(&word)),
        Form::AnyCase(words) => {
            quoted().filter(|_| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
        }
        Form::Either(forms) => forms.iter().find_map(|form| single(form, word)),
        Form::List(_) | Form::OneOrMore(_) | Form::UpTo(..) => listed(form, word),
        Form::Fields(_) | Form::Table(_) | Form::Tables(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::keys::find;
    use super::*;

    #[test]
    fn a_word_that_is_nothing_is_told_with_what_was_meant() {
        for (path, word, end) in [
            (
                "virtual_server.check.interval",
                "5",
                "; the unit is missing, as in 5s",
            ),
            ("virtual_server.scheduler", "rrr", "; did you mean `rr`?"),
            ("interface.mtu", "lots", "68 to 65535 bytes"),
        ] {
            let why = written(&find(path)[0].key.form, word, path).unwrap_err();
            assert!(why.ends_with(end), "{why}");
        }
    }

    #[test]
    fn a_word_becomes_what_the_key_takes() {
        for (path, word, expected) in [
            ("virtual_server.scheduler", "rr", "\"rr\""),
            ("interface.mtu", "9000", "9000"),
            ("interface.mss_clamp", "true", "true"),
            ("interface.mss_clamp", "1400", "1400"),
            ("interface.addresses", "10.0.0.1/8", "[\"10.0.0.1/8\"]"),
            ("interface.addresses", "[]", "[]"),
            (
                "interface.addresses",
                "[10.0.0.1/8, 10.0.0.2/8]",
                "[\"10.0.0.1/8\", \"10.0.0.2/8\"]",
            ),
            (
                "virtual_server.listen",
                "[2001:db8::1]:80",
                "\"[2001:db8::1]:80\"",
            ),
            ("virtual_server.protocol", "tcp,udp", "[\"tcp\", \"udp\"]"),
            ("virtual_server.quorum", "50%", "\"50%\""),
            ("virtual_server.quorum", "2", "2"),
            (
                "virtual_server.persistence",
                "{ timeout = \"5m\" }",
                "{ timeout = \"5m\" }",
            ),
            ("virtual_server.check", "tcp", "\"tcp\""),
            ("virtual_server.check.status", "200,401-403", "[200, \"401-403\"]"),
            ("hostname", "\"lb\"", "\"lb\""),
            ("hostname", "1", "\"1\""),
        ] {
            let place = &find(path)[0];
            assert_eq!(
                written(&place.key.form, word, path).as_deref(),
                Ok(expected),
                "{path} {word}"
            );
        }
    }

    #[test]
    fn what_a_key_does_not_take_is_told_with_what_it_takes() {
        for (path, word, takes) in [
            ("interface.mtu", "big", "it takes 68 to 65535 bytes"),
            ("virtual_server.scheduler", "fast", "it takes `\"rr\"`, `\"wrr\"`"),
            (
                "virtual_server.check.interval",
                "5",
                "it takes `\"100ms\"` to `\"1h\"`",
            ),
            ("virtual_server.syn_proxy", "yes", "it takes `true` or `false`"),
            (
                "virtual_server.persistence",
                "5m",
                "it takes a table: `timeout`, `prefix`",
            ),
            ("virtual_server.listen", "[1, ", "one, or a list"),
        ] {
            let place = &find(path)[0];
            let fault = written(&place.key.form, word, path).unwrap_err();
            assert!(fault.contains(takes), "{fault}");
        }
    }
}
