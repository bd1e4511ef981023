//! How long a command takes until the kernel's IPVS has what it is to bring about, on the clock of this machine: the way of
//! looking is the same whoever writes the table. And how much processor time a program has had, and how much memory it has.
//! Must not: know who carries out the command.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::model::{Endpoint, RealKey, VirtualKey};
use lb_kernel::Ipvs;
use serde_json::json;

/// Between two looks, each of which is a tenth of the shorter one: for a single service, and for many, which take seconds.
const GLANCE: Duration = Duration::from_micros(500);
const GLANCE_AT_MANY: Duration = Duration::from_millis(5);
/// For what takes part of a second.
const GLANCE_AT_ONE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(600);
/// What is mapped, counted whole and in proportion to who shares it; and what of it is the process's own.
const WEIGHED: [(&str, &[&str]); 2] = [
    ("status", &["VmRSS:", "VmHWM:"]),
    ("smaps_rollup", &["Pss:", "Private_Dirty:", "Anonymous:"]),
];
/// Of `utime` and `stime` in /proc/PID/stat: USER_HZ, the same on every x86.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the table is to hold.
struct Wanted {
    service: Endpoint,
    /// This service, and those on the ports behind it.
    services: u16,
    servers: usize,
    /// What one server of each weighs; none: whatever.
    weight: Option<u32>,
}

/// `until SERVICE SERVICES SERVERS WEIGHT|any PROGRAM ...`: runs the program, and says in milliseconds when it had ended, and when the
/// kernel had so many services with so many servers each.
pub fn until(words: &[&str], program: &str, arguments: &[&str]) -> io::Result<()> {
    let mut wanted = Wanted::parse(words)?;
    let mut ipvs = Ipvs::open().map_err(io::Error::other)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let glance = match wanted.services {
        1 => GLANCE,
        _ => GLANCE_AT_MANY,
    };
    let started = Instant::now();
    let mut process = command.spawn()?;
    let answer = thread::spawn(move || process.wait().map(|status| (status, started.elapsed())));
    while !wanted.is_there(&mut ipvs)? {
        if started.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("nothing at {}", wanted.service)));
        }
        thread::sleep(glance);
    }
    let effect = started.elapsed();
    let (status, answer) = answer
        .join()
        .map_err(|_| io::Error::other("nobody waited for it"))??;
    if !status.success() {
        return Err(io::Error::other(format!("{program}: {status}")));
    }
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    println!("{}", json!({ "effect_ms": ms(effect), "answer_ms": ms(answer) }));
    Ok(())
}

impl Wanted {
    fn parse(words: &[&str]) -> io::Result<Wanted> {
        let [service, services, servers, weight] = words else {
            return Err(io::Error::other("SERVICE SERVICES SERVERS WEIGHT"));
        };
        Ok(Wanted {
            service: endpoint(service)?,
            services: services.parse().map_err(io::Error::other)?,
            servers: servers.parse().map_err(io::Error::other)?,
            weight: match *weight {
                "any" => None,
                number => Some(number.parse().map_err(io::Error::other)?),
            },
        })
    }

    /// Services that are complete are not looked at again.
    fn is_there(&mut self, ipvs: &mut Ipvs) -> io::Result<bool> {
        while self.services > 0 {
            let servers = ipvs.servers(&self.service.into()).map_err(io::Error::other)?;
            let weighs = |weight| servers.values().any(|server| server.weight.value() == weight);
            if servers.len() != self.servers || !self.weight.is_none_or(weighs) {
                return Ok(false);
            }
            self.services -= 1;
            self.service.port += 1;
        }
        Ok(true)
    }
}

fn endpoint(service: &str) -> io::Result<Endpoint> {
    let key: VirtualKey = format!("{service}/tcp").parse().map_err(io::Error::other)?;
    match key {
        VirtualKey::Endpoint(endpoint) => Ok(endpoint),
        _ => Err(io::Error::other(format!("{service} is no ADDRESS:PORT"))),
    }
}

/// `weight SERVICE SERVER up|down`: returns when this server gets new connections, or gets none: its weight is 0, or it is gone.
pub fn weight(service: &str, server: &str, word: &str) -> io::Result<()> {
    let service = endpoint(service)?;
    let address: SocketAddr = server.parse().map_err(io::Error::other)?;
    let server = RealKey {
        address: address.ip(),
        port: address.port(),
    };
    let wanted = match word {
        "up" => true,
        "down" => false,
        other => return Err(io::Error::other(format!("{other} is neither up nor down"))),
    };
    let mut ipvs = Ipvs::open().map_err(io::Error::other)?;
    let started = Instant::now();
    loop {
        let servers = ipvs.servers(&service.into()).map_err(io::Error::other)?;
        let is_up = servers.get(&server).is_some_and(|real| real.weight.value() > 0);
        if is_up == wanted {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{server} is never {word}")));
        }
        thread::sleep(GLANCE_AT_ONE);
    }
}

/// The processes of this program, by their pid.
fn processes(name: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        let command_line = fs::read(process.join("cmdline")).unwrap_or_default();
        let mut words = command_line.split(|byte| *byte == 0).take(2);
        let path = format!("/{name}");
        if words.any(|word| word == name.as_bytes() || word.ends_with(path.as_bytes())) {
            found.push(process);
        }
    }
    Ok(found)
}

/// `cpu NAME`: the seconds of processor time that all processes of this program have had.
pub fn cpu(name: &str) -> io::Result<()> {
    // One that has just ended has no more to say.
    let stat = |process: PathBuf| fs::read_to_string(process.join("stat")).unwrap_or_default();
    let ticks: u64 = processes(name)?
        .into_iter()
        .map(|process| user_and_system(&stat(process)))
        .sum();
    println!("{}", ticks as f64 / TICKS_PER_SECOND);
    Ok(())
}

/// `weigh NAME`: what PID 1 has in memory, and all processes of this program together, in kB, by the kernel's names.
pub fn weigh(name: &str) -> io::Result<()> {
    let init = Path::new("/proc/1");
    let mut daemon = processes(name)?;
    daemon.retain(|process| process != init);
    println!(
        "{}",
        json!({ "init": weights(&[init.to_owned()])?, "daemon": weights(&daemon)? })
    );
    Ok(())
}

fn weights(processes: &[PathBuf]) -> io::Result<BTreeMap<&'static str, u64>> {
    let mut sums = BTreeMap::new();
    for (file, fields) in WEIGHED {
        for field in fields {
            let each = processes.iter().map(|process| number(&process.join(file), field));
            let sum = each.sum::<io::Result<u64>>()?;
            sums.insert(field.trim_end_matches(':'), sum);
        }
    }
    Ok(sums)
}

/// Of a file of lines such as `Pss:    123 kB`.
fn number(path: &Path, field: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let word = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    word.ok_or_else(|| io::Error::other(format!("{} has no {field}", path.display())))
}

/// The 14th and 15th field (proc(5)); the second is a name in parentheses, which may hold anything.
fn user_and_system(stat: &str) -> u64 {
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields = behind.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
