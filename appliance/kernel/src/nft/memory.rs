//! The table as it was last read, for as long as the kernel says that nothing has changed: nf_tables counts its transactions, whoever
//! makes them (NFT_MSG_GETGEN). Must not: trust that number with what changes without a transaction.

use std::sync::Arc;

use lb_core::ports::KernelFault;
use lb_core::ruleset::{Rule, Ruleset};

use super::open;
use super::read::{self, Flowtable};
use super::socket::Socket;

/// What was read of the table. Belongs to one network namespace.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    generation: u32,
    rules: Option<Arc<Ruleset>>,
}

impl Filter {
    /// The table as it is; `None` when there is none.
    pub(crate) fn read(&mut self) -> Result<Option<Arc<Ruleset>>, KernelFault> {
        let mut socket = open()?;
        if let Some(last) = &self.last
            && read::generation(&mut socket)? == last.generation
            && has_links_of(&mut socket, last.rules.as_deref())?
        {
            return Ok(last.rules.clone());
        }
        self.last = None;
        let (generation, held) = read::table_at(&mut socket)?;
        let rules = held.map(|held| Arc::new(held.rules));
        // What is foreign may change by itself.
        let is_ours = !rules.iter().any(|rules| rules.all_rules().any(is_foreign));
        self.last = is_ours.then(|| Last {
            generation,
            rules: rules.clone(),
        });
        Ok(rules)
    }
}

fn is_foreign(rule: &Rule) -> bool {
    matches!(rule, Rule::Foreign(_))
}

/// A link that goes leaves its flowtable without a transaction (nf_tables_flowtable_event).
fn has_links_of(socket: &mut Socket, rules: Option<&Ruleset>) -> Result<bool, KernelFault> {
    let Some(rules) = rules.filter(|rules| !rules.fast.offload.is_empty()) else {
        return Ok(true);
    };
    let mut links = Vec::new();
    for flowtable in read::flowtables(socket)? {
        match flowtable {
            Flowtable::Ours(names) => links.extend(names),
            Flowtable::Foreign(_) => return Ok(false),
        }
    }
    links.sort();
    Ok(links.iter().eq(&rules.fast.offload))
}
