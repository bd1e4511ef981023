//! What is in a support bundle: answers of the agent, what the kernel says itself, and files; each without its secrets. What cannot be had says why.
//! Must not: leave out the rest because of one that is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lb_agent::{APPLIED_FILE, PENDING_FILE, RETURNED_FILE};
use lb_core::bundle::{File, Keep};
use lb_core::control::{Request, Response};
use lb_core::listing;
use lb_core::neighbours::NeighboursReport;
use lb_core::ports::{KernelError, KernelPort};
use lb_core::secrets::{Redacted, redact, scrub};
use lb_kernel::{Kernel, NetworkView, Parts, network_settings};

use super::super::execute::Context;
use super::super::failure::Failure;
use super::super::log::{Log, Wanted};
use super::super::render::{self, Screen};

/// Wide enough that tables stay tables.
const SCREEN: Screen = Screen {
    width: 120,
    colour: false,
};
/// Of the kernel's log, and of events.
const LOG_LINES: usize = 4_000;
const EVENTS: usize = 1_000;
/// What the kernel tells of itself, for which no command has words.
const KERNEL_FILES: [&str; 13] = [
    "/proc/version",
    "/proc/cmdline",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/interrupts",
    "/proc/net/dev",
    "/proc/net/softnet_stat",
    "/proc/net/snmp",
    "/proc/net/netstat",
    "/proc/net/stat/nf_conntrack",
    "/proc/net/ip_vs_stats",
];

struct Gathering<'g, 'c> {
    context: &'g Context<'c>,
    secrets: BTreeSet<String>,
    files: Vec<File>,
}

pub fn gather(context: &Context<'_>) -> Result<Vec<File>, Failure> {
    let mut gathering = Gathering {
        context,
        secrets: BTreeSet::new(),
        files: Vec::new(),
    };
    // First, for their secrets are looked for in all others.
    gathering.configurations();
    gathering.answers()?;
    gathering.documents();
    gathering.kernel();
    gathering.on_disk();
    let Gathering { secrets, files, .. } = gathering;
    let scrubbed = files.into_iter().map(|file| match file.name.ends_with(".toml") {
        // It has lost its secrets one by one, and keeps its lines.
        true => file,
        false => File {
            text: scrub(&file.text, &secrets),
            ..file
        },
    });
    Ok(scrubbed.collect())
}

impl Gathering<'_, '_> {
    fn add(&mut self, name: &'static str, about: &'static str, text: String, keep: Keep) {
        self.files.push(File::new(name, about, text, keep));
    }

    fn configurations(&mut self) {
        let file = &self.context.places.config_file;
        let of_agent = match self.context.ask(&Request::ConfigShow { kept: None }) {
            Ok(Response::Config(config)) => Some(config.text),
            _ => None,
        };
        let text = of_agent.or_else(|| fs::read_to_string(file).ok());
        let redacted = self.configuration(
            "lb.toml",
            "the configuration, without its secrets and comments",
            text,
        );
        let faults = match redacted.map(|text| (lb_core::config::parse(&text), text)) {
            Some((Ok(_), _)) => "no faults\n".to_owned(),
            Some((Err(faults), text)) => faults.render("lb.toml", &text),
            None => {
                "not looked at: it is not there, or is no TOML; `config check` shows its faults\n".to_owned()
            }
        };
        self.add(
            "config-check.txt",
            "the faults of lb.toml, if it has any",
            faults,
            Keep::First,
        );
        for (name, about) in [
            (
                APPLIED_FILE,
                "the last configuration that was applied without a fault",
            ),
            (PENDING_FILE, "a configuration on trial"),
            (RETURNED_FILE, "the last one that was not confirmed"),
        ] {
            if let Ok(text) = fs::read_to_string(file.with_file_name(name)) {
                self.configuration(name, about, Some(text));
            }
        }
    }

    /// What of it may be shown.
    fn configuration(
        &mut self,
        name: &'static str,
        about: &'static str,
        text: Option<String>,
    ) -> Option<String> {
        let redacted = text.as_deref().map(redact);
        let shown = match redacted {
            None => "there is none\n".to_owned(),
            Some(None) => {
                "left out: it is no TOML, so that secrets in it cannot be told from the rest\n".to_owned()
            }
            Some(Some(Redacted { text, secrets })) => {
                self.secrets.extend(secrets);
                self.add(name, about, text.clone(), Keep::First);
                return Some(text);
            }
        };
        self.add(name, about, shown, Keep::First);
        None
    }

    fn answers(&mut self) -> Result<(), Failure> {
        let events = Request::Events {
            last: EVENTS,
            about: None,
        };
        let differences = Request::ConfigDiff {
            from: None,
            to: None,
            text: None,
            // What it would do is shown, also where the kernel refuses a part of it.
            without_rehearsal: true,
        };
        for (name, about, request) in [
            ("version.txt", "versions, and the slot", Request::Version),
            (
                "status.txt",
                "problems, what is in force, the agent, the boot",
                Request::Status,
            ),
            (
                "services.txt",
                "services and their servers",
                Request::Services { name: None },
            ),
            (
                "checks.txt",
                "what is checked, and what was found",
                Request::Checks { name: None },
            ),
            ("drains.txt", "what is set aside", Request::Drains),
            (
                "doctor.txt",
                "whether clients' addresses survive",
                Request::Doctor { name: None },
            ),
            ("events.txt", "what has happened", events),
            (
                "interfaces.txt",
                "links, addresses and counters",
                Request::Interfaces,
            ),
            (
                "gateway.txt",
                "forwarding, masquerade, connection tracking",
                Request::Gateway,
            ),
            (
                "history.txt",
                "configurations that were applied",
                Request::ConfigHistory,
            ),
            (
                "config-diff.txt",
                "what lb.toml and the kernel differ in from what is in force",
                differences,
            ),
        ] {
            let text = match self.context.ask(&request) {
                Ok(response) => render::report(&without_texts(response), &SCREEN),
                Err(Failure::Ask(super::super::client::AskError::Interrupted)) => {
                    return Err(super::super::client::AskError::Interrupted.into());
                }
                Err(failure) => format!("not known: {}\n", failure.sentence()),
            };
            self.add(name, about, text, Keep::First);
        }
        Ok(())
    }

    fn documents(&mut self) {
        for (name, about, request) in [
            ("status.json", "the same for programs", Request::Status),
            (
                "services.json",
                "the same for programs",
                Request::Services { name: None },
            ),
            (
                "counters.json",
                "counters of the machine, links and services",
                Request::Counters { service: None },
            ),
        ] {
            if let Ok(response) = self.context.ask(&request) {
                // What came as JSON goes as JSON.
                let text = serde_json::to_string_pretty(&response).unwrap_or_default();
                self.add(name, about, text + "\n", Keep::First);
            }
        }
    }

    fn kernel(&mut self) {
        let mut log = Vec::new();
        let wanted = Wanted {
            last: LOG_LINES,
            all: true,
        };
        let read = Log::open().and_then(|mut opened| opened.show(wanted, &mut log, None));
        let text = match read {
            Ok(()) => String::from_utf8_lossy(&log).into_owned(),
            Err(error) => format!("not known: {}\n", Failure::from(error).sentence()),
        };
        self.add(
            "log.txt",
            "the log of the kernel, init and the agent",
            text,
            Keep::Last,
        );
        let [ruleset, ipvs] = held();
        self.add(
            "ruleset.txt",
            "the rules that the kernel holds",
            ruleset,
            Keep::First,
        );
        self.add("ipvs.txt", "the services that IPVS holds", ipvs, Keep::First);
        let settings = network_settings();
        let lines = settings.iter().map(|(name, value)| format!("{name} = {value}\n"));
        self.add(
            "sysctls.txt",
            "the kernel's settings of the network",
            lines.collect(),
            Keep::First,
        );
        let [neighbours, routes] = near();
        self.add(
            "neighbours.txt",
            "ARP and neighbour discovery",
            neighbours,
            Keep::First,
        );
        self.add("routes.txt", "the routing tables", routes, Keep::First);
    }

    fn on_disk(&mut self) {
        let init = fs::read_to_string(&self.context.places.init_report);
        let text = init.unwrap_or_else(|error| format!("not known: {error}\n"));
        self.add(
            "init.json",
            "stages of the boot, restarts of the agent",
            text,
            Keep::First,
        );
        let texts = KERNEL_FILES.iter().map(|path| {
            let text = fs::read_to_string(Path::new(path)).unwrap_or_else(|error| format!("{error}\n"));
            format!("--- {path}\n{text}\n")
        });
        self.add(
            "kernel.txt",
            "memory, interrupts and counters of the kernel",
            texts.collect(),
            Keep::First,
        );
    }
}

/// Lines of lb.toml and of the history stay out of an answer: their secrets are not all known.
fn without_texts(response: Response) -> Response {
    match response {
        Response::Diff(mut report) => {
            report.text.clear();
            report.check.rendered.clear();
            Response::Diff(report)
        }
        other => other,
    }
}

/// The ruleset, and IPVS where the kernel has it.
fn held() -> [String; 2] {
    let read = |ipvs| Kernel::open(Parts { ipvs }).and_then(|mut kernel| kernel.observe(&BTreeSet::new()));
    let rules = |observed: &lb_core::observed::Observed| match &observed.ruleset {
        Some(rules) => listing::ruleset(rules),
        None => "there is no table inet lb\n".to_owned(),
    };
    match read(true) {
        Ok(observed) => [rules(&observed), listing::ipvs(&observed)],
        Err(error) => {
            let without = read(false).map(|observed| rules(&observed));
            [without.unwrap_or_else(unknown), unknown(error)]
        }
    }
}

fn near() -> [String; 2] {
    let mut view = match NetworkView::open() {
        Ok(view) => view,
        Err(error) => return [unknown(error), String::new()],
    };
    let neighbours = view.neighbours().map(|neighbours| {
        let report = NeighboursReport {
            neighbours,
            without_entry: Vec::new(),
        };
        render::neighbours(&report, &SCREEN)
    });
    let routes = view.routes().map(|routes| render::routes(&routes, &SCREEN));
    [neighbours, routes].map(|text| text.unwrap_or_else(unknown))
}

fn unknown(error: KernelError) -> String {
    format!("not known: {}\n", Failure::from(error).sentence())
}
