//! Rules as nf_tables messages. The whole table is one batch: add, delete and add the table, then its sets, chains and rules.
//! The kernel takes the batch whole or not at all, and nothing of the old table is left (deleting needs it to exist, hence the
//! first add). A table whose frame is as made is changed instead: the batch has what is different, and no more.

use std::ffi::CString;

use lb_core::ports::KernelFault;
use lb_core::ruleset::{self, ChainKind, Rule, Ruleset};
use nftnl::set::Set;
use nftnl::{Batch, Chain, ChainType, FinalizedBatch, Hook, MsgType, Policy, ProtoFamily, Table};

use super::fast;
use super::maps::Map;
use super::read::Held;
use super::rule::encode;
use super::services::{Key, Key4, Key6, ServiceSet};

/// A batch, and what each of its messages is for.
pub(super) struct Transaction {
    pub batch: FinalizedBatch,
    lines: Vec<String>,
}

impl Transaction {
    /// The message with this sequence number, in words.
    pub(super) fn line(&self, sequence: u32) -> &str {
        let numbers = self.batch.sequence_numbers();
        // Where the kernel acknowledges the batch's begin and end, they have numbers of their own.
        let framed = numbers.len() == self.lines.len() + 2;
        let first = numbers.start + u32::from(framed);
        let index = sequence
            .checked_sub(first)
            .and_then(|i| self.lines.get(i as usize));
        index.map_or("the batch's frame", String::as_str)
    }
}

pub(super) struct Writer {
    batch: Batch,
    lines: Vec<String>,
}

impl Writer {
    fn new() -> Writer {
        Writer {
            batch: Batch::new(),
            lines: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, message: &impl nftnl::NlMsg, kind: MsgType, what: impl Into<String>) {
        let verb = match kind {
            MsgType::Add => "add",
            MsgType::Del => "delete",
        };
        self.batch.add(message, kind);
        self.lines.push(format!("{verb} {}", what.into()));
    }

    fn finish(self) -> Transaction {
        Transaction {
            batch: self.batch.finalize(),
            lines: self.lines,
        }
    }
}

fn table() -> Table {
    let name = CString::new(lb_core::ruleset::TABLE).expect("the table's name holds no NUL");
    Table::new(name, ProtoFamily::Inet)
}

/// Removes the table, whether or not it exists.
pub(super) fn removal() -> Transaction {
    let table = table();
    let mut writer = Writer::new();
    writer.write(&table, MsgType::Add, "table");
    writer.write(&table, MsgType::Del, "table");
    writer.finish()
}

/// Puts `rules` in the place of whatever the table holds.
pub(super) fn replacement(rules: &Ruleset) -> Result<Transaction, KernelFault> {
    let table = table();
    let mut writer = Writer::new();
    writer.write(&table, MsgType::Add, "table");
    writer.write(&table, MsgType::Del, "table");
    writer.write(&table, MsgType::Add, "table");
    let sets = Sets::new(&table, rules.services.iter().copied().map(Key::from));
    sets.write(&mut writer);
    fast::write(&rules.fast, &table, &mut writer);
    for map in Map::ALL.into_iter().filter(|map| map.is_used(rules)) {
        write_map(&mut writer, map, rules);
    }
    for base in ruleset::Chain::ALL.into_iter().filter(|base| rules.has(*base)) {
        let chain = chain(base, &table);
        writer.write(&chain, MsgType::Add, format!("chain {}", base.name()));
        write_rules(&mut writer, rules.rules(base), &chain, &sets)?;
    }
    Ok(writer.finish())
}

/// A map with all of its elements.
fn write_map(writer: &mut Writer, map: Map, rules: &Ruleset) {
    let elements = map.element_messages(MsgType::Add, &Ruleset::default(), rules);
    for (message, what) in [map.creation()].into_iter().chain(elements) {
        writer.write(&message, MsgType::Add, what);
    }
}

fn write_rules(
    writer: &mut Writer,
    rules: &[Rule],
    chain: &Chain<'_>,
    sets: &Sets<'_>,
) -> Result<(), KernelFault> {
    for rule in rules {
        let message = encode(rule, chain, sets)?;
        writer.write(&message, MsgType::Add, format!("rule `{rule}`"));
    }
    Ok(())
}

/// Makes a table whose frame is ours one of `wanted`. Chains that are right keep their rules and counters; one that is not
/// gets other rules and stays hooked in, so that every packet meets all of the old ones or all of the new ones.
pub(super) fn change(held: &Held, wanted: &Ruleset) -> Result<Transaction, KernelFault> {
    let table = table();
    let mut writer = Writer::new();
    let (kept, new): (Vec<_>, Vec<_>) = Map::ALL
        .into_iter()
        .filter(|map| map.is_used(wanted))
        .partition(|map| held.maps.contains(map));
    for map in new {
        write_map(&mut writer, map, wanted);
    }
    fast::add_missing(&held.rules.fast, &wanted.fast, &table, &mut writer);
    change_elements(&mut writer, &table, &held.rules, wanted, &kept);
    change_chains(&mut writer, &table, held, wanted)?;
    // By now no rule asks for them.
    let old = held.maps.iter().filter(|map| !map.is_used(wanted));
    for map in old {
        writer.write(&map.deletion(), MsgType::Del, format!("map {}", map.name()));
    }
    fast::delete_unused(&held.rules.fast, &wanted.fast, &table, &mut writer);
    Ok(writer.finish())
}

fn change_elements(writer: &mut Writer, table: &Table, held: &Ruleset, wanted: &Ruleset, maps: &[Map]) {
    // What goes first makes place for what comes: the same range of ports with another mark.
    for (kind, from, to) in [(MsgType::Del, wanted, held), (MsgType::Add, held, wanted)] {
        let services = to.services.difference(&from.services);
        let sets = Sets::new(table, services.copied().map(Key::from));
        sets.write_elements(writer, kind);
        for map in maps {
            for (message, what) in map.element_messages(kind, from, to) {
                writer.write(&message, kind, what);
            }
        }
        fast::write_elements(&from.fast, &to.fast, table, writer, kind);
    }
}

fn change_chains(
    writer: &mut Writer,
    table: &Table,
    held: &Held,
    wanted: &Ruleset,
) -> Result<(), KernelFault> {
    let sets = Sets::new(table, std::iter::empty());
    for base in ruleset::Chain::ALL {
        let (chain, name) = (chain(base, table), base.name());
        let rules = wanted.rules(base);
        if held.chains.contains(&base) {
            if held.rules.rules(base) == rules {
                continue;
            }
            let all = nftnl::Rule::new(&chain);
            writer.write(&all, MsgType::Del, format!("all rules of chain {name}"));
            if !wanted.has(base) {
                writer.write(&chain, MsgType::Del, format!("chain {name}"));
            }
        } else if wanted.has(base) {
            writer.write(&chain, MsgType::Add, format!("chain {name}"));
        }
        write_rules(writer, rules, &chain, &sets)?;
    }
    Ok(())
}

/// The message that adds one rule, to compare with what the kernel reports; `None` for a foreign rule.
pub(super) fn sample(base: ruleset::Chain, rule: &Rule) -> Option<Transaction> {
    let table = table();
    let sets = Sets::new(&table, std::iter::empty());
    let chain = chain(base, &table);
    let mut writer = Writer::new();
    let message = encode(rule, &chain, &sets).ok()?;
    writer.write(&message, MsgType::Add, format!("rule `{rule}`"));
    Some(writer.finish())
}

fn chain(base: ruleset::Chain, table: &Table) -> Chain<'_> {
    let place = base.place();
    let name = CString::new(place.name).expect("a chain's name holds no NUL");
    let mut chain = Chain::new(name, table);
    chain.set_hook(
        match place.hook {
            ruleset::Hook::Prerouting => Hook::PreRouting,
            ruleset::Hook::Input => Hook::In,
            ruleset::Hook::Forward => Hook::Forward,
            ruleset::Hook::Output => Hook::Out,
            ruleset::Hook::Postrouting => Hook::PostRouting,
        },
        place.priority,
    );
    chain.set_type(match place.kind {
        ChainKind::Filter => ChainType::Filter,
        ChainKind::Nat => ChainType::Nat,
    });
    chain.set_policy(if place.drops { Policy::Drop } else { Policy::Accept });
    chain
}

pub(super) struct Sets<'t> {
    pub v4: Set<'t, Key4>,
    pub v6: Set<'t, Key6>,
}

impl<'t> Sets<'t> {
    fn new(table: &'t Table, keys: impl Iterator<Item = Key>) -> Sets<'t> {
        let mut sets = Sets {
            v4: Set::new_named(ServiceSet::V4.c_name(), 1, table, ProtoFamily::Inet),
            v6: Set::new_named(ServiceSet::V6.c_name(), 2, table, ProtoFamily::Inet),
        };
        for key in keys {
            match key {
                Key::V4(key) => sets.v4.add(&key),
                Key::V6(key) => sets.v6.add(&key),
            }
        }
        sets
    }

    /// The sets, and their elements in as many messages as the length of an attribute (64 KiB) asks for.
    fn write(&self, writer: &mut Writer) {
        writer.write(&self.v4, MsgType::Add, "set services4");
        writer.write(&self.v6, MsgType::Add, "set services6");
        self.write_elements(writer, MsgType::Add);
    }

    fn write_elements(&self, writer: &mut Writer, kind: MsgType) {
        for elements in self.v4.elems_iter() {
            writer.write(&elements, kind, "elements of services4");
        }
        for elements in self.v6.elems_iter() {
            writer.write(&elements, kind, "elements of services6");
        }
    }
}
