//! Telling stories: each is a test that runs in a process of its own, in a cage of its own, under one wall-clock limit.
//! Shown and chosen like any Rust test (names, filters, `--list`). What a story printed and what its VMs' consoles
//! showed is kept under build/e2e-logs/ when it fails, and the ends are printed.
//! Most of a story is waiting, so several are told at a time; one that is demanding has more of the machine ([`Stage`]). One that fails
//! beside another is told once more, alone: what a machine that is too busy did to it does not happen again, what is wrong does. Both
//! tellings are printed, and the last lines say which story needed two.
//! Must not: skip. What a story needs and the machine lacks is a failure with the remedy.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::stage::Stage;
use crate::{LabError, Result, cage, error, load};

/// The argument that tells a child process which story is its own.
const TELL: &str = "--tell";
/// For the child: the beginning of the path of every log that it keeps.
const LOGS: &str = "LB_LAB_LOGS";
/// Lines of each log that a failure shows.
const TAIL: usize = 40;
/// Of these an ordinary story takes one, and a demanding one as many as it says: they are two at a time then, for as many
/// processors.
const PLACES: usize = 4;
/// A file for how much of the processors a telling took.
const PROCESSOR: &str = "processor";
/// So many stories get a second telling. When more fail, it is not the machine.
const SECOND_TELLINGS: usize = 3;
/// What the last lines say of a failure: lines from its panic on.
const BRIEF: usize = 6;
const BRIEF_WIDTH: usize = 200;

pub type Told = std::result::Result<(), Box<dyn Error + Send + Sync>>;

#[derive(Debug, Clone, Copy)]
pub struct Story {
    pub name: &'static str,
    /// On the wall clock, from the first process to the last.
    pub limit: Duration,
    pub tell: fn() -> Told,
    places: usize,
}

impl Story {
    pub const fn new(name: &'static str, limit_seconds: u64, tell: fn() -> Told) -> Story {
        Story {
            name,
            limit: Duration::from_secs(limit_seconds),
            tell,
            places: 1,
        }
    }

    /// It keeps a processor busy, or judges by the clock: at most one other that does is told beside it.
    pub const fn demanding(self) -> Story {
        Story {
            places: PLACES / 2,
            ..self
        }
    }
}

/// The `main` of a test program made of stories. `prepare` runs once, outside, before the first one.
pub fn main(stories: Vec<Story>, prepare: fn() -> Result<()>) -> ExitCode {
    if let Some(code) = load::asked() {
        return code;
    }
    let told: Vec<String> = std::env::args().skip(1).take(2).collect();
    if let [flag, name] = told.as_slice()
        && flag == TELL
    {
        return tell(&stories, name);
    }
    let mut arguments = Arguments::from_args();
    if !arguments.list
        && let Err(failure) = cage::check().and_then(|()| prepare())
    {
        eprintln!("error: {}", error::chain(&failure));
        return ExitCode::FAILURE;
    }
    arguments.test_threads = arguments.test_threads.or(Some(PLACES));
    let trials = stories
        .into_iter()
        .map(|story| Trial::test(story.name, move || outside(&story)))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    for telling in FAILED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{telling}");
    }
    conclusion.exit_code()
}

/// Every telling that failed, in a few lines.
static FAILED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static STAGE: Stage = Stage::new(PLACES);

/// Where a VM or a server of this story keeps a log that is worth reading after a failure.
pub fn log_path(suffix: &str) -> Option<PathBuf> {
    let mut path = std::env::var_os(LOGS)?;
    path.push(".");
    path.push(suffix);
    Some(path.into())
}

/// Inside: the child's whole life.
fn tell(stories: &[Story], name: &str) -> ExitCode {
    let Some(story) = stories.iter().find(|story| story.name == name) else {
        eprintln!("there is no story {name}");
        return ExitCode::FAILURE;
    };
    if !cage::inside() {
        eprintln!("{TELL} is for the child process inside a cage only");
        return ExitCode::FAILURE;
    }
    end_with_the_harness();
    let told = cage::enter().map_err(Into::into).and_then(|()| (story.tell)());
    if let Some((path, seconds)) = log_path(PROCESSOR).zip(processor_seconds()) {
        let _ = fs::write(path, seconds.to_string());
    }
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {}", error::chain(failure.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// What this process and those that it has waited for took of the processors (proc(5), /proc/PID/stat).
fn processor_seconds() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = stat.rsplit_once(") ")?;
    // utime, stime, cutime and cstime, of which the state is the third field.
    let ticks = behind_name.split(' ').skip(11).take(4);
    let ticks = ticks
        .map(str::parse::<u64>)
        .sum::<std::result::Result<u64, _>>()
        .ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second())
}

/// The harness holds the other end of standard input; when that closes, nobody waits for us any more.
fn end_with_the_harness() {
    std::thread::spawn(|| {
        let mut nothing = [0; 1];
        while matches!(std::io::stdin().read(&mut nothing), Ok(1)) {}
        std::process::exit(130);
    });
}

/// Outside: tell it, and once more if that failed beside another.
fn outside(story: &Story) -> std::result::Result<(), Failed> {
    let first = {
        let _beside_others = STAGE.enter(story.places);
        telling(story)
    };
    let Err(first) = first else {
        return Ok(());
    };
    if note(&first) > SECOND_TELLINGS {
        return Err(first.into());
    }
    println!("{first}\n{} is told once more, alone", story.name);
    let _alone = STAGE.enter(PLACES);
    telling(story).map_err(|second| {
        note(&second);
        second.into()
    })
}

/// How many failures are noted now.
fn note(failure: &Failure) -> usize {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    failed.push(failure.brief.clone());
    failed.len()
}

/// Start the child, hold it to its limit, and report.
fn telling(story: &Story) -> std::result::Result<(), Failure> {
    let logs = Logs::new(story.name).map_err(|failure| Failure::without_logs(story, &failure))?;
    let started = Instant::now();
    let ended = run_child(story, &logs).map_err(|failure| Failure::without_logs(story, &failure))?;
    let took = started.elapsed().as_secs();
    let what = match ended {
        Some(status) if status.success() => {
            let busy = fs::read_to_string(logs.path(PROCESSOR)).unwrap_or_else(|_| "?".to_owned());
            println!("{}: {took} s, {busy} s of them on a processor", story.name);
            logs.remove();
            return Ok(());
        }
        Some(status) => format!("{} ended after {took} s with {status}", story.name),
        None => format!("{} was not finished within its limit of {took} s", story.name),
    };
    Err(logs.failure(&what))
}

/// `None` when the limit was reached and the child killed, and with it its cage.
fn run_child(story: &Story, logs: &Logs) -> Result<Option<ExitStatus>> {
    let output = File::create(logs.path("out")).map_err(LabError::io("create a log"))?;
    let errors = output.try_clone().map_err(LabError::io("create a log"))?;
    let mut command = cage::command_for(&[TELL.to_owned(), story.name.to_owned()])?;
    cage::mark_inside(&mut command);
    let mut child = command
        .env(LOGS, &logs.prefix)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(LabError::io("start unshare (Debian package util-linux)"))?;
    let started = Instant::now();
    loop {
        let ended = child.try_wait().map_err(LabError::io("wait for a story"))?;
        if ended.is_some() {
            return Ok(ended);
        }
        if started.elapsed() > story.limit {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The files build/e2e-logs/NAME.*
#[derive(Debug)]
struct Logs {
    prefix: PathBuf,
}

impl Logs {
    fn new(story: &str) -> Result<Logs> {
        let directory = crate::build_dir().join("e2e-logs");
        fs::create_dir_all(&directory).map_err(LabError::io(format!("create {}", directory.display())))?;
        let logs = Logs {
            prefix: directory.join(story),
        };
        logs.remove();
        Ok(logs)
    }

    fn path(&self, suffix: &str) -> PathBuf {
        let mut path = self.prefix.clone().into_os_string();
        path.push(".");
        path.push(suffix);
        path.into()
    }

    fn files(&self) -> Vec<PathBuf> {
        let directory = self.prefix.parent().unwrap_or(Path::new("."));
        let mut start = self.prefix.file_name().unwrap_or_default().to_owned();
        start.push(".");
        let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(start.as_encoded_bytes());
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| path.file_name().is_some_and(ours));
        files.sort();
        files
    }

    fn remove(&self) {
        for file in self.files() {
            let _ = fs::remove_file(file);
        }
    }

    fn failure(&self, what: &str) -> Failure {
        let (mut text, mut brief) = (what.to_owned(), what.to_owned());
        for file in self.files() {
            let content = fs::read(&file).unwrap_or_default();
            let plain = crate::vm::plain_text(&content);
            let lines: Vec<&str> = plain.lines().collect();
            let from = lines.len().saturating_sub(TAIL);
            text.push_str(&format!("\n---- the end of {}\n", file.display()));
            text.push_str(&lines[from..].join("\n"));
            if file == self.path("out") {
                brief.push_str(&in_brief(&lines));
            }
        }
        Failure { text, brief }
    }
}

/// A telling that failed: with the ends of its logs, and in a few lines.
#[derive(Debug)]
struct Failure {
    text: String,
    brief: String,
}

impl Failure {
    fn without_logs(story: &Story, failure: &LabError) -> Failure {
        let text = format!("{}: {}", story.name, error::chain(failure));
        Failure {
            brief: text.clone(),
            text,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// From the last panic on, or the last lines: each on a line of its own, and not too long.
fn in_brief(lines: &[&str]) -> String {
    let lines: Vec<&&str> = lines.iter().filter(|line| !line.trim().is_empty()).collect();
    let panic = lines.iter().rposition(|line| line.contains("panicked at"));
    let from = panic.unwrap_or(lines.len().saturating_sub(BRIEF / 2));
    let shown = lines[from..].iter().take(BRIEF);
    shown
        .map(|line| format!("\n    {}", line.chars().take(BRIEF_WIDTH).collect::<String>()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_in_brief_begins_with_its_panic() {
        let mut lines = vec![
            "told",
            "",
            "thread 'main' panicked at stories/rows.rs:1:1:",
            "left: 1",
        ];
        assert_eq!(
            in_brief(&lines),
            "\n    thread 'main' panicked at stories/rows.rs:1:1:\n    left: 1"
        );
        lines.extend(["more"; 50]);
        assert_eq!(in_brief(&lines).lines().count(), 1 + BRIEF);
        let long = "x".repeat(1_000);
        assert_eq!(in_brief(&["a", &long]).len(), "\n    a\n    ".len() + BRIEF_WIDTH);
        assert_eq!(in_brief(&[]), "");
    }
}
