//! One vocabulary for every front end: what can be asked of the agent, and what it answers.
//! On the control socket a request is one line of JSON and so is its response. Human output and `--json` render the
//! same report structs. Must not: format for humans, or know the socket.

mod changes;
mod console;
mod counters;
mod explain;
mod files;
mod kept;
mod network;
mod pools;
mod probe;
mod transfer;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::path::{Packet, PathReport};
use crate::traffic::{Traffic, TrafficRates};
pub use changes::*;
pub use console::*;
pub use counters::*;
pub use explain::*;
pub use files::*;
pub use kept::*;
pub use network::*;
pub use pools::*;
pub use probe::*;
pub use transfer::*;

/// Where the agent listens.
pub const SOCKET: &str = "/run/lb/control.sock";
/// Where init leaves its [`InitReport`], replaced whole at each change.
pub const INIT_REPORT: &str = "/run/lb/init.json";
/// Where the agent counts, a decimal number, for as long as its loop turns. Made anew at its start.
pub const AGENT_PULSE: &str = "/run/lb/agent.pulse";
/// How often it counts, and how often init looks.
pub const PULSE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    Status,
    /// All services, or the one with this name.
    Services {
        name: Option<String>,
    },
    /// Checks all servers, or those of this service, without waiting for their turn.
    CheckNow {
        name: Option<String>,
    },
    /// Sets a server (`ADDRESS:PORT`) or a machine (`ADDRESS`) aside, in one service or everywhere.
    Drain {
        server: String,
        service: Option<String>,
    },
    /// What such a drain would cost now, as the warnings of its report. Nothing is changed.
    DrainCosts {
        server: String,
        service: Option<String>,
    },
    /// Takes that back: exactly that, or the only one that these words are about.
    Undrain {
        server: String,
        service: Option<String>,
    },
    /// What is checked, of all services or of the one with this name.
    Checks {
        name: Option<String>,
    },
    /// Makes one check now, which counts for nothing: SERVICE SERVER, or TYPE ADDRESS:PORT KEY=VALUE.
    Probe {
        words: Vec<String>,
        /// Not made: what it would ask, and by which way; there is a reason if it cannot be made.
        #[serde(default)]
        only_tell: bool,
        /// Which check of a server with several, from 0.
        #[serde(default)]
        place: usize,
    },
    /// All that is set aside.
    Drains,
    /// Whether clients' addresses survive, of all services or of the one with this name.
    Doctor {
        name: Option<String>,
    },
    /// The last events, of all or of those that name this service or server.
    Events {
        last: usize,
        about: Option<String>,
    },
    Interfaces,
    Gateway,
    /// The way of this packet through the machine.
    Path(Packet),
    /// The machine, its links and all services in one line each; and the servers of this service.
    Counters {
        service: Option<String>,
    },
    /// At most this many connections are listed.
    Connections {
        limit: usize,
    },
    /// The text of lb.toml, or of another one that is kept.
    ConfigShow {
        kept: Option<Kept>,
    },
    /// Validates this text, or the lb.toml on disk.
    ConfigCheck {
        text: Option<String>,
        /// As which it is told, if it is another file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Validates this text, writes it as lb.toml, and applies it.
    ConfigPut {
        text: String,
        #[serde(default)]
        terms: Terms,
    },
    /// Reads lb.toml and applies it.
    ConfigApply {
        terms: Terms,
    },
    /// The whole state as one text, with or without private keys.
    ConfigExport {
        without_keys: bool,
    },
    /// What an import of this text would change.
    ConfigImportDiff {
        text: String,
        #[serde(default)]
        without_rehearsal: bool,
    },
    /// Puts the whole state in force that `ConfigExport` has given.
    ConfigImport {
        text: String,
        terms: Terms,
    },
    /// Keeps the configuration that is pending.
    ConfigConfirm {
        by: String,
    },
    /// Returns at once to the configuration before the pending one.
    ConfigAbort {
        by: String,
    },
    /// What would change: lb.toml against what is in force; the kept text `from`, or the given `text`, against that; or two texts that
    /// are kept.
    ConfigDiff {
        from: Option<Kept>,
        to: Option<Kept>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(default)]
        without_rehearsal: bool,
    },
    /// The configurations that were applied.
    ConfigHistory,
    /// The files of the config volume, and what names them.
    ConfigFiles,
    /// Removes one that somebody has put there, and that nothing names.
    ConfigRemove {
        name: String,
        by: String,
    },
    /// Puts a text that is kept in force, as `ConfigPut` does one that is given.
    ConfigRollback {
        kept: Kept,
        terms: Terms,
    },
    /// Something has happened at a console (`console ttyS0`) that belongs on record.
    Console {
        console: String,
        news: ConsoleNews,
    },
    Version,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(
    clippy::large_enum_variant,
    reason = "one response lives at a time, for one request"
)]
pub enum Response {
    Status(StatusReport),
    Services(ServicesReport),
    CheckNow(CheckNowReport),
    Checks(TargetsReport),
    Probe(ProbeReport),
    Drains(DrainsReport),
    Doctor(DoctorReport),
    Events(EventsReport),
    Interfaces(InterfacesReport),
    Gateway(GatewayReport),
    Path(PathReport),
    Counters(CountersReport),
    Connections(ConnectionsReport),
    Config(ConfigText),
    Check(CheckReport),
    Apply(ApplyReport),
    Diff(DiffReport),
    History(HistoryReport),
    Files(FilesReport),
    Console(ConsoleReport),
    Export(ExportReport),
    Version(VersionReport),
    /// The request could not be carried out; one sentence with the remedy.
    Error {
        message: String,
    },
}

/// Checks that were begun; `services` tells what they find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckNowReport {
    pub checks: usize,
}

/// What is in force, and whether it is what the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigSource {
    /// /config/lb.toml.
    File,
    /// The last configuration that was applied successfully, because lb.toml has faults or is missing.
    LastApplied,
    /// The copy outside the config volume.
    Mirror,
    /// The newest one of the history that can be used.
    History,
    /// One that is on trial, and returns unless it is confirmed.
    Pending,
    /// Nothing: no services, no addresses.
    None,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    pub hostname: String,
    pub version: String,
    /// Since the kernel started.
    pub uptime_ms: u64,
    pub config: ConfigStatus,
    /// One sentence each, with the remedy; empty when all is well.
    pub problems: Vec<String>,
    pub services: usize,
    pub servers_up: usize,
    /// Those that fail their checks, but for what is set aside.
    #[serde(default)]
    pub servers_down: usize,
    /// Those that `drain` has set aside, whatever their checks say.
    #[serde(default)]
    pub servers_drained: usize,
    pub servers: usize,
    pub reconcile: ReconcileStatus,
    pub agent: AgentStatus,
    pub conntrack_count: u64,
    pub conntrack_max: u64,
    /// Whether consoles have a password.
    #[serde(default)]
    pub console: ConsoleReport,
    /// `None` when the agent does not run under our init.
    pub init: Option<InitReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    pub source: ConfigSource,
    /// False when /config does not survive a reboot.
    pub persistent: bool,
    /// Since the configuration in force was put in force; `None` without one.
    pub age_ms: Option<u64>,
    /// While it is on trial.
    #[serde(default)]
    pub pending: Option<PendingReport>,
    /// What has taken lb.toml's place when the agent started, in a sentence: a seed, or a choice of the boot menu.
    #[serde(default)]
    pub replaced: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ReconcileStatus {
    /// Since the kernel's state was last read back whole.
    pub age_ms: Option<u64>,
    /// Steps that were needed because somebody else had changed what we own.
    pub repairs: u64,
    /// What the kernel refused in the last pass.
    pub failed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub pid: u32,
    pub uptime_ms: u64,
    /// Resident memory of the agent and of init, from /proc/PID/status (VmRSS).
    pub resident_kb: u64,
    pub init_resident_kb: u64,
    /// Between when a check was due and when it began, at most, within the last minute or two.
    #[serde(default)]
    pub checks_late_ms: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServicesReport {
    /// When the counters were read, since the kernel started; 0 if they could not be read.
    pub read_at_ms: u64,
    pub services: Vec<ServiceReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceReport {
    pub name: String,
    /// `192.168.0.1:30080`; of a service of several ports all of them, `192.168.0.1:80, 192.168.0.1:30000-32767`.
    pub listen: String,
    /// `tcp`, `tcp, udp`.
    pub protocol: String,
    /// The mark by which IPVS tells a service of several ports, `0x4c12ab34`.
    #[serde(default)]
    pub fwmark: Option<String>,
    pub scheduler: String,
    /// `nat`, `direct`, `tunnel`, `tunnel gue 5555 checksum`; empty without servers.
    #[serde(default)]
    pub forward: String,
    /// Whose turn it is: `primary`, `below-quorum`, `backup`, `sorry`, `held`, `kept-last`, `all`, `waiting`, `empty`.
    #[serde(default)]
    pub mode: String,
    /// The weight of primary servers that has to be up, and that of those which are and are not set aside.
    #[serde(default)]
    pub quorum: u64,
    #[serde(default)]
    pub weight_up: u64,
    /// `null`: the kernel does not hold it.
    pub traffic: Option<Traffic>,
    /// `null`: not asked for, or counted anew since the reading before.
    pub rates: Option<TrafficRates>,
    pub servers: Vec<ServerReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerReport {
    /// `172.16.0.11:30080`.
    pub address: String,
    pub health: HealthWord,
    /// Since `health` has been what it is.
    pub since_ms: u64,
    /// In the kernel now; 0 also when the server is not in the table.
    pub weight: u32,
    pub configured_weight: u32,
    /// Established.
    pub active_connections: u32,
    /// All others that are still in the table.
    pub inactive_connections: u32,
    /// `null`: the server is not in the kernel's table.
    pub traffic: Option<Traffic>,
    /// `null`: not asked for, or counted anew since the reading before.
    pub rates: Option<TrafficRates>,
    /// `None` before the first check has ended.
    pub last_check: Option<LastCheckReport>,
    /// Not of a server with one check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub several: Option<Box<SeveralReport>>,
    #[serde(flatten)]
    pub standing: StandingReport,
}

/// The checks of a server that has several. What the server's report says of a check is of the one that decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeveralReport {
    /// The worst of `checks`, as that calls it.
    pub decides: String,
    /// How many of them pass.
    pub passing: usize,
    /// In the order of lb.toml.
    pub checks: Vec<OneOfSeveral>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneOfSeveral {
    /// `http :8080`: the word of the file, and where it goes if that is not where the traffic does.
    pub check: String,
    pub health: HealthWord,
    pub since_ms: u64,
    pub last_check: Option<LastCheckReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthWord {
    Up,
    /// It passes, and has to prove for some time that it stays up.
    Held,
    Down,
    Unproven,
    CannotCheck,
}

impl HealthWord {
    pub fn as_str(self) -> &'static str {
        match self {
            HealthWord::Up => "up",
            HealthWord::Held => "held",
            HealthWord::Down => "down",
            HealthWord::Unproven => "unproven",
            HealthWord::CannotCheck => "cannot-check",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastCheckReport {
    pub ok: bool,
    /// `SYN-ACK`, `connected`, `connection refused`, `no answer within 10s`, `eth1 has no carrier`.
    pub reason: String,
    pub latency_ms: f64,
    pub age_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText {
    /// Where the text is from: `/config/lb.toml`.
    pub path: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    pub ok: bool,
    pub faults: Vec<FaultReport>,
    /// All faults as the operator reads them: place, line, caret, what is allowed. Empty when `ok`.
    pub rendered: String,
    /// Valid, but worth knowing (an interface that this machine does not have).
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// What is allowed.
    pub help: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReport {
    /// False: nothing was changed; `check` says why.
    pub applied: bool,
    pub check: CheckReport,
    /// The steps that were carried out, as lines.
    pub steps: Vec<String>,
    /// What has changed besides and takes no step: `checks of nginx`.
    #[serde(default)]
    pub changed: Vec<String>,
    /// What the kernel refused, as `STEP: ERRNO`.
    pub failed: Vec<String>,
    /// Whether the configuration will be there after a power cut; the reason if not.
    pub persisted: bool,
    pub persist_fault: Option<String>,
    /// Whether the copy outside of the config volume has it: a start uses that where it can read no configuration on the volume.
    #[serde(default)]
    pub mirrored: bool,
    #[serde(default)]
    pub state: ChangeState,
    /// While it is on trial.
    #[serde(default)]
    pub pending: Option<PendingReport>,
    /// Its number in the history, once it is there.
    #[serde(default)]
    pub number: Option<u64>,
    /// The entry before it, by which a rollback goes back.
    #[serde(default)]
    pub former: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReport {
    pub version: String,
    /// uname -r.
    pub kernel: String,
    /// The slot that this boot came from: `a` or `b`.
    pub slot: Option<String>,
}

/// What init has done and sees; the agent and the console read it, only init writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct InitReport {
    pub stages: Vec<StageReport>,
    pub config_volume: VolumeReport,
    pub agent_pid: Option<u32>,
    /// Since boot, not counting the first start.
    pub agent_restarts: u64,
    /// How the last agent ended: `killed by SIGKILL`, `exit status 101`.
    pub agent_last_exit: Option<String>,
    /// The next start is held back by this much.
    pub agent_backoff_ms: u64,
    /// What resets the machine when init hangs: `i6300ESB timer, 30 s`; `None`: nothing does.
    #[serde(default)]
    pub watchdog: Option<String>,
    pub slot: Option<String>,
    /// What went wrong at boot, one sentence each with the remedy.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageReport {
    pub name: String,
    /// Since the kernel started.
    pub at_ms: u64,
    pub took_ms: u64,
    /// The reason, if the stage failed.
    pub failed: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeState {
    #[default]
    NotMounted,
    /// Read and write, survives a power cut.
    Persistent,
    /// The file system was damaged and was made anew; what could be rescued was put back.
    Restored,
    /// Mounted read-only: what is there is used, nothing can be saved.
    ReadOnly,
    /// In memory: nothing survives a reboot.
    Memory,
}

/// How what is told of a config volume without room begins, whoever tells it.
pub const VOLUME_FULL: &str = "the config volume is full";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct VolumeReport {
    pub state: VolumeState,
    /// One sentence, empty when persistent.
    pub detail: String,
}
