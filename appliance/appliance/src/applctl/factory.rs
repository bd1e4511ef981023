//! `factory-reset`: asks for a word, leaves the decision on the config volume, and has the machine restarted; init carries it out at the next boot.
//! Must not: delete anything.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use lb_agent::Store;
use lb_core::control::{INIT_REPORT, VolumeState};
use lb_core::reset::{Extent, MARK};

use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::input::{Came, Typing};
use super::parse::Invocation;
use super::power::{self, Power};
use super::render::wrap;
use super::tree;

const WORD: &str = "reset";
/// Somebody who has gone away has not said yes.
const PATIENCE: Duration = Duration::from_secs(60);
/// More is no word.
const LONGEST: usize = 64;

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let keep = invocation.has(tree::KEEP_IDENTITY);
    power::is_possible(Power::FactoryReset, Path::new(INIT_REPORT))?;
    if let Some(volume) = context.places.init().map(|init| init.config_volume)
        && !matches!(volume.state, VolumeState::Persistent | VolumeState::Restored)
    {
        return Err(Failure::Refused(format!(
            "nothing was changed: the config volume cannot be written for good: {}; put that right first",
            volume.detail
        )));
    }
    let question = format!(
        "This deletes lb.toml, the history, what is set aside, the events and the copy outside the config volume{}, and restarts the machine: it \
         comes back without a configuration, and connections through it end. There is no way back. Type the word {WORD} to go on; anything else \
         changes nothing.",
        if keep {
            "; certificates and keys stay"
        } else {
            ", certificates and keys too"
        }
    );
    context.print(&format!("{}\n> ", wrap(&question, context.screen.width, 0)))?;
    if answer(context)?.trim() != WORD {
        return Err(Failure::Refused(
            "nothing was changed: the word was not typed".to_owned(),
        ));
    }
    let volume = context
        .places
        .config_file
        .parent()
        .unwrap_or(Path::new("/config"));
    let extent = if keep { Extent::KeepIdentity } else { Extent::All };
    Store::new(volume.to_owned())
        .write(MARK, extent.mark().as_bytes())
        .map_err(|error| {
            let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
            Failure::Refused(format!("nothing was changed: {error}{cause}"))
        })?;
    power::order(Power::FactoryReset, Path::new(INIT_REPORT))?;
    context.print(&format!(
        "{}\n",
        wrap(Power::FactoryReset.announcement(), context.screen.width, 0)
    ))
}

/// A line, shown as it is typed; empty when it is given up.
fn answer(context: &mut Context<'_>) -> Result<String, Failure> {
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
                    return Ok(line);
                }
                0x08 | 0x7f => {
                    let erased = line.pop().is_some();
                    if erased && shows {
                        context.print("\x08 \x08")?;
                    }
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
            .more(context.interrupt, Some(PATIENCE))
            .map_err(Failure::Terminal)?
        {
            Came::Bytes => {}
            Came::Ended => return Ok(line),
            Came::TimedOut | Came::Interrupted => return Ok(String::new()),
        }
    }
}
