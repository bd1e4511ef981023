//! The rows of `bench compare` that `bench figures` takes with more samples: a boot up to the first answer, and the memory
//! of the scenario's configuration. Must not: render, or judge.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::boot::{Bench, MEMORY_MB, Path};
use crate::memory::{self, Resident};
use crate::system::System;
use crate::{Result, say};

/// Of each side, in turn.
const BOOTS: usize = 3;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Boots {
    /// Seconds from power-on to host01's first 200, by a direct kernel boot.
    pub first_200: BTreeMap<System, Vec<f64>>,
    /// Of the last boot.
    pub resident: BTreeMap<System, Resident>,
}

impl Boots {
    /// Inside a cage, with the disks made.
    pub fn measure(bench: &Bench, systems: &[System]) -> Result<Boots> {
        let mut boots = Boots::default();
        if systems.contains(&System::Appliance) {
            bench.first_boot()?;
        }
        for number in 1..=BOOTS {
            for system in systems {
                boots.boot(bench, *system, number == BOOTS)?;
            }
        }
        Ok(boots)
    }

    fn boot(&mut self, bench: &Bench, system: System, last: bool) -> Result<()> {
        let (vm, times) = bench.boot(system, Path::Direct, MEMORY_MB)?;
        let seconds = times.power_on_to_first_200.unwrap_or(f64::NAN);
        say(&format!("boot: {system}: first 200 after {seconds:.2} s"));
        self.first_200.entry(system).or_default().push(seconds);
        if last {
            let resident = match system {
                System::Keepalived => memory::of_keepalived(&vm)?,
                _ => memory::of_appliance(&vm)?,
            };
            self.resident.insert(system, resident);
        }
        Ok(vm.power_cut()?)
    }
}
