//! Figures of large configurations on this machine: the real agent with a kernel in memory. For each size in a process
//! of its own: the time from the start until everything is in force, the time of `config apply` when one server was
//! changed, and the memory. `make scale`; it fails when a figure is above its limit.
//! Must not: touch this machine's network. The servers have no checks, so that nothing is connected to.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_agent::{CONFIG_FILE, Places, Ports};
use lb_core::control::{Request, Response, Terms};
use lb_core::fake::{FakeKernel, FakeNetworks, Uncounted};
use lb_core::flat::FlatMap;
use lb_core::model::{RealKey, VirtualKey};
use lb_core::observed::{Observed, ObservedReal, SysctlName};
use lb_core::plan::Step;
use lb_core::ports::{KernelError, KernelPort, LinkEvents};

/// Services, and servers of each.
const SIZES: [(usize, usize); 3] = [(25, 40), (1_000, 5), (1_000, 40)];
const LOAD_LIMIT: Duration = Duration::from_secs(3);
const CHANGE_LIMIT: Duration = Duration::from_millis(100);
/// For init and agent together; here it is the agent with the memory kernel's own table.
const MEMORY_LIMIT_KB: u64 = 25_000;
/// As init starts the agent (lb_init::program).
const MALLOC: &str =
    "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=131072:glibc.malloc.mmap_threshold=65536";
const CHANGES: usize = 9;

type Problem = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let done = match arguments.as_slice() {
        [services, servers] => measure(*services, *servers),
        _ => each_size(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn each_size() -> Result<(), Problem> {
    println!("servers   load       change     of which reading  resident  peak");
    let mut failed = 0;
    for (services, servers) in SIZES {
        let status = Command::new(std::env::current_exe()?)
            .args([services.to_string(), servers.to_string()])
            .env("GLIBC_TUNABLES", MALLOC)
            .status()?;
        failed += usize::from(!status.success());
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} sizes are above their limits").into()),
    }
}

/// `heavy`: the weight of the server in the middle.
fn text(services: usize, servers: usize, heavy: usize) -> String {
    let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
                    [[interface]]\nname = \"eth1\"\naddresses = [\"10.255.0.1/8\"]\n"
        .to_owned();
    for service in 0..services {
        let port = 10_000 + service;
        let _ = write!(
            text,
            "[[virtual_server]]\nname = \"s{service}\"\nlisten = \"192.168.0.1:{port}\"\ncheck = {{ type = \"none\" }}\n"
        );
        for server in 0..servers {
            let number = service * servers + server;
            let (second, third, last) = (1 + number / 50_000, number / 200 % 250, 1 + number % 200);
            let weight = if number == services * servers / 2 {
                heavy
            } else {
                1
            };
            let _ = write!(
                text,
                "[[virtual_server.real_server]]\naddress = \"10.{second}.{third}.{last}:80\"\nweight = {weight}\n"
            );
        }
    }
    text
}

fn measure(services: usize, servers: usize) -> Result<(), Problem> {
    let place = std::env::temp_dir().join(format!("lb-scale-{}", std::process::id()));
    let config = place.join("config");
    std::fs::create_dir_all(&config)?;
    let result = measure_in(&place, &config.join(CONFIG_FILE), services, servers);
    std::fs::remove_dir_all(&place)?;
    result
}

fn measure_in(place: &Path, file: &Path, services: usize, servers: usize) -> Result<(), Problem> {
    std::fs::write(file, text(services, servers, 1))?;
    let started = Instant::now();
    start(place);
    let ready = place.join("run/agent.ready");
    while !ready.exists() {
        if started.elapsed() > Duration::from_secs(60) {
            return Err("the agent is not ready after a minute".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let load = started.elapsed();
    let mut changes = Vec::new();
    for change in 0..CHANGES {
        std::fs::write(file, text(services, servers, 2 + change))?;
        let started = Instant::now();
        let Response::Apply(report) = ask(
            &place.join("run/control.sock"),
            &Request::ConfigApply {
                terms: Terms::default(),
            },
        )?
        else {
            return Err("not an answer to `config apply`".into());
        };
        changes.push(started.elapsed());
        if report.steps.len() != 1 || !report.failed.is_empty() {
            return Err(format!(
                "one server was changed by: {:?} {:?}",
                report.steps, report.failed
            )
            .into());
        }
    }
    changes.sort();
    let change = changes[CHANGES / 2];
    let (resident, peak) = (field_kb("VmRSS:"), field_kb("VmHWM:"));
    let bytes = std::fs::read(file)?;
    let reading = Instant::now();
    let read = lb_core::config::parse_bytes(&bytes);
    let reading = reading.elapsed();
    drop(read);
    println!(
        "{:<8}  {:<9}  {:<9}  {:<16}  {:<8}  {} kB",
        services * servers,
        format!("{load:.1?}"),
        format!("{change:.2?}"),
        format!("{reading:.2?}"),
        format!("{resident}"),
        peak
    );
    if load > LOAD_LIMIT || change > CHANGE_LIMIT || peak > MEMORY_LIMIT_KB {
        return Err(format!(
            "allowed: {LOAD_LIMIT:?} for the load, {CHANGE_LIMIT:?} for a change, {MEMORY_LIMIT_KB} kB at the peak"
        )
        .into());
    }
    Ok(())
}

/// It ends with the process.
fn start(place: &Path) {
    let places = Places {
        config: place.join("config"),
        runtime: place.join("run"),
        sample: place.join("sample"),
        mirror: None,
    };
    let ports = Ports {
        kernel: Box::new(Memory(FakeKernel::with_links(&["eth0", "eth1"]))),
        activity: Box::new(Uncounted),
        links: Box::new(Nothing),
        rehearsal: Arc::new(FakeNetworks),
        frames: None,
        give_back: || (),
    };
    std::thread::spawn(move || lb_agent::run(places, ports));
}

fn ask(socket: &Path, request: &Request) -> Result<Response, Problem> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn field_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A kernel that does not remember what it was told.
struct Memory(FakeKernel);

impl KernelPort for Memory {
    fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        self.0.observe_frame(sysctls)
    }

    fn observe_servers(
        &mut self,
        service: &VirtualKey,
    ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError> {
        self.0.observe_servers(service)
    }

    fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        let result = self.0.apply(step);
        self.0.applied.clear();
        result
    }
}

struct Nothing;

impl LinkEvents for Nothing {
    fn wait(&mut self) -> Result<(), KernelError> {
        loop {
            std::thread::park();
        }
    }
}
