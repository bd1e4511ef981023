//! What a locked console shows, and its answers. Must not: read anything.

use std::time::Duration;

use lb_core::console::lock::Attempt;
use lb_core::console::password::Stored;
use lb_core::control::span_in_words;

use crate::applctl::render::{Screen, Tone, clean, some, span, wrap};

pub const PROMPT: &str = "Password: ";
/// An editor may have asked for marks around what is pasted.
const CLEAR: &str = "\x1b[?2004l\x1b[0m\x1b[H\x1b[2J";
const WAY_BACK: &str = "Forgotten? Whoever can restart the machine holds Ctrl-O down while it starts: `forget-password` in its boot menu removes \
                        the password, and nothing else.";

/// The whole screen, up to the question. `pending`: a configuration is on trial for so long.
pub fn picture(hostname: &str, stored: &Stored, pending: Option<Duration>, screen: &Screen) -> String {
    let title = screen
        .paint(Tone::Strong, &format!("{} is locked.", clean(hostname)))
        .into_owned();
    let mut parts = vec![how(stored)];
    parts.extend(pending.map(|left| {
        format!(
            "A configuration is PENDING: in {} the former one comes back by itself. To keep it, unlock, and type `config confirm`.",
            span(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
        )
    }));
    parts.push(WAY_BACK.to_owned());
    let mut text = format!("{CLEAR}{title}\n");
    for part in parts {
        text.push_str(&format!("\n{}\n", wrap(&part, screen.width, 0)));
    }
    format!("{text}\n{PROMPT}")
}

fn how(stored: &Stored) -> String {
    match stored {
        Stored::Damaged(why) => format!(
            "The file with the password cannot be used ({}), so that no password opens this console. Traffic goes on as ever.",
            clean(why)
        ),
        Stored::Unreadable(why) => format!(
            "The file with the password cannot be read ({}), so that no password opens this console until the disk answers. Traffic goes on as ever.",
            clean(why)
        ),
        stored => {
            let idle = stored.idle().map_or(0, |idle| idle.as_secs());
            format!(
                "Type the password of the consoles, and Enter; nothing is shown of it. A console locks when no key was typed for {}. Traffic \
                 goes on as ever.",
                span_in_words(idle)
            )
        }
    }
}

pub fn answer(outcome: &Attempt) -> String {
    match outcome {
        Attempt::Early(left) => format!("\nToo early: it was not looked at. {} more.\n", seconds(*left)),
        Attempt::Wrong { wait, .. } => format!(
            "\nWrong. The next one is looked at in {}; what is typed before then is lost.\n",
            seconds(*wait)
        ),
        Attempt::Right { wrong: 0 } => "\nUnlocked.\n".to_owned(),
        Attempt::Right { wrong } => format!("\nUnlocked. {}\n", attempts(*wrong)),
    }
}

/// Somebody else may have been here.
pub fn attempts(wrong: u32) -> String {
    let wrong = usize::try_from(wrong).unwrap_or(usize::MAX);
    let were = if wrong == 1 { "was" } else { "were" };
    format!(
        "{} {were} typed here since it was opened last.",
        some(wrong, "wrong password")
    )
}

fn seconds(time: Duration) -> String {
    let whole = time.as_millis().div_ceil(1_000);
    format!("{whole} s")
}

#[cfg(test)]
mod tests {
    use lb_core::console::password::Record;

    use super::*;

    fn shown(stored: &Stored, pending: Option<Duration>, width: usize) -> String {
        let text = picture("lb", stored, pending, &Screen::plain(width));
        text.strip_prefix(CLEAR).unwrap().to_owned()
    }

    #[test]
    fn the_screen_says_what_it_is_and_how_it_opens() {
        let stored = Stored::Set(Record::new(b"secret", [1; 16], Duration::from_mins(10)));
        assert_eq!(
            shown(&stored, Some(Duration::from_millis(95_400)), 80),
            "\
lb is locked.

Type the password of the consoles, and Enter; nothing is shown of it. A console
locks when no key was typed for 10 minutes. Traffic goes on as ever.

A configuration is PENDING: in 1m 35s the former one comes back by itself. To
keep it, unlock, and type `config confirm`.

Forgotten? Whoever can restart the machine holds Ctrl-O down while it starts:
`forget-password` in its boot menu removes the password, and nothing else.

Password: "
        );
    }

    #[test]
    fn a_damaged_file_is_told_with_the_way_back() {
        let text = shown(&Stored::Damaged("its sum is another one".to_owned()), None, 60);
        assert_eq!(
            text,
            "\
lb is locked.

The file with the password cannot be used (its sum is
another one), so that no password opens this console.
Traffic goes on as ever.

Forgotten? Whoever can restart the machine holds Ctrl-O down
while it starts: `forget-password` in its boot menu removes
the password, and nothing else.

Password: "
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_said_to_be_damaged() {
        let text = shown(&Stored::Unreadable("timed out".to_owned()), None, 60);
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        assert!(
            text.contains("cannot be read (timed out), so that") && text.contains("`forget-password`"),
            "{text}"
        );
    }

    #[test]
    fn answers_tell_how_long_to_wait_and_what_others_did() {
        let wrong = |seconds| Attempt::Wrong {
            times: 1,
            wait: Duration::from_secs(seconds),
            told: true,
        };
        assert_eq!(
            answer(&wrong(4)),
            "\nWrong. The next one is looked at in 4 s; what is typed before then is lost.\n"
        );
        assert_eq!(
            answer(&Attempt::Early(Duration::from_millis(1_200))),
            "\nToo early: it was not looked at. 2 s more.\n"
        );
        assert_eq!(answer(&Attempt::Right { wrong: 0 }), "\nUnlocked.\n");
        assert_eq!(
            answer(&Attempt::Right { wrong: 3 }),
            "\nUnlocked. 3 wrong passwords were typed here since it was opened last.\n"
        );
    }
}
