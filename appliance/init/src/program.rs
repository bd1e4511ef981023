//! A program that init keeps running: the agent, or the console of one terminal. Started from init's own executable,
//! restarted with back-off when it ends; what it prints goes into the kernel's log. Must not: wait for it (the loop
//! reaps all children), or touch anything but the process: what it has set up in the kernel stays.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use crate::backoff::Backoff;
use crate::pipe::LogPipe;
use crate::refused::Refused;

/// One arena for all threads, and what was freed goes back to the kernel: reading a large lb.toml takes many times what is
/// kept of it (see "Memory Allocation Tunables" in glibc's manual).
const ALLOCATOR: &str =
    "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=131072:glibc.malloc.mmap_threshold=65536";

/// Tells a console that its standard input is the kernel's log, and what of it is shown: records of a level below this.
pub const CONSOLE_LOG_VARIABLE: &str = "LB_CONSOLE_LOG";

#[derive(Debug)]
pub struct Program {
    /// Its prefix in the log.
    pub label: String,
    arguments: Vec<OsString>,
    backoff: Backoff,
    pid: Option<Pid>,
    started: Option<Instant>,
    /// When the next start is due; `None` while it runs or is not wanted.
    due: Option<Instant>,
    /// The last delay.
    pub delay: Duration,
    pub starts: u64,
    /// How often it has ended, or could not be started.
    pub ends: u64,
    /// How it ended the last time: `killed by SIGKILL`, `exit status 101`.
    pub last_exit: Option<String>,
    /// Why it is being killed.
    condemned: Option<(String, Instant)>,
    pub output: Option<LogPipe>,
    /// Of a console: the kernel's log, shared with whoever runs here next, and what it is told of it.
    pub log: Option<(File, String)>,
    last_words: Option<String>,
}

impl Program {
    pub fn new(label: impl Into<String>, arguments: &[&str]) -> Program {
        Program {
            label: label.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            backoff: Backoff::default(),
            pid: None,
            started: None,
            due: None,
            delay: Duration::ZERO,
            starts: 0,
            ends: 0,
            last_exit: None,
            condemned: None,
            output: None,
            log: None,
            last_words: None,
        }
    }

    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// From now on it is to run; what happened before is forgotten.
    pub fn want(&mut self, now: Instant) {
        self.backoff = Backoff::default();
        if self.pid.is_none() {
            self.due = Some(now);
        }
    }

    /// It is not started again.
    pub fn unwant(&mut self) {
        self.due = None;
    }

    pub fn next_start(&self) -> Option<Instant> {
        self.due
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Starts it. A start that fails counts as an end: the next one is held back.
    pub fn start(&mut self, executable: &Path, now: Instant) -> Result<(), Refused> {
        self.due = None;
        self.starts += 1;
        match self.spawn(executable) {
            Ok(pid) => {
                self.pid = Some(pid);
                self.started = Some(now);
                log::info!("{} started, process {}", self.label, pid.as_raw_nonzero());
                Ok(())
            }
            Err(refused) => {
                self.has_ended(refused.to_string(), Duration::ZERO, now);
                Err(refused)
            }
        }
    }

    fn spawn(&mut self, executable: &Path) -> Result<Pid, Refused> {
        let action = || format!("start {} ({})", self.label, executable.display());
        let (output, stdout, stderr) = LogPipe::open(&self.label).map_err(Refused::to(action()))?;
        // What the executable does is chosen by its name, or else by its first argument; init's own name must not count.
        let mut command = Command::new(executable);
        let stdin = match &self.log {
            Some((log, _)) => log.try_clone().map_err(Refused::to(action()))?.into(),
            None => Stdio::null(),
        };
        command
            .arg0("appliance")
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/sbin")
            .env("GLIBC_TUNABLES", ALLOCATOR)
            .current_dir("/")
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
        if let Some((_, level)) = &self.log {
            command.env(CONSOLE_LOG_VARIABLE, level);
        }
        let child = command.spawn().map_err(Refused::to(action()))?;
        self.output = Some(output);
        self.last_words = None;
        // Dropping the handle neither waits nor kills.
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| Refused::new(action(), "no process id"))
    }

    /// The process was reaped. Returns how long it lived.
    pub fn reaped(&mut self, status: WaitStatus, now: Instant) -> Duration {
        let alive = self.started.map_or(Duration::ZERO, |started| now - started);
        self.forward_output();
        let mut how = exit_text(status);
        if let Some((why, _)) = self.condemned.take() {
            how += &format!(": {why}");
        }
        self.has_ended(how, alive, now);
        alive
    }

    fn has_ended(&mut self, how: String, alive: Duration, now: Instant) {
        self.pid = None;
        self.started = None;
        self.ends += 1;
        self.delay = self.backoff.after(alive);
        self.due = Some(now + self.delay);
        let again = match self.delay {
            Duration::ZERO => "started again at once".to_owned(),
            delay => format!("started again in {} ms", delay.as_millis()),
        };
        log::warn!(
            "{} ended after {:.1} s: {how}; {again}",
            self.label,
            alive.as_secs_f64()
        );
        self.last_exit = Some(how);
    }

    /// Passes on what it has printed. Its last line is kept: usually the reason of its end.
    pub fn forward_output(&mut self) {
        let Some(output) = &mut self.output else { return };
        let open = output.forward();
        if let Some(line) = output.take_last_line() {
            self.last_words = Some(line);
        }
        if !open {
            self.output = None;
        }
    }

    /// How it ended the last time, with its last words.
    pub fn last_end(&self) -> String {
        let how = self.last_exit.as_deref().unwrap_or("it has not ended");
        match &self.last_words {
            Some(words) => format!("{how} ({words})"),
            None => how.to_owned(),
        }
    }

    /// It is killed for this reason, which its end is told with. For how long it has been since the first time.
    pub fn condemn(&mut self, why: String, now: Instant) -> Duration {
        let (_, since) = self.condemned.get_or_insert((why, now));
        now.saturating_duration_since(*since)
    }

    /// Sends a signal if it runs. A process that has just ended is no fault.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            let _ = kill_process(pid, signal);
        }
    }
}

/// `killed by SIGKILL`, `exit status 101`.
pub fn exit_text(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("killed by {name}"),
            None => format!("killed by signal {signal}"),
        },
        (None, None) => format!("wait status {:#x}", status.as_raw()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{WaitOptions, waitpid};

    use super::*;

    fn run(label: &str, script: &str) -> (Program, WaitStatus) {
        let mut program = Program::new(label, &["-c", script]);
        let now = Instant::now();
        program.want(now);
        assert!(program.is_due(now));
        program.start(Path::new("/bin/sh"), now).unwrap();
        assert!(!program.is_due(now) && program.next_start().is_none());
        let (_, status) = waitpid(program.pid(), WaitOptions::empty()).unwrap().unwrap();
        (program, status)
    }

    #[test]
    fn an_end_is_told_counted_and_followed_by_a_start() {
        let (mut program, status) = run("agent", "kill -9 $$");
        let now = Instant::now();
        program.reaped(status, now);
        assert_eq!(program.last_exit.as_deref(), Some("killed by SIGKILL"));
        assert_eq!(
            (program.ends, program.pid(), program.delay),
            (1, None, Duration::ZERO)
        );
        assert!(program.is_due(now));
        let (_, status) = run("agent", "exit 101");
        program.reaped(status, now);
        assert_eq!(program.last_exit.as_deref(), Some("exit status 101"));
        assert!(!program.is_due(now) && program.is_due(now + Duration::from_millis(100)));
    }

    #[test]
    fn one_that_was_condemned_ends_with_the_reason() {
        let (mut program, status) = run("agent", "kill -9 $$");
        let (now, later) = (Instant::now(), Duration::from_secs(5));
        let first = program.condemn("it had stood still for 30 s".into(), now);
        assert_eq!(first, Duration::ZERO);
        assert_eq!(
            program.condemn("it had stood still for 35 s".into(), now + later),
            later
        );
        program.reaped(status, Instant::now());
        let told = "killed by SIGKILL: it had stood still for 30 s";
        assert_eq!(program.last_exit.as_deref(), Some(told));
        assert_eq!(program.condemn("again".into(), now + later), Duration::ZERO);
    }

    #[test]
    fn what_it_prints_is_kept_as_its_last_words() {
        let (mut program, status) = run("agent", "echo out; echo 'no route to anywhere' >&2");
        program.reaped(status, Instant::now());
        assert_eq!(program.last_end(), "exit status 0 (no route to anywhere)");
    }

    #[test]
    fn a_program_that_cannot_be_started_is_tried_again_later() {
        let mut program = Program::new("agent", &[]);
        let now = Instant::now();
        let refused = program.start(Path::new("/nowhere/appliance"), now).unwrap_err();
        assert_eq!(refused.to_string(), "start agent (/nowhere/appliance): ENOENT");
        assert!(program.is_due(now));
        program.start(Path::new("/nowhere/appliance"), now).unwrap_err();
        assert!(!program.is_due(now));
        assert_eq!(program.ends, 2);
    }

    #[test]
    fn one_that_is_not_wanted_is_not_started_again() {
        let (mut program, status) = run("console", "exit 0");
        program.reaped(status, Instant::now());
        program.unwant();
        assert!(program.next_start().is_none());
    }
}
