//! `factory-reset`: asks for a word, leaves the decision on the config volume, and has the machine restarted; init carries it out at the next boot.
//! Must not: delete anything.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use lb_agent::{Store, StoreError};
use lb_core::control::{INIT_REPORT, VolumeState};
use lb_core::reset::{Extent, MARK};

use super::ask;
use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::power::{self, Power};
use super::render::wrap;
use super::tree;

const WORD: &str = "reset";
/// Somebody who has gone away has not said yes.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let answer = ask::line(context, Some(PATIENCE))?;
    if answer.is_none_or(|line| line.trim() != WORD) {
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
            let way = match error {
                StoreError::Full { .. } => {
                    "; the boot menu resets a full one, too: Ctrl-O, held down from power-on"
                }
                _ => "",
            };
            Failure::Refused(format!("nothing was changed: {error}{cause}{way}"))
        })?;
    power::order(Power::FactoryReset, Path::new(INIT_REPORT))?;
    context.print(&format!(
        "{}\n",
        wrap(Power::FactoryReset.announcement(), context.screen.width, 0)
    ))
}
