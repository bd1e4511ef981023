//! Reboot and power off: a signal to PID 1, if that is our init.
//! Must not: end the machine by itself.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    Reboot,
    /// A restart of which the next boot does the work.
    FactoryReset,
    Off,
}

impl Power {
    /// What init takes as the order.
    fn signal(self) -> Signal {
        match self {
            Power::Reboot | Power::FactoryReset => Signal::TERM,
            Power::Off => Signal::USR2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Power::Reboot => "reboot",
            Power::FactoryReset => "factory-reset",
            Power::Off => "poweroff",
        }
    }

    /// What is asked before.
    pub fn question(self) -> &'static str {
        match self {
            Power::Off => {
                "Switch the machine off? Connections through it end, and only its switch or its hypervisor starts it again."
            }
            Power::Reboot | Power::FactoryReset => {
                "Restart the machine? Connections through it are cut until it is back."
            }
        }
    }

    /// What happens now, in the words of the console.
    pub fn announcement(self) -> &'static str {
        match self {
            Power::Reboot => "Rebooting: init stops the agent, unmounts /config and restarts the machine.",
            Power::FactoryReset => {
                "Resetting: init restarts the machine, and the next boot deletes what /config holds."
            }
            Power::Off => {
                "Powering off: init stops the agent, unmounts /config and switches the machine off."
            }
        }
    }
}

#[derive(Debug, Error)]
pub enum PowerError {
    #[error("`{}` works on the appliance only: process 1 of this machine is not its init", .0.name())]
    NotOurInit(Power),
    #[error("init cannot be told to {}", .0.name())]
    Signal(Power, #[source] io::Error),
}

/// Whether there is an init that would do it.
pub fn is_possible(power: Power, init_report: &Path) -> Result<(), PowerError> {
    match is_our_init(init_report) {
        true => Ok(()),
        false => Err(PowerError::NotOurInit(power)),
    }
}

/// Tells init; what happens then is its part.
pub fn order(power: Power, init_report: &Path) -> Result<(), PowerError> {
    is_possible(power, init_report)?;
    kill_process(Pid::INIT, power.signal()).map_err(|e| PowerError::Signal(power, e.into()))
}

/// Process 1 runs this executable, or has left its report and bears its name (the overlay root may give the one file
/// two identities).
fn is_our_init(init_report: &Path) -> bool {
    let identity = |path: &str| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let same = identity("/proc/1/exe").is_some_and(|one| identity("/proc/self/exe") == Some(one));
    let named =
        || fs::read_to_string("/proc/1/comm").is_ok_and(|name| matches!(name.trim(), "init" | "appliance"));
    same || (init_report.exists() && named())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_not_the_appliance_stays_up() {
        let nowhere = Path::new("/nonexistent/init.json");
        assert!(!is_our_init(nowhere));
        for power in [Power::Reboot, Power::FactoryReset, Power::Off] {
            let error = order(power, nowhere).unwrap_err();
            assert!(matches!(error, PowerError::NotOurInit(_)));
            assert!(error.to_string().contains("works on the appliance only"));
        }
    }
}
