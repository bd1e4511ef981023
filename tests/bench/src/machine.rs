//! A side that is watched from the inside: its VM, with the saboteur's line in front of its init to run commands and to read how
//! busy it was. Must not: know what is measured.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lb_e2e::sabotage::{PORT, Saboteur};
use lb_image::config_volume;
use lb_image::layout::Slot;
use lb_lab::vm::{CLUSTER_MAC, EXTERNAL_MAC, copy_sparse};
use lb_lab::{Boot, LabError, Vm, VmOptions, cage};
use serde::Serialize;

use crate::gauge::{Reading, Span};
use crate::system::Parts;
use crate::{BenchError, Result};

/// For anything to happen in an emulated machine, beside others that take most of the host's time.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
/// For one command inside of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(600);
/// Between two looks at something that only asking can tell.
const GLANCE: Duration = Duration::from_millis(50);
/// Room for the connections of a whole run, with the same on both sides.
const MEMORY_MB: u32 = 1024;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Appliance,
    Reference,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Appliance => "appliance",
            Side::Reference => "reference",
        }
    }
}

/// How the machine's time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// A nanosecond for each instruction; see `VmOptions::counting`.
    Counting,
    /// As on the machine that runs it.
    Wall,
}

#[derive(Debug)]
pub struct Machine {
    pub vm: Vm,
    line: Saboteur,
}

impl Machine {
    /// Boots `side` with `files` on its config volume, and returns when its saboteur answers.
    pub fn start(parts: &Parts, side: Side, clock: Clock, files: &[(&str, String)]) -> Result<Machine> {
        let mut vm = Vm::start(&options(side, clock, parts, disk(parts, side, files)?))?;
        let line = vm.port(PORT)?;
        line.set_read_timeout(Some(ANSWER_LIMIT))
            .map_err(LabError::io("limit the wait for a virtio port"))?;
        let machine = Machine {
            vm,
            line: Saboteur::new(line),
        };
        machine.reading()?;
        Ok(machine)
    }

    /// Runs a command inside, without spaces inside of its words; its standard output.
    pub fn sh(&self, line: &str) -> Result<String> {
        Ok(self.line.sh(line)?)
    }

    /// A file of /proc.
    pub fn proc(&self, path: &str) -> Result<String> {
        Ok(self.line.proc(path)?)
    }

    /// Of the reference: its network is as its rcS makes it.
    pub fn wait_until_set_up(&self) -> Result<()> {
        self.vm.wait_for("bench: ready", BOOT_LIMIT)?;
        Ok(())
    }

    pub fn reading(&self) -> Result<Reading> {
        let text = self.proc("timer_list")?;
        Reading::parse(&text)
            .ok_or_else(|| LabError::Unexpected(format!("/proc/timer_list says:\n{text}")).into())
    }

    /// What the machine does by itself in this time.
    pub fn background(&self, length: Duration) -> Result<Span> {
        let before = self.reading()?;
        std::thread::sleep(length);
        Ok(self.reading()? - before)
    }

    /// Asks until `satisfied`; what was said then.
    pub fn wait_until(
        &self,
        what: &str,
        mut ask: impl FnMut(&Machine) -> Result<String>,
        satisfied: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let started = Instant::now();
        loop {
            let said = ask(self).unwrap_or_else(|failure| lb_lab::error::chain(&failure));
            if satisfied(&said) {
                return Ok(said);
            }
            if started.elapsed() > BOOT_LIMIT {
                return Err(LabError::Timeout {
                    what: what.to_owned(),
                    limit: BOOT_LIMIT,
                    seen: format!("{said}\n{}", self.vm.console.screen()),
                }
                .into());
            }
            std::thread::sleep(GLANCE);
        }
    }

    pub fn stop(self) -> Result<()> {
        Ok(self.vm.power_cut()?)
    }
}

/// A disk of the machine's own.
fn disk(parts: &Parts, side: Side, files: &[(&str, String)]) -> Result<PathBuf> {
    let original = match side {
        Side::Appliance => parts.watched().sabotage_image,
        Side::Reference => parts.reference_disk(),
    };
    let disk = cage::scratch("disks")?.join(format!("{}.img", side.as_str()));
    copy_sparse(&original, &disk)?;
    for (name, text) in files {
        config_volume::write(&disk, name, text.as_bytes()).map_err(|source| BenchError::Config {
            image: disk.clone(),
            source,
        })?;
    }
    Ok(disk)
}

fn options(side: Side, clock: Clock, parts: &Parts, disk: PathBuf) -> VmOptions {
    let boot = Boot::Kernel {
        image: parts.kernel.clone(),
        cmdline: parts.watched().cmdline(Slot::A, "/usr/bin/saboteur"),
    };
    let mut options = VmOptions::new(side.as_str(), boot, &disk)
        .nic("tap-ext", EXTERNAL_MAC)
        .nic("tap-int", CLUSTER_MAC);
    options.memory_mb = MEMORY_MB;
    options.smp = 1;
    options.counting = clock == Clock::Counting;
    options.ports = vec![PORT.into()];
    options.prompt = match side {
        Side::Appliance => "lb> ".into(),
        Side::Reference => "reference> ".into(),
    };
    options
}
