//! Damage on demand inside the appliance's VM. This test-only program is put into a copy of the root image and started
//! in init's place: it leaves a child that listens on the virtio serial port `saboteur` and becomes the real init.
//! A request is one line, a JSON array of words that is run as a command in init's root; so is the answer:
//! `{"status":0,"stdout":"","stderr":""}`. `["proc","PATH"]` reads a file of /proc without starting anything, for those who
//! measure what the machine does. The product has no hook for any of this.

mod agreement;
mod floor;
mod orders;
mod syns;
mod unsynced;
mod watch;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use rustix::process::{Pid, Signal, chroot, kill_process};
use serde_json::json;

/// Our own view of /proc and /dev, made with the root image, out of init's way.
const PROC: &str = "/saboteur/proc";
const DEV: &str = "/saboteur/dev";
/// Where the image keeps this program.
const MYSELF: &str = "/usr/bin/saboteur";
const INIT: &str = "/sbin/init";
/// For devices that appear and hosts that are not connected.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        _ if std::process::id() == 1 => become_init(&arguments),
        ["--listen"] => listen(),
        ["--in-init", argv @ ..] => enter_init(argv),
        ["kill-agent"] => kill_agent().map(|pid| println!("{}", pid.as_raw_nonzero())),
        ["stop-agent"] => stop_agent(),
        ["stop-init"] => stop_init(),
        ["haunt", role, seconds] => haunt(role, seconds),
        ["fill", path] => fill(path),
        ["copy", from, to] => fs::copy(from, to).map(drop),
        ["read", path] => fs::read_to_string(path).map(|text| print!("{text}")),
        ["write", path, value] => fs::write(path, value),
        ["replace", path, text] => replace(path, text),
        ["remove", path] => fs::remove_file(path),
        ["reload", times, versions @ ..] => orders::reload(times, versions),
        ["kill-agents", times, least, most] => orders::kill_agents(times, least, most),
        ["feed", text, program, arguments @ ..] => orders::feed(text, program, arguments),
        ["flood", times] => orders::flood(times),
        ["resident"] => resident(),
        ["until", a, b, c, d, program, arguments @ ..] => watch::until(&[a, b, c, d], program, arguments),
        ["agreement"] => agreement::agreement(),
        ["floor", services, servers] => floor::floor(services, servers),
        ["cpu", name] => watch::cpu(name),
        ["weight", service, server, word] => watch::weight(service, server, word),
        ["weigh", name] => watch::weigh(name),
        ["syns", seconds] => syns::syns(seconds),
        other => Err(io::Error::other(format!("unknown command {other:?}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("saboteur: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// As PID 1: leaves the listener behind and becomes the real init.
fn become_init(arguments: &[String]) -> io::Result<()> {
    Command::new(MYSELF)
        .arg("--listen")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let (ours, theirs): (Vec<_>, Vec<_>) = arguments.iter().partition(|word| *word == unsynced::WORD);
    if !ours.is_empty() {
        unsynced::ignore_syncs()?;
    }
    Err(Command::new(INIT).args(theirs).exec())
}

fn listen() -> io::Result<()> {
    use rustix::mount::{MountFlags, mount};
    mount("proc", PROC, "proc", MountFlags::empty(), None)?;
    mount("dev", DEV, "devtmpfs", MountFlags::empty(), None)?;
    let path = port()?;
    let mut port = OpenOptions::new().read(true).write(true).open(path)?;
    let mut requests = BufReader::new(port.try_clone()?);
    let mut line = String::new();
    loop {
        // 0 bytes: nobody is connected at the other end.
        if requests.read_line(&mut line)? == 0 {
            std::thread::sleep(PAUSE);
            continue;
        }
        if line.ends_with('\n') {
            writeln!(port, "{}", answer(&line))?;
            line.clear();
        }
    }
}

/// The only virtio port that the harness gives the machine.
fn port() -> io::Result<PathBuf> {
    loop {
        for entry in fs::read_dir(DEV)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("vport") {
                return Ok(entry.path());
            }
        }
        std::thread::sleep(PAUSE);
    }
}

fn answer(line: &str) -> serde_json::Value {
    let refused = |why: String| json!({ "status": -1, "stdout": "", "stderr": why });
    let words: Vec<String> = match serde_json::from_str(line) {
        Ok(words) => words,
        Err(error) => return refused(error.to_string()),
    };
    if let [verb, path] = words.as_slice()
        && verb == "proc"
    {
        return match fs::read_to_string(format!("{PROC}/{path}")) {
            Ok(text) => json!({ "status": 0, "stdout": text, "stderr": "" }),
            Err(error) => refused(error.to_string()),
        };
    }
    // init has taken /dev with it.
    let run = |nothing| {
        let mut command = Command::new(MYSELF);
        command.arg("--in-init").args(words).stdin(Stdio::from(nothing));
        command.output()
    };
    match File::open(format!("{DEV}/null")).and_then(run) {
        Ok(output) => json!({
            "status": output.status.code().unwrap_or(-1),
            "stdout": String::from_utf8_lossy(&output.stdout),
            "stderr": String::from_utf8_lossy(&output.stderr),
        }),
        Err(error) => refused(error.to_string()),
    }
}

/// init has moved to another root since we were left behind: runs `argv` there.
fn enter_init(argv: &[&str]) -> io::Result<()> {
    chroot(format!("{PROC}/1/root"))?;
    std::env::set_current_dir("/")?;
    let (program, arguments) = argv.split_first().ok_or_else(|| io::Error::other("no command"))?;
    Err(Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .exec())
}

/// The children of init that were started under the name `role` or with it as their first word.
fn children(role: &str) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Ok(pid) = name.to_string_lossy().parse::<i32>() else {
            continue;
        };
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = command_line.split(|byte| *byte == 0).take(2);
        let path = format!("/{role}");
        let plays = words.any(|word| word == role.as_bytes() || word.ends_with(path.as_bytes()));
        if plays && status_field(pid, "PPid:") == Some(1) {
            found.extend(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

fn agent() -> io::Result<Option<Pid>> {
    Ok(children("agent")?.first().copied())
}

fn kill_agent() -> io::Result<Pid> {
    let pid = agent()?.ok_or_else(|| io::Error::other("no agent runs"))?;
    kill_process(pid, Signal::KILL)?;
    Ok(pid)
}

/// From then on it does nothing, and does not end.
fn stop_agent() -> io::Result<()> {
    let pid = agent()?.ok_or_else(|| io::Error::other("no agent runs"))?;
    Ok(kill_process(pid, Signal::STOP)?)
}

/// Init takes no SIGSTOP. A tracer stops it, for as long as the tracer is there: until the machine ends.
fn stop_init() -> io::Result<()> {
    let init = nix::unistd::Pid::from_raw(1);
    ptrace::seize(init, ptrace::Options::empty())?;
    ptrace::interrupt(init)?;
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// Kills every process of `role` as soon as it appears, for this many seconds; prints how many.
fn haunt(role: &str, seconds: &str) -> io::Result<()> {
    let seconds = seconds.parse().map_err(io::Error::other)?;
    let started = Instant::now();
    let mut killed = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        for pid in children(role)? {
            killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("{killed}");
    Ok(())
}

/// As an editor saves a file, one that leaves it to others to have it on the disk.
fn replace(path: &str, text: &str) -> io::Result<()> {
    let beside = format!("{path}~");
    fs::write(&beside, text)?;
    fs::rename(beside, path)
}

/// Writes until the file system is full.
fn fill(path: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    for size in [64 * 1024, 512] {
        let block = vec![0x5a; size];
        while file.write_all(&block).is_ok() {}
    }
    let _ = file.sync_all();
    Ok(())
}

/// Resident kilobytes of init and agent, now and at their most, as one JSON document.
fn resident() -> io::Result<()> {
    let agent = agent()?.map(|pid| pid.as_raw_nonzero().get());
    let of_agent = |field: &str| agent.and_then(|pid| status_field(pid, field));
    println!(
        "{}",
        json!({
            "init_kb": status_field(1, "VmRSS:"),
            "init_peak_kb": status_field(1, "VmHWM:"),
            "agent_kb": of_agent("VmRSS:"),
            "agent_peak_kb": of_agent("VmHWM:"),
        })
    );
    Ok(())
}

/// A number from /proc/PID/status.
fn status_field(pid: i32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
