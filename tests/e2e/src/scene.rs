//! A scene: the lab, a disk of its own, and the VM between the two bridges; and what every story does with them.
//! Must not: share anything with another scene.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_image::layout::Slot;
use lb_lab::cluster::{CLUSTER, EXTERNAL};
use lb_lab::vm::{CLUSTER_MAC, EXTERNAL_MAC, copy_sparse};
use lb_lab::{Boot, HOST01, Lab, LabError, MASTER_ANSWER, Options, Result, Switch, VIP, Vm, VmOptions, cage};
use serde_json::Value;

use crate::artifacts::Artifacts;
use crate::sabotage::{PORT, Saboteur};
use crate::{screen, volume};

pub const SERVICE: &str = "192.168.0.1:30080";
pub const API: &str = "192.168.0.1:6443";
/// Where the cluster is, behind a switch.
pub const VLAN: u16 = 100;
pub const SECOND_VLAN: u16 = 200;
/// From power-on to the prompt or to the first page, emulated, beside another machine.
pub const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// How often a condition that only asking can tell is asked for.
const GLANCE: Duration = Duration::from_millis(100);

/// How the appliance comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// From its disk, by SeaBIOS.
    Bios,
    /// From its disk, by OVMF.
    Uefi,
    /// By its kernel, without the boot loader.
    Kernel,
    /// By its kernel, with the saboteur inside.
    Sabotage,
    /// The same, and no program brings anything to the disk: fsync and its like do nothing.
    Unsynced,
    /// By its kernel, from a root that has no /proc.
    Maimed,
}

/// Everything that stories vary.
#[derive(Debug, Clone)]
pub struct Setting {
    pub start: Start,
    /// Written as /config/lb.toml, unchecked.
    pub config: Option<Vec<u8>>,
    pub lab: Options,
    pub memory_mb: u32,
    /// The disk refuses to be written to.
    pub read_only: bool,
    /// MACs of the links, in their order; the first is on the clients' bridge, the second on the cluster's.
    pub macs: Vec<&'static str>,
    /// The cards after the first are on a switch, and the cluster is in its [`VLAN`] and its [`SECOND_VLAN`].
    pub switched: bool,
    /// Whether the console answers questions for its size.
    pub terminal_answers: bool,
}

impl Setting {
    pub fn new(start: Start, config: impl Into<Vec<u8>>) -> Setting {
        Setting {
            config: Some(config.into()),
            ..Setting::unconfigured(start)
        }
    }

    /// As it comes from the factory.
    pub fn unconfigured(start: Start) -> Setting {
        Setting {
            start,
            config: None,
            lab: Options::default(),
            memory_mb: 256,
            read_only: false,
            macs: vec![EXTERNAL_MAC, CLUSTER_MAC],
            switched: false,
            terminal_answers: true,
        }
    }
}

#[derive(Debug)]
pub struct Scene {
    pub lab: Lab,
    pub disk: PathBuf,
    options: VmOptions,
    setting: Setting,
    switch: Option<Switch>,
    vm: Option<Vm>,
}

impl Scene {
    /// Lays the lab, prepares the disk, and powers the machine on.
    pub fn new(setting: Setting) -> Result<Scene> {
        let mut scene = Scene::dark(setting)?;
        scene.power_on()?;
        Ok(scene)
    }

    /// The same with the power still off.
    pub fn dark(setting: Setting) -> Result<Scene> {
        let lab = Lab::new(setting.lab)?;
        for (number, bridge) in [EXTERNAL, CLUSTER].iter().enumerate() {
            lab.tap(&format!("tap{number}"), bridge)?;
        }
        let switch = setting.switched.then(|| switch(&lab, &setting)).transpose()?;
        let artifacts = Artifacts::locate();
        let original = match setting.start {
            Start::Sabotage | Start::Unsynced | Start::Maimed => &artifacts.sabotage_image,
            _ => &artifacts.image,
        };
        let disk = cage::scratch("disk")?.join("lb.img");
        copy_sparse(original, &disk)?;
        if let Some(config) = &setting.config {
            volume::write(&disk, "lb.toml", config)?;
        }
        let options = vm_options(&setting, &artifacts, &disk);
        Ok(Scene {
            lab,
            disk,
            options,
            setting,
            switch,
            vm: None,
        })
    }

    pub fn power_on(&mut self) -> Result<()> {
        let vm = Vm::start(&self.options)?;
        if !self.setting.terminal_answers {
            vm.console.keep_quiet();
        }
        self.vm = Some(vm);
        Ok(())
    }

    /// From the next time that it is powered on.
    pub fn set_memory(&mut self, megabytes: u32) {
        self.options.memory_mb = megabytes;
    }

    /// From the next time that it is powered on: every write and flush of the disk goes into this empty file, too.
    pub fn log_writes(&mut self, log: Option<PathBuf>) {
        self.options.write_log = log;
    }

    /// Further hardware, from the next time that it is powered on, as QEMU's arguments.
    pub fn attach(&mut self, arguments: Vec<String>) {
        self.options.extra.extend(arguments);
    }

    /// All that was attached is pulled out, from the next time that it is powered on.
    pub fn detach(&mut self) {
        self.options.extra.clear();
    }

    /// The mains fail; the disk keeps what it has.
    pub fn cut_power(&mut self) -> Result<()> {
        self.vm.take().map_or(Ok(()), Vm::power_cut)
    }

    /// `reboot` at the console, up to the next machine's prompt.
    pub fn reboot(&mut self) -> Result<()> {
        let console = &self.vm().console;
        console.reach_prompt("lb> ", BOOT_LIMIT)?;
        console.forget();
        console.send(b"reboot --yes\r")?;
        self.wait_for_restart()
    }

    /// Until the kernel has ended itself and the next one's prompt is there.
    pub fn wait_for_restart(&mut self) -> Result<()> {
        self.vm().wait_for("reboot: Restarting system", BOOT_LIMIT)?;
        self.vm().wait_for_prompt(BOOT_LIMIT)
    }

    pub fn vm(&mut self) -> &mut Vm {
        self.vm.as_mut().expect("the story powered the machine on")
    }

    pub fn switch(&self) -> &Switch {
        self.switch.as_ref().expect("the setting has a switch")
    }

    /// Only where [`Start::Sabotage`] or [`Start::Unsynced`] put one.
    pub fn saboteur(&mut self) -> Result<Saboteur> {
        self.vm().port(PORT).map(Saboteur::new)
    }

    /// Waits for host01's first page; the time since power-on.
    pub fn wait_until_serving(&mut self) -> Result<Duration> {
        self.wait_for_page(BOOT_LIMIT)?;
        Ok(self.vm().powered_on.elapsed())
    }

    /// Waits until host01 gets the page.
    pub fn wait_for_page(&mut self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let fetch = self.lab.curl("host01", SERVICE)?;
            if fetch.is_default_page() {
                return Ok(());
            }
            if started.elapsed() > limit {
                return Err(self.timeout("host01 gets the page", limit, &format!("{fetch:?}")));
            }
        }
    }

    /// Asks for `command --json` until `satisfied`; the document that satisfied.
    pub fn wait_for_report(
        &mut self,
        command: &str,
        limit: Duration,
        satisfied: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let started = Instant::now();
        loop {
            let report = match self.vm().json(command) {
                Ok(report) => report,
                // An error in words: the agent is not there at the moment.
                Err(LabError::Unexpected(words)) => Value::String(words),
                Err(failure) => return Err(failure),
            };
            if satisfied(&report) {
                return Ok(report);
            }
            if started.elapsed() > limit {
                let what = format!("`{command}` reports what is awaited");
                return Err(self.timeout(&what, limit, &format!("{report:#}")));
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Waits until every server of every service has had its first verdict: what is told of that comes no more.
    pub fn wait_until_judged(&mut self) -> Result<()> {
        self.vm().wait_for_prompt(BOOT_LIMIT)?;
        let judged = |report: &Value| {
            let services = report["services"].as_array().into_iter().flatten();
            let mut servers = services
                .flat_map(|service| service["servers"].as_array().into_iter().flatten())
                .peekable();
            servers.peek().is_some() && servers.all(|server| server["health"] != "unproven")
        };
        self.wait_for_report("services", BOOT_LIMIT, judged).map(drop)
    }

    /// Waits until the screen, from the last line on that begins so, is as it is kept under this name. See [`screen::is_as_kept`].
    pub fn screen_is_as_kept(&mut self, name: &str, beginning: &str) -> Result<()> {
        screen::is_as_kept(&self.vm().console, name, beginning)
    }

    fn timeout(&mut self, what: &str, limit: Duration, seen: &str) -> LabError {
        let console = self.vm().console.text();
        let lines: Vec<&str> = console.lines().collect();
        let end = lines[lines.len().saturating_sub(25)..].join("\n");
        LabError::Timeout {
            what: what.into(),
            limit,
            seen: format!("{seen}\n{end}"),
        }
    }

    /// Row 1, this many times in a row.
    pub fn row_1(&self, times: usize) -> Result<()> {
        for number in 1..=times {
            let fetch = self.lab.curl("host01", SERVICE)?;
            assert!(
                fetch.is_default_page(),
                "row 1, request {number} of {times}: {fetch:?}"
            );
        }
        Ok(())
    }

    /// Row 2.
    pub fn row_2(&self) -> Result<()> {
        let fetch = self.lab.curl("host02", SERVICE)?;
        assert!(fetch.timed_out(), "row 2: {fetch:?}");
        Ok(())
    }

    /// Row 3: the pod saw host01, and the lb's checks, and nobody else.
    pub fn row_3(&self) -> Result<()> {
        let clients = self.lab.pod_clients();
        assert!(!clients.is_empty(), "row 3: the pod saw nobody");
        // A TCP check sends no request, so it leaves no line in the log.
        let strangers: Vec<_> = clients
            .iter()
            .filter(|client| client.to_string() != HOST01)
            .collect();
        assert!(strangers.is_empty(), "row 3: the pod saw {strangers:?}");
        Ok(())
    }

    /// Row 4.
    pub fn row_4(&self) -> Result<()> {
        let fetch = self.lab.curl("host01", API)?;
        assert_eq!(fetch.body.trim(), MASTER_ANSWER, "row 4: {fetch:?}");
        Ok(())
    }

    /// Row 5, from every node.
    pub fn row_5(&self) -> Result<()> {
        for node in ["master", "worker01", "worker02"] {
            let fetch = self.lab.curl(node, lb_lab::HOST02)?;
            assert_eq!(fetch.body.trim(), VIP, "row 5 from {node}: {fetch:?}");
        }
        Ok(())
    }

    pub fn rows_1_to_5(&self) -> Result<()> {
        self.row_1(20)?;
        self.row_2()?;
        self.row_3()?;
        self.row_4()?;
        self.row_5()
    }
}

/// The health word of a server in a `services` report.
pub fn health<'a>(services: &'a Value, server: &str) -> Option<&'a str> {
    let services = services["services"].as_array()?;
    let servers = services
        .iter()
        .filter_map(|service| service["servers"].as_array());
    let mut all = servers.flatten();
    all.find(|entry| entry["address"] == server)?["health"].as_str()
}

/// A switch for all cards but the first; both VLANs lead to the cluster's bridge.
fn switch(lab: &Lab, setting: &Setting) -> Result<Switch> {
    let taps = [VLAN, SECOND_VLAN].map(|id| (id, format!("access{id}")));
    for (_, tap) in &taps {
        lab.tap(tap, CLUSTER)?;
    }
    let cards: Vec<usize> = (1..setting.macs.len()).collect();
    Switch::start(&cards, &taps)
}

fn vm_options(setting: &Setting, artifacts: &Artifacts, disk: &Path) -> VmOptions {
    let by_kernel = |slot, init| Boot::Kernel {
        image: artifacts.kernel.clone(),
        cmdline: artifacts.cmdline(slot, init),
    };
    let boot = match setting.start {
        Start::Bios => Boot::Bios,
        Start::Uefi => Boot::Uefi,
        Start::Kernel => by_kernel(Slot::A, "/sbin/init"),
        Start::Sabotage => by_kernel(Slot::A, "/usr/bin/saboteur"),
        // The kernel hands a word that it does not know to its first process.
        Start::Unsynced => by_kernel(Slot::A, "/usr/bin/saboteur without-sync"),
        Start::Maimed => by_kernel(Slot::B, "/sbin/init"),
    };
    let mut options = VmOptions::new("lb", boot, disk);
    options.memory_mb = setting.memory_mb;
    options.read_only = setting.read_only;
    for (number, mac) in setting.macs.iter().enumerate() {
        options = match setting.switched && number > 0 {
            true => options.nic_on_switch(mac),
            false => options.nic(&format!("tap{number}"), mac),
        };
    }
    if matches!(setting.start, Start::Sabotage | Start::Unsynced) {
        options.ports = vec![PORT.into()];
    }
    options
}
