//! The table `inet lb`: written in one transaction, removed, and read back as typed rules. Chains that are right are left alone.
//! Must not: know any other table. `raw` holds the `unsafe` of this module, `encode`, `rule`, `translation` and `expressions` turn rules
//! into messages, `socket` exchanges them with the kernel, `read` and `canonical` turn the kernel's answers back into rules.

mod answers;
mod canonical;
mod encode;
mod expressions;
mod fast;
mod maps;
mod marks;
mod memory;
mod message;
mod proxy;
mod raw;
mod read;
mod read_sets;
mod rule;
mod services;
mod socket;
mod translation;

use lb_core::ports::KernelFault;
use lb_core::ruleset::{Rule, Ruleset};

use crate::fault;
use encode::Transaction;
pub(crate) use memory::Filter;
use socket::{Answer, Socket};

/// Makes the table be `rules`: all of it, or nothing when the kernel refuses any part. A table whose frame is as made is changed
/// where it is different, and its chains stay hooked in. Only another one is replaced whole: then there may be a moment when
/// packets still meet the old chain `input` without rules, which drops them.
pub(crate) fn replace(rules: &Ruleset) -> Result<(), KernelFault> {
    let wanted = || -> Result<bool, KernelFault> { Ok(read()?.as_ref() == Some(rules)) };
    let held = read::table(&mut open()?)?;
    if let Some(held) = held.filter(|held| !held.is_bent && fast::can_become(&held.rules.fast, &rules.fast))
        && commit(&encode::change(&held, rules)?, wanted).is_ok()
    {
        return Ok(());
    }
    // Also for a table that somebody has changed since it was read.
    commit(&encode::replacement(rules)?, wanted)
}

/// Removes the table; it may be gone already.
pub(crate) fn delete() -> Result<(), KernelFault> {
    commit(&encode::removal(), || Ok(read()?.is_none()))
}

/// The table as it is; `None` when there is none.
fn read() -> Result<Option<Ruleset>, KernelFault> {
    Ok(read::table(&mut open()?)?.map(|held| held.rules))
}

/// The rules that translate addresses, each with the number of connections that it has translated: a chain of type nat sees
/// the first packet of each. Empty without a table.
pub(crate) fn translated() -> Result<Vec<(Rule, u64)>, KernelFault> {
    read::translated(&mut open()?)
}

fn open() -> Result<Socket, KernelFault> {
    Socket::open().map_err(|e| fault::from_io(&e))
}

/// Sends the transaction. If the answer is lost (the receive queue overflowed), what the kernel holds is the answer.
fn commit(
    transaction: &Transaction,
    done: impl Fn() -> Result<bool, KernelFault>,
) -> Result<(), KernelFault> {
    let answer = open()?
        .commit(&transaction.batch)
        .map_err(|e| fault::from_io(&e))?;
    match answer {
        Answer::Accepted => Ok(()),
        Answer::Refused { sequence, fault } => Err(KernelFault {
            text: format!("{} at {}", fault.text, transaction.line(sequence)),
            ..fault
        }),
        Answer::Lost if done()? => Ok(()),
        Answer::Lost => Err(fault::plain(
            "the kernel's answer was lost, and the table is not as asked",
        )),
    }
}
