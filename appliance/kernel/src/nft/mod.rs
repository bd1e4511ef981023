//! The table `inet lb`: written in one transaction, removed, and read back as typed rules.
//! Must not: know any other table. `raw` holds the `unsafe` of this module, `encode` turns rules into messages,
//! `socket` exchanges them with the kernel, `read` and `canonical` turn the kernel's answers back into rules.

mod canonical;
mod encode;
mod message;
mod raw;
mod read;
mod services;
mod socket;

use lb_core::ports::KernelFault;
use lb_core::ruleset::{Rule, Ruleset};
use nftnl::{ChainType, Hook, Policy};

use crate::fault;
use encode::Transaction;
use socket::{Answer, Socket};

/// The base chains of the table. Rules are in no other chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BaseChain {
    Input,
    Forward,
    Postrouting,
}

impl BaseChain {
    const ALL: [BaseChain; 3] = [BaseChain::Input, BaseChain::Forward, BaseChain::Postrouting];

    fn name(self) -> &'static str {
        match self {
            BaseChain::Input => "input",
            BaseChain::Forward => "forward",
            BaseChain::Postrouting => "postrouting",
        }
    }

    /// Its type, hook, priority (enum nf_ip_hook_priorities: filter, srcnat) and policy.
    fn place(self) -> (ChainType, Hook, i32, Policy) {
        match self {
            BaseChain::Input => (ChainType::Filter, Hook::In, 0, Policy::Drop),
            BaseChain::Forward => (ChainType::Filter, Hook::Forward, 0, Policy::Accept),
            BaseChain::Postrouting => (ChainType::Nat, Hook::PostRouting, 100, Policy::Accept),
        }
    }
}

/// Replaces the table by `rules`: all of it, or nothing when the kernel refuses any part.
pub(crate) fn replace(rules: &Ruleset) -> Result<(), KernelFault> {
    let wanted = || -> Result<bool, KernelFault> { Ok(read()?.as_ref() == Some(rules)) };
    commit(&encode::replacement(rules)?, wanted)
}

/// Removes the table; it may be gone already.
pub(crate) fn delete() -> Result<(), KernelFault> {
    commit(&encode::removal(), || Ok(read()?.is_none()))
}

/// The table as it is; `None` when there is none.
pub(crate) fn read() -> Result<Option<Ruleset>, KernelFault> {
    read::ruleset(&mut open()?)
}

/// The rules of the postrouting chain, each with the number of connections that it has translated: such a chain sees the
/// first packet of each. Empty without a table.
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
