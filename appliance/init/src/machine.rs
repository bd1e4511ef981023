//! What init owns: the seats, the agent, the buttons, and the report on all of it. The stages and the loop work on this.
//! Must not: touch the kernel's network state; what the agent has set up stays when the agent dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_core::console::password::Stored;
use lb_core::control::{AGENT_PULSE, INIT_REPORT, InitReport};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};

use crate::Grow;
use crate::boot_menu::Menu;
use crate::button::Button;
use crate::cmdline::Cmdline;
use crate::fold::fold;
use crate::password::{self, Gate};
use crate::printk::Level;
use crate::program::Program;
use crate::pulse::Pulse;
use crate::refused;
use crate::rescue;
use crate::seat::{self, Mode, Seat};
use crate::watchdog::Watchdog;

/// A killed agent that is still there so long after is not going to end.
const GIVEN_UP: Duration = Duration::from_secs(60);
const UNKILLABLE: &str = "the agent hangs in the kernel and cannot be killed";
/// The agent leaves it when its configuration is in force.
pub const AGENT_READY: &str = "/run/lb/agent.ready";
/// How soon a password is noticed that was set while a rescue prompt is open.
const GLANCE: Duration = Duration::from_secs(30);
/// What was on the screen is not for who comes by (ECMA-48: CUP, ED).
const EMPTY_SCREEN: &str = "\x1b[H\x1b[2J";
/// Of everything that may be killed when memory runs out, the agent comes last.
const AGENT_OOM_SCORE: &str = "-900";

#[derive(Debug)]
pub struct Machine {
    pub grow: Grow,
    /// What is started as agent and console: the one executable.
    pub executable: PathBuf,
    pub cmdline: Cmdline,
    /// The device of the root file system.
    pub root: Option<(u32, u32)>,
    pub report: InitReport,
    pub seats: Vec<Seat>,
    pub agent: Program,
    /// Of the agent that runs.
    pub pulse: Pulse,
    /// Once the boot is over, if the machine has one.
    pub watchdog: Option<Watchdog>,
    pub buttons: Vec<Button>,
    /// While it is open; the seat of its mode has it.
    pub menu: Option<Open>,
    /// When the console programs start, if the stages have not ended before.
    pub consoles_due: Option<Instant>,
    /// The agent was given up as not ready, and may become so.
    pub ready_is_late: bool,
    /// Who shows the kernel's log: printk, or the consoles.
    pub printk: Level,
    /// When a rescue prompt has to be looked at: it locks as a console does.
    pub next_lock: Option<Instant>,
    /// When the password's file is read again for that, and after how long a prompt locks by what it said.
    glance: Option<(Instant, Option<Duration>)>,
    /// What was said before there were seats.
    unheard: String,
    published: InitReport,
}

/// The boot menu, and until when it waits.
#[derive(Debug)]
pub struct Open {
    pub menu: Menu,
    pub until: Instant,
}

impl Machine {
    pub fn new(grow: Grow) -> Machine {
        Machine {
            grow,
            // The kernel gives init its own path as its name; the stage that mounts /proc looks it up.
            executable: std::env::args_os()
                .next()
                .map_or_else(|| "/sbin/init".into(), PathBuf::from),
            cmdline: Cmdline::default(),
            root: None,
            report: InitReport::default(),
            seats: Vec::new(),
            agent: Program::new("agent", &["agent"]),
            pulse: Pulse::default(),
            watchdog: None,
            buttons: Vec::new(),
            menu: None,
            consoles_due: None,
            ready_is_late: false,
            printk: Level::default(),
            next_lock: None,
            glance: None,
            unheard: String::new(),
            published: InitReport::default(),
        }
    }

    /// A line for every seat where no console program draws.
    pub fn say(&mut self, line: &str) {
        let text = format!("{line}\n");
        if self.seats.is_empty() {
            self.unheard += &text;
        }
        for seat in self
            .seats
            .iter_mut()
            .filter(|seat| matches!(seat.mode, Mode::Lines | Mode::BootMenu | Mode::Rescue { .. }))
        {
            seat.say(&text);
        }
    }

    /// A line for every seat, whatever happens there.
    pub fn say_everywhere(&mut self, line: &str) {
        self.seats
            .iter_mut()
            .for_each(|seat| seat.say(&format!("\r\n{line}\r\n")));
    }

    /// Something the operator must know: on the consoles, in the log and in the report.
    pub fn problem(&mut self, sentence: String) {
        self.say(&fold(&format!("*** {sentence}")));
        self.record_problem(sentence);
    }

    /// The same without the consoles, which were told otherwise.
    pub fn record_problem(&mut self, sentence: String) {
        if !self.report.problems.contains(&sentence) {
            log::warn!("{sentence}");
            self.report.problems.push(sentence);
        }
    }

    /// Opens the terminals that are there, or else the one that the kernel gave, and shows them what was said before.
    pub fn open_seats(&mut self) {
        if self.seats.iter().any(|seat| !seat.is_inherited()) {
            return;
        }
        let names = seat::candidates(&self.cmdline);
        let found: Vec<_> = names.iter().filter_map(|name| Seat::open(name).ok()).collect();
        if !found.is_empty() {
            self.seats = found;
        } else if self.seats.is_empty() {
            self.seats.extend(Seat::inherited());
        }
        let unheard = std::mem::take(&mut self.unheard);
        self.seats.iter_mut().for_each(|seat| seat.say(&unheard));
    }

    /// Gives every seat without a working console program the rescue prompt, unless it has it already.
    pub fn rescue(&mut self, reason: &str) {
        self.open_seats();
        for seat in &mut self.seats {
            let told = matches!(&seat.mode, Mode::Rescue { reason: known } if known == reason);
            if seat.console.pid().is_none() && !told {
                rescue_at(seat, reason);
            }
        }
    }

    /// A rescue prompt that is left alone locks, also when the password was set meanwhile. The file is read only when one may have to lock: the disk may be
    /// what the prompt is for.
    pub fn lock_rescue(&mut self, now: Instant, stored: impl FnOnce() -> Stored) {
        if !self
            .seats
            .iter()
            .any(|seat| seat.locks_at(Duration::ZERO).is_some())
        {
            self.glance = None;
            self.next_lock = None;
            return;
        }
        if let Some((at, idle)) = self.glance {
            let due = self.locks_next(idle).map_or(at, |due| due.min(at));
            if now < due {
                self.next_lock = Some(due);
                return;
            }
        }
        let stored = stored();
        let (at, idle) = (now + GLANCE, stored.idle());
        self.glance = Some((at, idle));
        for seat in &mut self.seats {
            if let (Some(due), Mode::Rescue { reason }) =
                (idle.and_then(|idle| seat.locks_at(idle)), &seat.mode)
                && due <= now
            {
                let reason = reason.clone();
                log::info!("{}: the rescue prompt is locked", seat.name);
                seat.say(EMPTY_SCREEN);
                show_rescue(seat, &reason, &stored);
            }
        }
        self.next_lock = Some(self.locks_next(idle).map_or(at, |due| due.min(at)));
    }

    /// When the first open prompt locks; `None`: without a password none does.
    fn locks_next(&self, idle: Option<Duration>) -> Option<Instant> {
        let seats = self.seats.iter();
        seats.filter_map(|seat| seat.locks_at(idle?)).min()
    }

    pub fn leave_rescue(&mut self) {
        for seat in self
            .seats
            .iter_mut()
            .filter(|seat| matches!(seat.mode, Mode::Rescue { .. }))
        {
            seat.mode = Mode::Lines;
        }
    }

    pub fn start_consoles(&mut self, now: Instant) {
        self.consoles_due = None;
        for seat in self.seats.iter_mut().filter(|seat| seat.mode == Mode::Lines) {
            seat.run_console(now);
        }
    }

    /// Starts what is due.
    pub fn keep_running(&mut self, now: Instant) {
        if self.agent.is_due(now) {
            self.start_agent(now);
        }
        for seat in &mut self.seats {
            if seat.console.is_due(now) && seat.console.log.is_none() {
                seat.console.log = self.printk.open_log();
            }
            if seat.console.is_due(now)
                && let Err(refused) = seat.console.start(&self.executable, now)
            {
                rescue_at(seat, &refused.to_string());
            }
            if matches!(seat.mode, Mode::Gone { until } if until <= now) {
                seat.reopen(now);
            }
        }
    }

    fn start_agent(&mut self, now: Instant) {
        // The mark of the process before says nothing of this one.
        let _ = fs::remove_file(AGENT_READY);
        let _ = fs::remove_file(AGENT_PULSE);
        match self.agent.start(&self.executable, now) {
            Ok(()) => {
                self.pulse.started(now);
                if let Some(pid) = self.agent.pid() {
                    let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
                    let _ = fs::write(path, AGENT_OOM_SCORE);
                }
            }
            Err(refused) => log::error!("{refused}"),
        }
    }

    /// Reaps every child that has ended, also those that were left to init by their parents.
    pub fn reap(&mut self, now: Instant) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.ended(pid, status, now);
        }
    }

    fn ended(&mut self, pid: Pid, status: WaitStatus, now: Instant) {
        if self.agent.pid() == Some(pid) {
            self.pulse.stop();
            self.agent.reaped(status, now);
        } else if let Some(seat) = self.seats.iter_mut().find(|seat| seat.console.pid() == Some(pid)) {
            let lived = seat.console.reaped(status, now);
            if let Some(why) = seat.console_ended(lived, now) {
                rescue_at(seat, &why);
            }
        }
    }

    /// An agent that hangs is killed, and started anew when it is reaped. One that cannot be killed waits in the kernel for ever: only a restart helps.
    pub fn feel_pulse(&mut self, now: Instant) {
        if self.pulse.next_look().is_none_or(|at| at > now) {
            return;
        }
        let text = fs::read_to_string(AGENT_PULSE).ok();
        let count = text.and_then(|text| text.trim().parse().ok());
        let Some(still) = self.pulse.look(now, count) else {
            return;
        };
        let why = format!("it had stood still for {} s", still.as_secs());
        let dying = self.agent.condemn(why, now);
        if dying.is_zero() {
            log::error!(
                "the agent has stood still for {} s and is killed; traffic goes on meanwhile",
                still.as_secs()
            );
        } else if dying >= GIVEN_UP {
            self.record_problem(format!(
                "{UNKILLABLE}: traffic goes on, and nothing is checked; reboot when it suits"
            ));
        }
        self.agent.signal(Signal::KILL);
    }

    /// Is taken for hung itself from now on, when it does not feed the watchdog.
    pub fn arm_watchdog(&mut self, now: Instant) {
        let armed = match Watchdog::arm(self.cmdline.watchdog, now) {
            Ok(armed) => armed,
            Err(error) => {
                let why = refused::name(&error);
                return self.record_problem(format!(
                    "the watchdog is not armed: open it: {why}; a machine that hangs stays so"
                ));
            }
        };
        let Some(watchdog) = armed else { return };
        log::info!("the watchdog is armed: {}", watchdog.name);
        self.report.watchdog = Some(watchdog.name.clone());
        if watchdog.has_reset {
            self.record_problem(format!(
                "the watchdog ({}) has reset the machine before this boot: it hung",
                watchdog.name
            ));
        }
        self.watchdog = Some(watchdog);
    }

    /// The agent was late, and has come.
    fn look_for_late_ready(&mut self) {
        if self.ready_is_late && Path::new(AGENT_READY).exists() {
            self.ready_is_late = false;
            log::info!("the agent is ready, late");
            self.report
                .problems
                .retain(|problem| !problem.starts_with(crate::stages::NOT_READY));
        }
    }

    /// Leaves the report for the agent and the consoles, if it has changed.
    pub fn publish(&mut self) {
        self.look_for_late_ready();
        self.report.agent_pid = self
            .agent
            .pid()
            .map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        self.report.agent_restarts = self.agent.starts.saturating_sub(1);
        self.report.agent_last_exit.clone_from(&self.agent.last_exit);
        let delay = if self.agent.next_start().is_some() {
            self.agent.delay
        } else {
            Duration::ZERO
        };
        self.report.agent_backoff_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        if self.report != self.published && write_report(&self.report).is_ok() {
            self.published = self.report.clone();
        }
    }
}

fn rescue_at(seat: &mut Seat, reason: &str) {
    log::warn!("{}: rescue prompt: {reason}", seat.name);
    show_rescue(seat, reason, &password::stored());
}

fn show_rescue(seat: &mut Seat, reason: &str, stored: &Stored) {
    let now = Instant::now();
    let gate = Gate::new(stored, now);
    let is_locked = gate.is_some();
    seat.rescue(reason, gate, now);
    if is_locked {
        // What failed is no secret; what can be typed is for those who know the password.
        seat.say(&format!("\n{}\n{}", rescue::headline(reason), Gate::text(stored)));
    } else {
        seat.say(&rescue::banner(reason));
        seat.say(rescue::PROMPT);
    }
}

/// Replaced whole: a reader sees the old report or the new one.
fn write_report(report: &InitReport) -> std::io::Result<()> {
    let text = serde_json::to_vec(report)?;
    let temporary = format!("{INIT_REPORT}.new");
    fs::write(&temporary, text)?;
    fs::rename(temporary, INIT_REPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_before_there_are_seats_is_kept_for_them() {
        let mut machine = Machine::new(|_, _| Ok(()));
        machine.say("[  2.31] Mounts");
        machine.problem("the clock is wrong".to_owned());
        machine.problem("the clock is wrong".to_owned());
        assert_eq!(machine.unheard.lines().next(), Some("[  2.31] Mounts"));
        assert_eq!(machine.report.problems, ["the clock is wrong"]);
    }

    #[test]
    fn a_rescue_prompt_that_is_left_alone_locks() {
        use lb_core::console::password::{Record, SALT_BYTES};
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let seat = Seat::open(name.strip_prefix("/dev/").unwrap()).unwrap();
        let mut machine = Machine::new(|_, _| Ok(()));
        machine.seats.push(seat);
        let begun = Instant::now();
        let none = || Stored::None;
        machine.lock_rescue(begun, || panic!("nobody is at a rescue prompt"));
        show_rescue(&mut machine.seats[0], "EIO", &Stored::None);
        machine.lock_rescue(begun, none);
        assert_eq!(machine.next_lock, Some(begun + GLANCE));
        machine.lock_rescue(begun + Duration::from_hours(24), none);
        assert!(
            machine.seats[0].gate.is_none(),
            "without a password nothing locks"
        );
        let idle = Duration::from_secs(20);
        let set = || Stored::Set(Record::new(b"secret", [1; SALT_BYTES], idle));
        let known = || panic!("nothing is due: the disk is left alone");
        machine.lock_rescue(begun + Duration::from_hours(24), known);
        // A prompt that is opened anew.
        machine.glance = None;
        machine.lock_rescue(begun, set);
        machine.lock_rescue(begun + Duration::from_secs(1), known);
        assert!(machine.seats[0].gate.is_none());
        let due = machine.next_lock.unwrap();
        assert!(due >= begun + idle && due < begun + GLANCE);
        rustix::io::write(&ours, b"help\n").unwrap();
        let later = begun + Duration::from_secs(15);
        // It comes to the other end a moment later.
        let mut typed = Vec::new();
        while typed.is_empty() {
            typed = machine.seats[0].typed(later);
        }
        assert_eq!(typed, ["help"]);
        machine.lock_rescue(due, known);
        assert!(machine.seats[0].gate.is_none(), "a line was typed");
        machine.lock_rescue(later + idle, set);
        assert!(machine.seats[0].gate.is_some());
        machine.lock_rescue(later + idle, || panic!("nothing is open"));
        assert_eq!(machine.next_lock, None);
    }
}
