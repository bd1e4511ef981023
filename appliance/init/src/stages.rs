//! The stages of the boot: what each of them does to the machine, and when the agent counts as ready.
//! Must not: run them (`boot` does), or print their lines.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use lb_core::console::REMOVED;
use lb_core::control::INIT_REPORT;
use lb_core::reset::Extent;
use rustix::fs::{major, minor};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::{RebootCommand, reboot, sethostname};

use crate::boot::{Progress, Stage};
use crate::button::Button;
use crate::cmdline::Cmdline;
use crate::machine::{AGENT_READY, Machine};
use crate::password::Forgotten;
use crate::refused::Refused;
use crate::seat::Seat;
use crate::{boot_menu, clock, fault_around, kmsg, mounts, password, refused, reset, seat, seed, volume};

/// See sysrq.rst of the kernel's documentation.
const SYSRQ: &str = "/proc/sys/kernel/sysrq";
/// Before the configuration gives another name.
const HOSTNAME: &[u8] = b"lb";
/// Sockets of the checks, with room to spare.
const OPEN_FILES: u64 = 65_536;
/// An agent that has not put its configuration in force by then has a fault.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The operator gets a prompt by then, ready or not.
const CONSOLES_LIMIT: Duration = Duration::from_secs(10);
/// An agent that has ended this often at boot will not become ready soon.
const READY_ENDS: u64 = 3;
/// How the problem begins; it is withdrawn when the agent becomes ready after all.
pub const NOT_READY: &str = "the agent is not ready";

pub const STAGES: &[Stage<Machine>] = &[
    Stage {
        name: "Mounts",
        holds: true,
        start: mount_all,
        wait: does_not_wait,
    },
    Stage {
        name: "Console",
        holds: false,
        start: open_consoles,
        wait: does_not_wait,
    },
    Stage {
        name: "Config volume",
        holds: false,
        start: prepare_volume,
        wait: does_not_wait,
    },
    Stage {
        name: "Boot menu",
        holds: false,
        start: boot_menu::look_for_key,
        wait: boot_menu::ask,
    },
    Stage {
        name: "Seed",
        holds: false,
        start: look_for_seed,
        wait: does_not_wait,
    },
    Stage {
        name: "Agent",
        holds: false,
        start: start_agent,
        wait: does_not_wait,
    },
    Stage {
        name: "Ready",
        holds: false,
        start: expect_ready,
        wait: is_ready,
    },
];

pub type Result = std::result::Result<Progress, String>;

fn does_not_wait(_: &mut Machine, _: Duration) -> Result {
    Ok(Progress::Done("ok"))
}

fn mount_all(machine: &mut Machine) -> Result {
    if machine.root.is_none() {
        // Later the overlay hides it.
        machine.root = fs::metadata("/")
            .ok()
            .map(|root| (major(root.dev()), minor(root.dev())));
    }
    let mounted = mounts::mount_all();
    machine.cmdline = Cmdline::of_this_boot();
    kmsg::follow_cmdline(&machine.cmdline);
    machine.report.slot.clone_from(&machine.cmdline.slot);
    if let Ok(executable) = std::env::current_exe() {
        machine.executable = executable;
    }
    let limit = Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    warn(
        "raise the limit of open files",
        setrlimit(Resource::Nofile, limit),
    );
    warn("set the hostname", sethostname(HOSTNAME));
    // A BREAK on a serial line, or two keys of the screen, and one letter more would end programs or restart the machine, password or not. What is written
    // to /proc/sysrq-trigger counts all the same.
    warn(
        "switch SysRq off for keyboards and serial lines",
        write_setting(SYSRQ, "0"),
    );
    if let Err(refused) = fault_around::one_page() {
        log::warn!("{refused}");
    }
    // Ctrl-Alt-Del becomes SIGINT: a clean shutdown.
    warn("take over Ctrl-Alt-Del", reboot(RebootCommand::CadOff));
    match clock::raise_to_floor() {
        Ok(true) => log::warn!("the clock stood before the day of the build and was set to it"),
        Ok(false) => {}
        Err(refused) => log::warn!("{refused}"),
    }
    match mounted {
        Ok(()) => Ok(Progress::Done("ok")),
        Err(faults) => Err(faults
            .iter()
            .map(Refused::to_string)
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

/// A file of /proc/sys.
fn write_setting(path: &str, value: &str) -> rustix::io::Result<()> {
    fs::write(path, value)
        .map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
}

/// None of these is worth holding the boot.
fn warn(action: &str, result: rustix::io::Result<()>) {
    if let Err(errno) = result {
        log::warn!("{action}: {}", refused::name(&errno.into()));
    }
}

fn open_consoles(machine: &mut Machine) -> Result {
    machine.open_seats();
    machine.seats.iter_mut().for_each(Seat::listen);
    machine.buttons = Button::find_all();
    match machine.seats.as_slice() {
        [] => Err(format!(
            "no terminal answers; tried {}",
            seat::candidates(&machine.cmdline).join(", ")
        )),
        seats => {
            let names: Vec<_> = seats.iter().map(|seat| seat.name.as_str()).collect();
            log::info!(
                "terminals: {}; power buttons: {}",
                names.join(", "),
                machine.buttons.len()
            );
            Ok(Progress::Done("ok"))
        }
    }
}

fn prepare_volume(machine: &mut Machine) -> Result {
    let footing = volume::prepare(machine.root, machine.grow);
    let word = volume::word(footing.report.state);
    machine.report.config_volume = footing.report;
    footing
        .problems
        .into_iter()
        .for_each(|problem| machine.problem(problem));
    let ordered = machine.cmdline.factory_reset.then_some(Extent::All);
    let was_reset = reset(machine, ordered);
    if machine.cmdline.no_console_password {
        forget_password(machine, "by the kernel's command line");
    }
    Ok(Progress::Done(if was_reset { "reset" } else { word }))
}

/// Somebody has forgotten the consoles' password, and could restart the machine. Loudly: whoever comes next must see that it is gone. What has become of the
/// password, if it locks nothing any more.
pub fn forget_password(machine: &mut Machine, by: &str) -> Option<&'static str> {
    let runtime = Path::new(INIT_REPORT).parent().unwrap_or(Path::new("/run/lb"));
    match password::forget(Path::new(volume::CONFIG), runtime, by) {
        Ok(Forgotten::Nothing) => None,
        Ok(Forgotten::Removed) => {
            machine.problem(format!(
                "{REMOVED} {by}: no console is locked; `console password set` sets a new one"
            ));
            Some("removed")
        }
        Ok(Forgotten::Ignored(refused)) => {
            machine.problem(format!(
                "the password of the consoles does not count until the next boot, as was ordered {by}: no console is locked; it could not be removed: {refused}"
            ));
            Some("ignored until the next boot")
        }
        Err(refused) => {
            machine.problem(format!(
                "the password of the consoles is still there: {refused}; `reset --keep-identity` at the boot menu may remove it"
            ));
            None
        }
    }
}

/// A factory reset, if somebody wants one. Whether it is done.
pub fn reset(machine: &mut Machine, ordered: Option<Extent>) -> bool {
    match reset::carry_out(Path::new(volume::CONFIG), Path::new(volume::BOOTCTL), ordered) {
        None => false,
        Some(Ok(said)) => {
            machine.say(&format!("*** {said}"));
            log::warn!("{said}");
            true
        }
        Some(Err(refused)) => {
            machine.problem(format!(
                "the factory reset is not complete: {refused}; it goes on at the next boot: `reboot`"
            ));
            false
        }
    }
}

fn look_for_seed(machine: &mut Machine) -> Result {
    let (word, problems) = seed::prepare();
    problems.into_iter().for_each(|problem| machine.problem(problem));
    Ok(Progress::Done(word))
}

fn start_agent(machine: &mut Machine) -> Result {
    // The agent reads in it what the config volume is worth.
    machine.publish();
    let now = Instant::now();
    machine.agent.want(now);
    machine.keep_running(now);
    match &machine.agent.last_exit {
        Some(why) if machine.agent.pid().is_none() => Err(why.clone()),
        _ => Ok(Progress::Done("ok")),
    }
}

fn expect_ready(machine: &mut Machine) -> Result {
    machine.consoles_due = Some(Instant::now() + CONSOLES_LIMIT);
    Ok(Progress::Waiting)
}

fn is_ready(machine: &mut Machine, waited: Duration) -> Result {
    if Path::new(AGENT_READY).exists() {
        return Ok(Progress::Done("ok"));
    }
    let agent = &machine.agent;
    let why = if agent.ends >= READY_ENDS {
        format!("it ended {} times: {}", agent.ends, agent.last_end())
    } else if waited >= READY_LIMIT {
        format!("nothing was heard of it for {} s", READY_LIMIT.as_secs())
    } else {
        return Ok(Progress::Waiting);
    };
    machine.ready_is_late = true;
    machine.record_problem(format!("{NOT_READY}: {why}; `log` shows what it says"));
    Err(format!(
        "{why}; init starts it again by itself, `log` and `status` show how it is"
    ))
}
