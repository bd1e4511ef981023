//! The loop of PID 1, one turn at a time: the next stage, programs that are due, then whatever wakes it first: a signal,
//! a button, a line at a rescue prompt, output of a program, or a deadline. Must not: block anywhere else.

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::console::password::Stored;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use crate::boot::Boot;
use crate::machine::Machine;
use crate::password::{self, Refusals, Tried};
use crate::rescue::{self, Command};
use crate::seat::Mode;
use crate::shutdown::go_down;
use crate::signals::{Order, Signals};
use crate::stages::STAGES;
use crate::watchdog::Watchdog;
use crate::{GiveBack, Grow, clock, kernel_log, kmsg, printk};

/// How soon a waiting stage is asked again.
const STAGE_POLL: Duration = Duration::from_millis(20);
/// How soon an agent that was late is looked for again.
const LATE_POLL: Duration = Duration::from_secs(1);
/// Without signals, children are looked for at this pace.
const BLIND_POLL: Duration = Duration::from_millis(100);
/// A fault that comes back at once must not take the processor from the traffic.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// What something took that happened is given back so much later: what follows from it has happened as well.
const SETTLED: Duration = Duration::from_secs(2);
/// Lines of the kernel's log at the rescue prompt.
const LOG_LINES: usize = 40;

#[derive(Debug)]
pub struct Init {
    machine: Machine,
    boot: Boot<Machine>,
    signals: Option<Signals>,
    give_back: GiveBack,
    give_back_at: Option<Instant>,
    /// Of Ctrl-Alt-Del.
    refusals: Refusals,
}

type Part = fn(&mut Init);

/// A turn, part by part.
const PARTS: [(&str, Part); 8] = [
    ("reaping", |init| init.machine.reap(Instant::now())),
    ("boot", Init::step_boot),
    ("supervision", |init| init.machine.keep_running(Instant::now())),
    ("kernel log", |init| printk::settle(&mut init.machine)),
    ("watches", |init| init.watch(Instant::now())),
    ("locks", |init| {
        init.machine.lock_rescue(Instant::now(), password::stored)
    }),
    ("report", |init| init.machine.publish()),
    ("events", Init::serve_events),
];

/// What woke the loop.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Button(usize),
    AgentOutput,
    ConsoleOutput(usize),
    Typed(usize),
}

impl Init {
    pub fn new(grow: Grow, give_back: GiveBack) -> Init {
        let signals = Signals::catch()
            .map_err(|error| log::error!("catch signals: {error}"))
            .ok();
        Init {
            machine: Machine::new(grow),
            boot: Boot::new(STAGES),
            signals,
            give_back,
            give_back_at: None,
            refusals: Refusals::default(),
        }
    }

    /// A part that panics does not keep the others from their work.
    pub fn turn(&mut self) {
        for (name, part) in PARTS {
            if panic::catch_unwind(AssertUnwindSafe(|| part(self))).is_err() {
                self.faulted(name);
            }
        }
    }

    /// A part panicked; what it said is in the log.
    fn faulted(&mut self, part: &str) {
        thread::sleep(FAULT_PAUSE);
        let sentence = format!("init had an internal fault in its {part}; reboot when it suits");
        let reason = match self.boot.held() {
            Some((stage, why)) => format!("{stage} failed: {why}"),
            None => sentence.clone(),
        };
        self.machine.record_problem(sentence);
        self.machine.rescue(&reason);
        // Also when the part that serves them is the one that fails.
        self.obey_signals();
    }

    fn step_boot(&mut self) {
        let now = Instant::now();
        if self.boot.is_over() {
            return;
        }
        if let Some(ended) = self.boot.advance(&mut self.machine, clock::since_kernel_start) {
            log::info!("{}", ended.line.trim_start());
            self.machine.say(&ended.line);
            self.machine
                .report
                .stages
                .retain(|stage| stage.name != ended.report.name);
            self.machine.report.stages.push(ended.report);
            if let Some((stage, why)) = self.boot.held() {
                self.machine.rescue(&format!("{stage} failed: {why}"));
            }
        }
        if self.boot.is_over() || self.machine.consoles_due.is_some_and(|due| due <= now) {
            self.machine.start_consoles(now);
        }
        if self.boot.is_over() {
            self.machine.arm_watchdog(now);
            self.something_happened();
        }
    }

    fn watch(&mut self, now: Instant) {
        self.machine.feel_pulse(now);
        if let Some(watchdog) = &mut self.machine.watchdog {
            watchdog.feed(now);
        }
    }

    /// Most of init's text is for the boot, and for what seldom happens.
    fn something_happened(&mut self) {
        if self.give_back_at.is_none() {
            self.give_back_at = Some(Instant::now() + SETTLED);
        }
    }

    fn serve_events(&mut self) {
        let sources = self.wait();
        if !sources.is_empty() {
            self.something_happened();
        } else if self.give_back_at.is_some_and(|at| at <= Instant::now()) {
            self.give_back_at = None;
            (self.give_back)();
        }
        for source in sources {
            self.serve(source);
        }
    }

    /// Sleeps until something happens or is due.
    fn wait(&self) -> Vec<Source> {
        let (sources, fds) = self.sources();
        let mut polled: Vec<_> = fds
            .iter()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        let timeout = self
            .timeout(Instant::now())
            .and_then(|left| Timespec::try_from(left).ok());
        // EINTR is a signal, which the next turn serves.
        let _ = poll(&mut polled, timeout.as_ref());
        let woken = sources
            .iter()
            .zip(&polled)
            .filter(|(_, fd)| !fd.revents().is_empty());
        woken.map(|(source, _)| *source).collect()
    }

    fn sources(&self) -> (Vec<Source>, Vec<BorrowedFd<'_>>) {
        let machine = &self.machine;
        let signals = self
            .signals
            .iter()
            .map(|signals| (Source::Signals, signals.as_fd()));
        let buttons = machine
            .buttons
            .iter()
            .enumerate()
            .map(|(n, button)| (Source::Button(n), button.as_fd()));
        let agent = machine
            .agent
            .output
            .iter()
            .map(|output| (Source::AgentOutput, output.as_fd()));
        let seats = machine.seats.iter().enumerate();
        let consoles = seats.clone().filter_map(|(n, seat)| {
            seat.console
                .output
                .as_ref()
                .map(|output| (Source::ConsoleOutput(n), output.as_fd()))
        });
        let typed = seats.filter(|(_, seat)| matches!(seat.mode, Mode::Rescue { .. }));
        let typed = typed.map(|(n, seat)| (Source::Typed(n), seat.as_fd()));
        signals
            .chain(buttons)
            .chain(agent)
            .chain(consoles)
            .chain(typed)
            .unzip()
    }

    /// Until the nearest deadline; `None`: there is none.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let machine = &self.machine;
        let starts = machine.seats.iter().filter_map(|seat| match seat.mode {
            Mode::Gone { until } => Some(until),
            _ => seat.console.next_start(),
        });
        let next = starts
            .chain(machine.agent.next_start())
            .chain(machine.consoles_due)
            .chain(machine.next_lock)
            .chain(machine.pulse.next_look())
            .chain(machine.watchdog.as_ref().map(Watchdog::next))
            .chain(self.give_back_at)
            .min();
        let mut waits: Vec<Duration> = next
            .map(|next| next.saturating_duration_since(now))
            .into_iter()
            .collect();
        if self.boot.is_waiting() {
            waits.push(STAGE_POLL);
        } else if !self.boot.is_over() && self.boot.held().is_none() {
            waits.push(Duration::ZERO);
        }
        if machine.ready_is_late {
            waits.push(LATE_POLL);
        }
        if self.signals.is_none() {
            waits.push(BLIND_POLL);
        }
        waits.into_iter().min()
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Signals => self.obey_signals(),
            Source::Button(n) => self.look_at_button(n),
            Source::AgentOutput => self.machine.agent.forward_output(),
            Source::ConsoleOutput(n) => self.machine.seats[n].console.forward_output(),
            Source::Typed(n) => {
                for line in self.machine.seats[n]
                    .typed(Instant::now())
                    .into_iter()
                    .map(Zeroizing::new)
                {
                    if self.machine.seats[n].gate.is_some() {
                        self.try_gate(n, &line);
                    } else {
                        self.obey(n, &line);
                    }
                }
            }
        }
    }

    fn obey_signals(&mut self) {
        let order = self.signals.as_mut().and_then(Signals::take_order);
        if order == Some(Order::CtrlAltDel) && password::stored() != Stored::None {
            // Behind a restart is the boot menu, which removes the password.
            if let Some(times) = self.refusals.one_more(Instant::now()) {
                let times = if times > 1 {
                    format!(" {times} times")
                } else {
                    String::new()
                };
                log::warn!(
                    "Ctrl-Alt-Del was pressed{times}, and does nothing while the consoles have a password"
                );
            }
            return;
        }
        if let Some(order) = order {
            go_down(&mut self.machine, order);
        }
    }

    fn look_at_button(&mut self, n: usize) {
        match self.machine.buttons.get_mut(n).map(|button| button.take_press()) {
            Some(Ok(true)) => {
                log::info!("the power button was pressed");
                go_down(&mut self.machine, Order::PowerOff);
            }
            Some(Err(_)) => {
                self.machine.buttons.remove(n);
            }
            _ => {}
        }
    }

    /// A line at a rescue prompt that is locked.
    fn try_gate(&mut self, n: usize, line: &str) {
        let seat = &mut self.machine.seats[n];
        let (Some(gate), Mode::Rescue { reason }) = (&mut seat.gate, &seat.mode) else {
            return;
        };
        let stored = password::stored();
        match gate.tried(line.as_bytes(), &stored, &seat.name, Instant::now()) {
            Tried::Locked(text) => seat.say(&format!("\n{text}")),
            Tried::Open => {
                let banner = rescue::banner(reason);
                seat.open_gate(Instant::now());
                seat.say(&banner);
                seat.say(rescue::PROMPT);
            }
        }
    }

    /// Carries out what was typed at a rescue prompt.
    fn obey(&mut self, n: usize, line: &str) {
        let Mode::Rescue { reason } = self.machine.seats[n].mode.clone() else {
            return;
        };
        let answer = match rescue::parse(line) {
            Command::Nothing => String::new(),
            Command::Why => rescue::why(&reason, &self.machine.report.problems),
            Command::Stages => rescue::stages(&self.machine.report.stages),
            Command::Log => {
                kernel_log::last(LOG_LINES)
                    .unwrap_or_else(|_| kmsg::recent())
                    .join("\n")
                    + "\n"
            }
            Command::Help => rescue::HELP.to_owned(),
            Command::Unknown(word) => rescue::unknown(&word),
            Command::Reboot => go_down(&mut self.machine, Order::Reboot),
            Command::PowerOff => go_down(&mut self.machine, Order::PowerOff),
            Command::Retry => return self.leave_rescue(n, true),
            Command::Continue => return self.leave_rescue(n, false),
        };
        let seat = &mut self.machine.seats[n];
        seat.say(&answer);
        seat.say(rescue::PROMPT);
    }

    /// Goes on with the boot if it is held, at the failed stage or behind it; otherwise with this seat's console program.
    fn leave_rescue(&mut self, n: usize, retry: bool) {
        let Some((stage, why)) = self.boot.held() else {
            return self.machine.seats[n].run_console(Instant::now());
        };
        if retry {
            self.boot.retry();
        } else {
            self.machine
                .record_problem(format!("the stage {stage} failed: {why}; reboot when it suits"));
            self.boot.skip();
        }
        self.machine.leave_rescue();
    }
}
