//! Long series of the saboteur's deeds, done inside so that no line and no new process is between two of them: reloads of
//! prepared configurations through the control socket, the deaths of many agents, and programs that read their orders.
//! Must not: know what the configurations say.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lb_core::control::{Request, Terms};
use serde_json::{Value, json};

const SOCKET: &str = "/run/lb/control.sock";
const GLANCE: Duration = Duration::from_millis(20);
/// For connections that are about to end, and for an agent to come back.
const PATIENCE: Duration = Duration::from_secs(30);

/// `times` reloads; each takes the next of `versions`, files beside lb.toml. With `NAME@SERVER` it waits first until no
/// connection of that server is active: the server is about to leave. Prints the counts as one JSON document.
pub fn reload(times: &str, versions: &[&str]) -> io::Result<()> {
    let times: usize = times.parse().map_err(io::Error::other)?;
    let (started, mut steps, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    for version in versions.iter().cycle().take(times) {
        let (name, leaving) = version.split_once('@').unwrap_or((version, ""));
        if !leaving.is_empty() {
            wait_until_idle(leaving)?;
        }
        fs::copy(format!("/config/{name}"), "/config/lb.toml")?;
        let begun = Instant::now();
        steps += apply(name)?;
        slowest = slowest.max(begun.elapsed());
    }
    println!(
        "{}",
        json!({
            "reloads": times,
            "steps": steps,
            "seconds": started.elapsed().as_secs_f64(),
            "slowest_ms": slowest.as_millis() as u64,
        })
    );
    Ok(())
}

/// Runs a program with `text` at its standard input; what it says is said.
pub fn feed(text: &str, program: &str, arguments: &[&str]) -> io::Result<()> {
    let mut command = Command::new(program);
    let mut process = command.args(arguments).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = process.stdin.take() {
        input.write_all(text.as_bytes())?;
    }
    let status = process.wait()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{program}: {status}"))),
    }
}

/// So many errors in the kernel's log, one after the other.
pub fn flood(times: &str) -> io::Result<()> {
    let times: u32 = times.parse().map_err(io::Error::other)?;
    let mut log = fs::OpenOptions::new().write(true).open("/dev/kmsg")?;
    for n in 0..times {
        log.write_all(format!("<2>agent: flood {n}\n").as_bytes())?;
    }
    Ok(())
}

/// The number of steps that it took; every one of them must have been accepted.
fn apply(name: &str) -> io::Result<usize> {
    let mut socket = UnixStream::connect(SOCKET)?;
    let terms = Terms {
        by: "saboteur".to_owned(),
        ..Terms::default()
    };
    writeln!(socket, "{}", json!(Request::ConfigApply { terms }))?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer)?;
    let answer: Value = serde_json::from_str(&answer)?;
    let report = &answer["apply"];
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    if report["applied"] == true && count(&report["failed"]) == 0 {
        return Ok(count(&report["steps"]));
    }
    Err(io::Error::other(format!("{name}: {answer}")))
}

fn wait_until_idle(server: &str) -> io::Result<()> {
    let started = Instant::now();
    loop {
        let active = active_connections(server)?;
        if active == 0 {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{server} keeps {active} connections")));
        }
        std::thread::sleep(GLANCE);
    }
}

/// From lines such as `  -> AC100001:1F90      Masq    1      7          42`.
fn active_connections(server: &str) -> io::Result<u64> {
    let (address, port) = server.split_once(':').unwrap_or((server, "0"));
    let address: Ipv4Addr = address.parse().map_err(io::Error::other)?;
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let ours = format!("{:08X}:{port:04X}", u32::from(address));
    let table = fs::read_to_string("/proc/net/ip_vs")?;
    let lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let active = lines.filter(|words| words.get(1) == Some(&ours.as_str()));
    Ok(active.filter_map(|words| words.get(4)?.parse::<u64>().ok()).sum())
}

/// Kills `times` agents, one after another: each after a time of its own since it was seen first, between `least` and `most`
/// milliseconds. Prints how many.
pub fn kill_agents(times: &str, least: &str, most: &str) -> io::Result<()> {
    let number = |word: &str| word.parse::<u64>().map_err(io::Error::other);
    let (times, least, most) = (number(times)?, number(least)?, number(most)?);
    let mut last = None;
    for killed in 0..times {
        let started = Instant::now();
        while super::agent()?.is_none_or(|pid| Some(pid) == last) {
            if started.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("no agent after {killed} kills")));
            }
            std::thread::sleep(GLANCE);
        }
        // Spread evenly over the range, neighbours far apart.
        let spread = (most - least).max(1);
        std::thread::sleep(Duration::from_millis(least + killed * 7_919 % spread));
        last = Some(super::kill_agent()?);
    }
    println!("{times}");
    Ok(())
}
