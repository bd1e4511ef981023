//! Help, made from the command tree: the list, and the page of one command.
//! Must not: hold text of its own about any command.

use super::render::{Screen, Tone, wrap};
use super::tree::{Choice, Command, PURPOSES, Purpose, ROOT};

/// Columns of the word before the examples.
const EXAMPLES: usize = "Examples:".len() + 2;

/// All commands, one line each, by what they are for.
pub fn overview(screen: &Screen) -> String {
    let mut text = String::new();
    for Purpose { heading, commands } in PURPOSES {
        let commands = commands.iter().filter_map(|name| ROOT.child(name));
        let lines: Vec<_> = commands.flat_map(lines).collect();
        let column = lines.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0) + 2;
        text.push_str(&format!("{heading}:\n"));
        for (usage, summary) in &lines {
            let padded = format!("{usage:column$}");
            text.push_str(&screen.paint(Tone::Strong, &padded));
            text.push_str(&wrap(summary, screen.width.saturating_sub(column), column));
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(
        "Most words can be abbreviated. `help COMMAND` or `COMMAND ?` tells more; Tab completes.\n",
    );
    wrap_last(text, screen)
}

/// A command, or those below it: its usage and what it does.
fn lines(command: &Command) -> Vec<(String, &'static str)> {
    if command.children.is_empty() {
        return vec![(usage(command, command.name), command.summary)];
    }
    let below = command.visible();
    below
        .map(|child| {
            (
                usage(child, &format!("{} {}", command.name, child.name)),
                child.summary,
            )
        })
        .collect()
}

/// The closing remark must fit narrow terminals as well.
fn wrap_last(text: String, screen: &Screen) -> String {
    match text.trim_end().rsplit_once('\n') {
        Some((head, remark)) => format!("{head}\n{}\n", wrap(remark, screen.width, 0)),
        None => text,
    }
}

/// All about one command.
pub fn about(command: &Command, path: &str, screen: &Screen) -> String {
    let synopsis = wrap(&synopsis(command, path), screen.width.saturating_sub(4), 4);
    let mut text = format!("{}\n", screen.paint(Tone::Strong, &synopsis));
    text.push_str(&format!(
        "    {}\n",
        wrap(&sentence(command.summary), screen.width - 4, 4)
    ));
    if !command.about.is_empty() {
        text.push_str(&format!("\n    {}\n", wrap(command.about, screen.width - 4, 4)));
    }
    if !command.options.is_empty() {
        text.push('\n');
        let name = |choice: &Choice| format!("{}{}", choice.name, choice.takes.word());
        let longest = command.options.iter().map(|choice| name(choice).len()).max();
        let column = longest.unwrap_or(0).max(14) + 2;
        for choice in command.options {
            text.push_str(&format!(
                "    {:<column$}{}\n",
                name(choice),
                wrap(
                    choice.summary,
                    screen.width.saturating_sub(column + 4),
                    column + 4
                )
            ));
        }
    }
    for child in command.visible() {
        text.push_str(&format!(
            "\n{}",
            about(child, &format!("{path} {}", child.name), screen)
        ));
    }
    if let [first, others @ ..] = command.examples {
        text.push_str(&format!(
            "\n    {:<column$}{first}\n",
            if others.is_empty() {
                "Example:"
            } else {
                "Examples:"
            },
            column = EXAMPLES
        ));
        others
            .iter()
            .for_each(|e| text.push_str(&format!("{:column$}{e}\n", "", column = 4 + EXAMPLES)));
    }
    text
}

/// The path with its arguments: `services [NAME]`.
pub fn usage(command: &Command, path: &str) -> String {
    let mut text = path.to_owned();
    for argument in command.arguments {
        let dots = if argument.many { "..." } else { "" };
        let (open, close) = if argument.needed { ("", "") } else { ("[", "]") };
        text.push_str(&format!(" {open}{}{dots}{close}", argument.name));
    }
    text
}

/// The usage with its options.
fn synopsis(command: &Command, path: &str) -> String {
    let mut text = usage(command, path);
    if !command.children.is_empty() {
        let names: Vec<_> = command.visible().map(|c| c.name).collect();
        text.push_str(&format!(" {}", names.join(" | ")));
    }
    for choice in command.options {
        text.push_str(&format!(" [{}{}]", choice.name, choice.takes.word()));
    }
    text
}

fn sentence(summary: &str) -> String {
    let mut letters = summary.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_width(text: &str, width: usize) {
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{line}");
            assert_eq!(line, line.trim_end(), "trailing blanks");
        }
    }

    #[test]
    fn the_overview_names_every_command_and_fits() {
        let text = overview(&Screen::plain(80));
        check_width(&text, 80);
        for name in [
            "status",
            "services [NAME]",
            "config check [FILE]",
            "help [COMMAND...]",
            "poweroff",
            "resize",
        ] {
            assert!(
                text.lines().any(|l| l.starts_with(&format!("{name} "))),
                "{name}\n{text}"
            );
        }
        assert!(!text.contains("logout"));
        let begins = |name: &str| text.find(&format!("\n{name}")).unwrap();
        assert!(text.starts_with("What is there:\nstatus "), "{text}");
        assert!(
            begins("version ") < begins("Servers set aside:\ndrain "),
            "{text}"
        );
        assert!(
            begins("The configuration:\nsetup ") < begins("config rollback N"),
            "{text}"
        );
        assert!(begins("The machine:") < begins("help [COMMAND...]"), "{text}");
    }

    #[test]
    fn examples_stand_below_each_other() {
        let (command, path) = (ROOT.child("connections").unwrap(), "connections");
        let text = about(command, path, &Screen::plain(80));
        let examples: Vec<usize> = text
            .lines()
            .rev()
            .take(2)
            .map(|line| line.find("connections").unwrap())
            .collect();
        assert_eq!(examples, [15, 15], "{text}");
    }

    #[test]
    fn help_of_each_command_fits_and_holds_its_options_and_examples() {
        fn walk(command: &Command, path: &str) {
            for child in command.visible() {
                let path = format!("{path} {}", child.name).trim_start().to_owned();
                for width in [40, 80] {
                    let text = about(child, &path, &Screen::plain(width));
                    if width == 80 {
                        check_width(&text, 80);
                    }
                    // A long one is folded.
                    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    assert!(child.options.iter().all(|o| words.contains(o.summary)), "{text}");
                    assert!(child.examples.iter().all(|e| text.contains(e)), "{text}");
                }
                walk(child, &path);
            }
        }
        walk(&ROOT, "");
    }
}
