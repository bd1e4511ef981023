//! Where a power cut may leave a disk, by the log of a run: at each flush, with choices of the writes up to the next one, torn ones
//! among them; and when each step was acknowledged, with all that was written by then, which is the kindest disk of that moment.
//! Must not: judge what is on such a disk.

use std::io;
use std::ops::RangeInclusive;
use std::time::Instant;

use crate::crash::{Judged, Step};
use crate::write_log::{self, Disk, Entry};

/// What was recorded: the disk before, everything that it was told, and what was asked of the appliance meanwhile.
#[derive(Debug)]
pub struct Run {
    pub base: Disk,
    pub entries: Vec<Entry>,
    pub steps: Vec<Step>,
}

/// When the power was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After this flush; of what follows up to the next one this choice has arrived, and of choice 0 nothing.
    Flush { number: usize, choice: usize },
    /// When the step with this number was acknowledged; all that was written has arrived.
    Acknowledged(usize),
}

/// A disk as a power cut has left it.
#[derive(Debug)]
pub struct Cut {
    pub moment: Moment,
    pub disk: Disk,
    /// What it may show: from the last step that was acknowledged to the last that was begun.
    pub steps: RangeInclusive<usize>,
    /// The first configuration was acknowledged, so that its copies exist.
    pub settled: bool,
}

impl Run {
    /// `choices`: of the writes between two flushes, at every flush as many; behind `until` there is no further one. So many there were.
    pub fn each_cut(
        &self,
        choices: usize,
        until: Instant,
        chance: &mut Chance,
        mut look: impl FnMut(Cut) -> Judged<()>,
    ) -> Judged<usize> {
        self.at_acknowledgements(&mut look)?;
        for choice in 0..=choices {
            if choice > 1 && Instant::now() >= until {
                return Ok(choice - 1);
            }
            self.at_flushes(choice, chance, &mut look)?;
        }
        Ok(choices)
    }

    fn at_flushes(
        &self,
        choice: usize,
        chance: &mut Chance,
        look: &mut impl FnMut(Cut) -> Judged<()>,
    ) -> Judged<()> {
        let mut disk = self.base.clone();
        for (number, epoch) in write_log::epochs(&self.entries).into_iter().enumerate() {
            let steps = allowed(&self.steps, &self.entries, epoch.start, epoch.end);
            let settled = *steps.start() > 0 || epoch.start >= self.steps[0].acknowledged;
            let writes = &self.entries[epoch];
            if choice == 0 || !writes.is_empty() {
                let mut some = disk.clone();
                if choice > 0 {
                    write_some(&mut some, writes, chance)?;
                }
                look(Cut {
                    moment: Moment::Flush { number, choice },
                    disk: some,
                    steps,
                    settled,
                })?;
            }
            disk.write_all(writes)?;
        }
        Ok(())
    }

    fn at_acknowledgements(&self, look: &mut impl FnMut(Cut) -> Judged<()>) -> Judged<()> {
        let (mut disk, mut written) = (self.base.clone(), 0);
        for (number, step) in self.steps.iter().enumerate() {
            disk.write_all(&self.entries[written..step.acknowledged])?;
            written = step.acknowledged;
            look(Cut {
                moment: Moment::Acknowledged(number),
                disk: disk.clone(),
                steps: number..=number,
                settled: true,
            })?;
        }
        Ok(())
    }
}

/// Which steps a disk may show that has all of the log up to a flush, and some of what follows up to the next one: from the
/// last that was acknowledged behind that flush's predecessors, to the last that was begun.
fn allowed(steps: &[Step], entries: &[Entry], flushed: usize, next: usize) -> RangeInclusive<usize> {
    let last_flush = |before: usize| {
        let flush = entries[..before].iter().rposition(|entry| *entry == Entry::Flush);
        flush.map_or(0, |place| place + 1)
    };
    let durable = |step: &Step| last_flush(step.acknowledged) <= flushed;
    let required = steps.iter().rposition(durable).unwrap_or(0);
    let begun = steps.iter().rposition(|step| step.begun <= next).unwrap_or(0);
    required..=begun.max(required)
}

/// xorshift64: the choice of a run can be had again by its seed.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Of these writes some arrive, some do not, and some arrive in part: a sector is whole or not at all.
pub fn write_some(disk: &mut Disk, entries: &[Entry], chance: &mut Chance) -> io::Result<()> {
    let one_that_fails = chance.below(2) == 0;
    let chosen = chance.below(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        let Entry::Write { at, bytes } = entry else {
            continue;
        };
        let lot = match one_that_fails {
            true if place == chosen => 1 + chance.below(2),
            true => 0,
            false => chance.below(3),
        };
        disk.write(*at, bytes, || match lot {
            0 => true,
            1 => false,
            _ => chance.below(2) == 0,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::State;

    fn step(name: &'static str, begun: usize, acknowledged: usize) -> Step {
        Step {
            name,
            begun,
            acknowledged,
            state: State {
                text: Some(String::new()),
                drained: false,
                identity: false,
            },
            meanwhile: None,
        }
    }

    #[test]
    fn what_was_acknowledged_is_required_from_the_flush_before_it() {
        let write = Entry::Write {
            at: 0,
            bytes: Vec::new(),
        };
        let entries = [write.clone(), Entry::Flush, write.clone(), Entry::Flush, write];
        let steps = [step("old", 0, 0), step("new", 2, 5)];
        assert_eq!(allowed(&steps, &entries, 0, 1), 0..=0);
        assert_eq!(allowed(&steps, &entries, 2, 3), 0..=1);
        assert_eq!(allowed(&steps, &entries, 4, 5), 1..=1);
    }
}
