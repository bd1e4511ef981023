//! One line in answer to a question. Must not: know what was asked.

use std::time::Duration;

use super::execute::Context;
use super::failure::Failure;
use super::input::{Came, Typing};

/// No answer is longer (characters).
const LONGEST: usize = 1_000;

/// Somebody who has gone away has not said yes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the answer to this question is yes; else nothing is to be done.
pub fn yes(context: &mut Context<'_>, question: &str) -> Result<bool, Failure> {
    context.say(&format!(
        "{question} Type yes to go on; anything else changes nothing."
    ))?;
    context.print("> ")?;
    let answer = line(context, Some(PATIENCE))?.unwrap_or_default();
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "yes" | "y"))
}

/// A line, shown as it is typed. `None`: Ctrl-C, Ctrl-D on an empty line, the end of the input, or nothing came for so long.
pub fn line(context: &mut Context<'_>, patience: Option<Duration>) -> Result<Option<String>, Failure> {
    let shows = context.input.is_terminal();
    context
        .input
        .set_typing(Typing::Command)
        .map_err(Failure::Terminal)?;
    let mut line = String::new();
    loop {
        while let Some(byte) = context.input.pending().pop_front() {
            match byte {
                b'\r' | b'\n' => {
                    if shows {
                        context.print("\n")?;
                    }
                    return Ok(Some(line));
                }
                0x08 | 0x7f => {
                    let erased = line.pop().is_some();
                    if erased && shows {
                        context.print("\x08 \x08")?;
                    }
                }
                // Ctrl-D ends what has not begun, as it ends an empty line of any terminal.
                0x04 if line.is_empty() => {
                    if shows {
                        context.print("\n")?;
                    }
                    return Ok(None);
                }
                b' '..=b'~' if line.len() < LONGEST => {
                    line.push(char::from(byte));
                    if shows {
                        context.print(&char::from(byte).to_string())?;
                    }
                }
                _ => {}
            }
        }
        match context
            .input
            .more(context.interrupt, patience)
            .map_err(Failure::Terminal)?
        {
            Came::Bytes => {}
            Came::Unlocked => {
                let typed =
                    format!("Unlocked. The question before is still open; Ctrl-C gives it up.\n> {line}");
                context.print(&typed)?;
            }
            Came::Ended if !line.is_empty() && !shows => return Ok(Some(line)),
            Came::Ended | Came::TimedOut | Came::Interrupted => return Ok(None),
        }
    }
}
