//! One boot of one system in the lab, from QEMU's start on, and the moments that it is measured by. Every boot is alike:
//! same machine, same kernel command line, same client knocking; the disk is a snapshot that forgets.
//! Must not: compare or summarise.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lb_image::layout::{Slot, kernel_command_line};
use lb_lab::cluster::{CLUSTER, EXTERNAL, NODE_PORT};
use lb_lab::vm::{CLUSTER_MAC, EXTERNAL_MAC};
use lb_lab::{Boot, Lab, LabError, Options, VIP, Vm, VmOptions};
use regex::Regex;
use serde::Serialize;

use crate::system::{Parts, System};
use crate::{BenchError, Result};

/// For one boot up to the first answer, on a busy machine and from a disk through OVMF.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// What most boots have.
pub const MEMORY_MB: u32 = 256;
/// The marks that the systems without the appliance leave in the kernel's log; see guest/.
const INIT_MARK: &str = r"bench: init";
const READY_MARK: &str = r"bench: ready";

/// What brings the kernel into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    Direct,
    Bios,
    Uefi,
}

/// The moments of one boot, in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    pub path: Path,
    pub memory_mb: u32,
    /// From power-on until the console has shown that init runs; of the yardstick only.
    pub power_on_to_init: Option<f64>,
    /// On the kernel's clock, from its start.
    pub kernel_to_init: f64,
    /// On the kernel's clock, until all servers are in the table or init says ready.
    pub init_to_ready: Option<f64>,
    pub power_on_to_first_200: Option<f64>,
}

/// The lab with a place for one VM.
#[derive(Debug)]
pub struct Bench {
    /// Its servers end with it.
    _lab: Lab,
    parts: Parts,
}

impl Bench {
    pub fn new(parts: Parts) -> Result<Bench> {
        let lab = Lab::new(Options::default())?;
        lab.tap("tap-ext", EXTERNAL)?;
        lab.tap("tap-int", CLUSTER)?;
        // host01 has talked to the lb before its reboot; asking for its MAC would add up to a second of chance.
        let known = [
            "ip",
            "neigh",
            "replace",
            VIP,
            "lladdr",
            EXTERNAL_MAC,
            "nud",
            "permanent",
            "dev",
            "eth0",
        ];
        lab.ip_netns_exec("host01", &known)?;
        Ok(Bench { _lab: lab, parts })
    }

    fn options(&self, system: System, path: Path, memory_mb: u32) -> VmOptions {
        let boot = match path {
            Path::Bios => Boot::Bios,
            Path::Uefi => Boot::Uefi,
            Path::Direct => Boot::Kernel {
                image: self.parts.kernel.clone(),
                cmdline: kernel_command_line(Slot::A),
            },
        };
        let mut options = VmOptions::new(system.as_str(), boot, &self.parts.disk(system))
            .nic("tap-ext", EXTERNAL_MAC)
            .nic("tap-int", CLUSTER_MAC);
        options.memory_mb = memory_mb;
        options.prompt = system.prompt().into();
        options
    }

    /// A boot that writes to the disk and ends cleanly: what a first boot does once is not measured.
    pub fn first_boot(&self) -> Result<()> {
        let mut vm = Vm::start(&self.options(System::Appliance, Path::Direct, MEMORY_MB))?;
        vm.wait_for_prompt(BOOT_LIMIT)?;
        vm.power_button()?;
        vm.wait_until_off(BOOT_LIMIT)?;
        Ok(())
    }

    /// Boots a product and returns with host01's first 200, and how long after power-on that was.
    pub fn serve(&self, system: System, path: Path, memory_mb: u32) -> Result<(Vm, Duration)> {
        let (vm, client) = self.power_on(system, path, memory_mb)?;
        let answered = client.answered(BOOT_LIMIT).ok_or_else(|| BenchError::NoAnswer {
            system: system.as_str(),
            seconds: BOOT_LIMIT.as_secs(),
            console: vm.console.screen(),
        })?;
        let passed = answered - vm.powered_on;
        Ok((vm, passed))
    }

    /// Boots `system` and takes its times; the machine runs on.
    pub fn boot(&self, system: System, path: Path, memory_mb: u32) -> Result<(Vm, Times)> {
        let mut times = Times {
            path,
            memory_mb,
            power_on_to_init: None,
            kernel_to_init: 0.0,
            init_to_ready: None,
            power_on_to_first_200: None,
        };
        let vm = if system == System::Nothing {
            let (vm, _client) = self.power_on(system, path, memory_mb)?;
            vm.wait_for(INIT_MARK, BOOT_LIMIT)?;
            times.power_on_to_init = Some(vm.powered_on.elapsed().as_secs_f64());
            vm
        } else {
            let (vm, passed) = self.serve(system, path, memory_mb)?;
            times.power_on_to_first_200 = Some(passed.as_secs_f64());
            vm
        };
        self.read_clock(system, &vm, &mut times)?;
        Ok((vm, times))
    }

    /// The client knocks before the machine is on, at the yardstick's door as well: it costs all of them the same.
    fn power_on(&self, system: System, path: Path, memory_mb: u32) -> Result<(Vm, Client)> {
        let mut options = self.options(system, path, memory_mb);
        options.extra.push("-snapshot".into());
        let client = Client::start()?;
        Ok((Vm::start(&options)?, client))
    }

    /// What the guest's own clock says.
    fn read_clock(&self, system: System, vm: &Vm, times: &mut Times) -> Result<()> {
        match system {
            System::Appliance => {
                vm.wait_for_prompt(BOOT_LIMIT)?;
                let status = crate::memory::status(vm)?;
                let stages = status.init.map(|init| init.stages).unwrap_or_default();
                let (Some(first), Some(last)) = (stages.first(), stages.last()) else {
                    return Err(LabError::Unexpected("the appliance reports no boot stages".into()).into());
                };
                times.kernel_to_init = seconds(first.at_ms);
                times.init_to_ready = Some(seconds(last.at_ms + last.took_ms - first.at_ms));
            }
            System::Keepalived => {
                // The first answer can come before the last server is in the table.
                vm.console.wait_for(READY_MARK, BOOT_LIMIT)?;
                let text = vm.console.text();
                times.kernel_to_init = stamp(&text, INIT_MARK)?;
                times.init_to_ready = Some(stamp(&text, READY_MARK)? - times.kernel_to_init);
            }
            System::Nothing => times.kernel_to_init = stamp(&vm.console.text(), INIT_MARK)?,
        }
        Ok(())
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

/// The kernel's time stamp before `mark`, in seconds.
fn stamp(console: &str, mark: &str) -> Result<f64> {
    let expression = Regex::new(&format!(r"\[ *(\d+\.\d+)\] {mark}")).expect("the marks are plain words");
    expression
        .captures(console)
        .and_then(|found| found[1].parse().ok())
        .ok_or_else(|| LabError::Unexpected(format!("the console does not show `{mark}`:\n{console}")).into())
}

/// The client of client.rs in host01's namespace; it ends when dropped.
struct Client {
    child: Child,
    answers: Receiver<Instant>,
}

impl Client {
    fn start() -> Result<Client> {
        let program = std::env::current_exe().map_err(LabError::io("find this program's file"))?;
        let mut child = lb_lab::command::command("ip")
            .args(["netns", "exec", "host01"])
            .arg(program)
            .args(["client", &format!("{VIP}:{NODE_PORT}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(LabError::io("start the client in host01"))?;
        let output = child.stdout.take().expect("stdout is a pipe");
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let line = BufReader::new(output).lines().next();
            if line.is_some_and(|line| line.is_ok()) {
                let _ = sender.send(Instant::now());
            }
        });
        Ok(Client { child, answers })
    }

    /// When the first answer came; `None` without one.
    fn answered(&self, limit: Duration) -> Option<Instant> {
        self.answers.recv_timeout(limit).ok()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_stamp_is_read() {
        let console = "Booting\n[    5.184967] bench: init\nreference> [   12.859075] bench: ready\n";
        assert_eq!(stamp(console, INIT_MARK).unwrap(), 5.184967);
        assert_eq!(stamp(console, READY_MARK).unwrap(), 12.859075);
        assert!(stamp("bench: init", INIT_MARK).is_err(), "without a stamp");
    }
}
