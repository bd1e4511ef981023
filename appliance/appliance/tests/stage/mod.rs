//! The stage for tests of applctl: an agent that answers from a script, and a terminal with somebody in front of it.
//! Must not: assert anything about the product.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::control::*;
use lb_core::path::PathReport;
use lb_core::traffic::{Memory, Processor, Softnet, Tracking, Traffic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

pub const APPLIANCE: &str = env!("CARGO_BIN_EXE_appliance");
/// For one expectation; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

type Script = dyn Fn(&Request) -> Vec<u8> + Send + Sync;

/// Serves its script on a socket of its own, and remembers what it was asked.
pub struct FakeAgent {
    pub socket: PathBuf,
    asked: Arc<Mutex<Vec<Request>>>,
    _directory: tempfile::TempDir,
}

impl FakeAgent {
    pub fn start(script: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> FakeAgent {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        let asked = serve(&socket, Arc::new(script));
        FakeAgent {
            socket,
            asked,
            _directory: directory,
        }
    }

    /// Answers as an appliance that is well.
    pub fn well() -> FakeAgent {
        FakeAgent::start(|request| encode(&answer(request)))
    }

    /// A place where no agent listens.
    pub fn absent() -> FakeAgent {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        FakeAgent {
            socket,
            asked: Arc::default(),
            _directory: directory,
        }
    }

    /// Begins to listen where it was absent.
    pub fn arrive(&mut self) {
        self.asked = serve(
            &self.socket,
            Arc::new(|request: &Request| encode(&answer(request))),
        );
    }

    pub fn write_init_report(&self, report: &InitReport) {
        let path = self.socket.with_file_name("init.json");
        std::fs::write(path, serde_json::to_vec(report).unwrap()).unwrap();
    }

    /// What stands for /config; not there unless a test makes it.
    pub fn volume(&self) -> PathBuf {
        self.socket.with_file_name("config")
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    /// The texts that were put.
    pub fn put(&self) -> Vec<String> {
        let texts = self.asked().into_iter().filter_map(|request| match request {
            Request::ConfigPut { text, .. } => Some(text),
            _ => None,
        });
        texts.collect()
    }
}

fn serve(socket: &Path, script: Arc<Script>) -> Arc<Mutex<Vec<Request>>> {
    let listener = UnixListener::bind(socket).unwrap();
    let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
    let memory = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (script, memory) = (script.clone(), memory.clone());
            thread::spawn(move || {
                let mut line = String::new();
                let read = BufReader::new(stream.try_clone().unwrap()).read_line(&mut line);
                let Ok(request) = serde_json::from_str::<Request>(&line) else {
                    assert!(matches!(read, Ok(0)), "not a request: {line}");
                    return;
                };
                memory.lock().unwrap().push(request.clone());
                let _ = stream.write_all(&script(&request));
            });
        }
    });
    asked
}

pub fn encode(response: &Response) -> Vec<u8> {
    let mut text = serde_json::to_vec(response).unwrap();
    text.push(b'\n');
    text
}

pub fn answer(request: &Request) -> Response {
    match request {
        Request::Console { .. } => Response::Console(ConsoleReport::default()),
        Request::Status => Response::Status(status()),
        Request::Services { name: None } => Response::Services(services()),
        Request::Services { name: Some(name) } => {
            match services().services.into_iter().find(|s| s.name == *name) {
                Some(service) => Response::Services(ServicesReport {
                    read_at_ms: read_at_ms(),
                    services: vec![service],
                }),
                None => Response::Error {
                    message: format!("there is no service `{name}`; the services are: nginx"),
                },
            }
        }
        Request::CheckNow { name } => Response::CheckNow(CheckNowReport {
            checks: if name.is_some() { 1 } else { 2 },
        }),
        Request::Drain { server, service } => Response::Drains(DrainsReport {
            drains: vec![DrainReport {
                server: server.clone(),
                service: service.clone(),
                since_unix_s: 1_764_134_400,
                servers: 1,
                connections: 12,
                empty_in_s: Some(90),
            }],
            servers: vec!["172.16.0.11:30080 of nginx".into()],
            undone: false,
            warnings: vec!["service nginx has no other server that is up: its clients are refused".into()],
            persist_fault: None,
        }),
        Request::Checks { .. } => Response::Checks(TargetsReport::default()),
        Request::Doctor { .. } => Response::Doctor(DoctorReport::default()),
        Request::Events { .. } => Response::Events(EventsReport::default()),
        Request::Undrain { .. } | Request::Drains => Response::Drains(DrainsReport::default()),
        Request::ConfigPut { .. }
        | Request::ConfigApply { .. }
        | Request::ConfigImport { .. }
        | Request::ConfigRollback { .. }
        | Request::ConfigConfirm { .. }
        | Request::ConfigAbort { .. } => Response::Apply(ApplyReport {
            applied: true,
            check: check(),
            steps: vec!["add virtual 192.168.0.1:30080/tcp rr".into()],
            changed: vec![],
            failed: vec![],
            persisted: true,
            persist_fault: None,
            mirrored: false,
            state: ChangeState::Applied,
            pending: None,
            number: None,
            former: None,
        }),
        Request::ConfigShow { .. } => Response::Config(ConfigText {
            path: "/config/lb.toml".into(),
            text: "hostname = \"lb\"\n".into(),
        }),
        Request::ConfigFiles => Response::Files(files()),
        Request::ConfigRemove { name, .. } => Response::Files(FilesReport {
            removed: Some(name.clone()),
            ..files()
        }),
        // The last server that is up.
        Request::DrainCosts { server, .. } => Response::Drains(DrainsReport {
            warnings: match server.as_str() {
                "172.16.0.12" => {
                    vec!["service nginx has no other server that is up: its clients would be refused".into()]
                }
                _ => vec![],
            },
            ..DrainsReport::default()
        }),
        Request::ConfigHistory => Response::History(HistoryReport::default()),
        Request::ConfigExport { .. } => Response::Export(export()),
        Request::ConfigDiff { .. } | Request::ConfigImportDiff { .. } => Response::Diff(DiffReport {
            from: "in force".into(),
            to: "lb.toml".into(),
            check: check(),
            changes: vec![],
            steps: vec![],
            drift: Some(vec![]),
            text: vec![],
            text_fault: None,
        }),
        Request::ConfigCheck { .. } => Response::Check(check()),
        Request::Interfaces => Response::Interfaces(InterfacesReport {
            read_at_ms: read_at_ms(),
            interfaces: vec![],
        }),
        Request::Counters { service: Some(name) } if counters(Some(name)).service.is_none() => {
            Response::Error {
                message: format!("there is no service `{name}`; the services are: nginx"),
            }
        }
        Request::Counters { service } => Response::Counters(counters(service.as_deref())),
        Request::Connections { limit } => Response::Connections(ConnectionsReport {
            total: *limit as u64,
            connections: vec![],
        }),
        Request::Path(packet) => Response::Path(PathReport {
            packet: format!("tcp to {}", packet.to),
            steps: vec![],
            servers: vec![],
            passes: packet.to.port() == 80,
            end: "goes to one of 2 servers, by wlc".into(),
            goes_to: None,
        }),
        Request::Probe { words, .. } => probe(words),
        Request::Gateway | Request::Version => Response::Error {
            message: "not in this script".into(),
        },
    }
}

/// Of a machine with a private key.
pub fn export() -> ExportReport {
    let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec();
    let export = lb_core::export::Export {
        origin: lb_core::export::Origin {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: "lb".to_owned(),
            made: "2026-11-26 19:05:00 UTC".to_owned(),
        },
        configuration: "hostname = \"lb\"\n# \tfine\n".to_owned(),
        drains: "# Written by `drain` and `undrain`.\n".to_owned(),
        files: [("client.key".to_owned(), key)].into(),
        left_out: ["ca.pem".to_owned()].into(),
    };
    let text = export.text().unwrap();
    ExportReport {
        name: "lb.export".into(),
        bytes: text.len(),
        sha256: lb_core::history::sha256(text.as_bytes()),
        holds: vec!["lb.toml".into(), "no drains".into(), "key client.key".into()],
        secrets: vec!["the private key client.key".into()],
        remarks: vec!["ca.pem is left out: it is not on this machine".into()],
        text,
    }
}

fn check() -> CheckReport {
    CheckReport {
        ok: true,
        faults: vec![],
        rendered: String::new(),
        warnings: vec![],
    }
}

pub fn status() -> StatusReport {
    StatusReport {
        hostname: "lb".into(),
        version: "0.1.0".into(),
        uptime_ms: 60_000,
        config: ConfigStatus {
            source: ConfigSource::File,
            persistent: true,
            age_ms: Some(50_000),
            pending: None,
            replaced: None,
        },
        problems: vec![],
        services: 2,
        servers_up: 2,
        servers_down: 0,
        servers_drained: 0,
        servers: 2,
        reconcile: ReconcileStatus::default(),
        agent: AgentStatus {
            pid: 61,
            uptime_ms: 50_000,
            resident_kb: 7000,
            init_resident_kb: 2000,
            checks_late_ms: 0.0,
        },
        conntrack_count: 1,
        conntrack_max: 65_536,
        console: ConsoleReport::default(),
        init: None,
    }
}

/// The scripted appliance runs for as long as the test's process does, and a second.
pub fn read_at_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    1000 + u64::try_from(START.elapsed().as_millis()).unwrap()
}

/// So many connections, packets and bytes as there were milliseconds, times so much: a thousand per second.
pub fn traffic(times: u64) -> Traffic {
    let count = read_at_ms() * times;
    Traffic {
        connections: count,
        in_packets: 2 * count,
        in_bytes: 100 * count,
        out_packets: count,
        out_bytes: 1000 * count,
    }
}

/// Its services as a list of their own, nginx ten times as busy as the other.
pub fn counters(service: Option<&str>) -> CountersReport {
    let read_at_ms = read_at_ms();
    let all = services().services;
    CountersReport {
        hostname: "lb".into(),
        read_at_ms,
        processors: vec![Processor {
            busy_ms: read_at_ms / 4,
            idle_ms: read_at_ms,
        }],
        load: None,
        memory: Memory {
            total_kb: 244_000,
            available_kb: 122_000,
        },
        conntrack: Tracking {
            count: 1,
            max: 65_536,
            ..Tracking::default()
        },
        softnet: Softnet::default(),
        ipvs: BalancedReport {
            active_connections: 6,
            inactive_connections: 2,
            table_buckets: 4096,
        },
        interfaces: vec![],
        services: all
            .iter()
            .map(|s| ServiceCounters {
                name: s.name.clone(),
                listen: s.listen.clone(),
                protocol: s.protocol.clone(),
                servers_up: 1,
                servers: 1,
                active_connections: 3,
                inactive_connections: 1,
                traffic: Some(traffic(if s.name == "nginx" { 10 } else { 1 })),
                rates: None,
            })
            .collect(),
        service: all.into_iter().find(|s| Some(s.name.as_str()) == service),
    }
}

pub fn services() -> ServicesReport {
    let service = |name: &str, listen: &str, server: &str| ServiceReport {
        mode: "primary".to_owned(),
        quorum: 1,
        weight_up: 1,
        name: name.into(),
        listen: listen.into(),
        protocol: "tcp".into(),
        fwmark: None,
        scheduler: "rr".into(),
        forward: "nat".into(),
        traffic: Some(traffic(1)),
        rates: None,
        servers: vec![ServerReport {
            address: server.into(),
            health: HealthWord::Up,
            since_ms: 12_000,
            weight: 1,
            configured_weight: 1,
            active_connections: 3,
            inactive_connections: 1,
            traffic: Some(traffic(1)),
            rates: None,
            last_check: Some(LastCheckReport {
                ok: true,
                reason: "connected".into(),
                latency_ms: 0.4,
                age_ms: 3000,
            }),
            several: None,
            standing: StandingReport::default(),
        }],
    };
    ServicesReport {
        read_at_ms: read_at_ms(),
        services: vec![
            service("kube-apiserver", "192.168.0.1:6443", "172.16.0.1:6443"),
            service("nginx", "192.168.0.1:30080", "172.16.0.11:30080"),
        ],
    }
}

/// What has come out of the terminal.
#[derive(Default)]
struct Output {
    bytes: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
    unplugged: AtomicBool,
}

/// A console on a terminal of its own.
pub struct Terminal {
    /// `/dev/pts/3`.
    pub device: String,
    master: Option<Arc<OwnedFd>>,
    child: Child,
    output: Arc<Output>,
    /// Up to here the output was expected and found.
    mark: usize,
}

/// What the terminal is like.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Rows and columns that the kernel knows.
    pub size: (u16, u16),
    /// What it answers to the question for the cursor's position.
    pub answer: Option<(u16, u16)>,
    pub colour: bool,
}

pub const SERIAL: Kind = Kind {
    size: (0, 0),
    answer: None,
    colour: false,
};
pub const SCREEN: Kind = Kind {
    size: (24, 80),
    answer: None,
    colour: false,
};

impl Terminal {
    /// Starts `applctl console --tty` as init does, and waits for the first prompt.
    pub fn start(kind: Kind, agent: &FakeAgent) -> Terminal {
        let line = if kind.answer.is_some() {
            "help"
        } else {
            "Type `help`"
        };
        let mut terminal = Terminal::begin(kind, agent, line);
        terminal.prompt();
        terminal
    }

    /// The same up to where this is shown.
    pub fn begin(kind: Kind, agent: &FakeAgent, first: &str) -> Terminal {
        Terminal::begin_with(kind, agent, first, None)
    }

    /// The same with the kernel's log, of which records of a level below 3 are shown.
    pub fn begin_with(kind: Kind, agent: &FakeAgent, first: &str, log: Option<OwnedFd>) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let (rows, columns) = kind.size;
        tcsetwinsize(
            &master,
            Winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .unwrap();
        let device = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let mut command = Command::new(APPLIANCE);
        command.args(["applctl", "console", "--tty", &device]);
        command.env_clear().env("LB_CONTROL_SOCKET", &agent.socket);
        command.env("LB_CONFIG_DIRECTORY", agent.volume());
        if !kind.colour {
            command.env("NO_COLOR", "1");
        }
        if log.is_some() {
            command.env(lb_init::CONSOLE_LOG_VARIABLE, "3");
        }
        command
            .stdin(log.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        // Kept open until the child has it open: a pty without anybody on its far side reads as hung up.
        let far = rustix::fs::open(
            &*device,
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
            rustix::fs::Mode::empty(),
        );
        let child = command.spawn().unwrap();
        let output = Arc::new(Output::default());
        let master = Some(Arc::new(master));
        let mut terminal = Terminal {
            device: device.clone(),
            master,
            child,
            output,
            mark: 0,
        };
        terminal.watch(kind.answer);
        terminal.expect(first);
        drop(far);
        terminal
    }

    fn near(&self) -> &Arc<OwnedFd> {
        self.master.as_ref().expect("nobody has hung up")
    }

    /// Collects the output, and answers as a terminal does.
    fn watch(&self, answer: Option<(u16, u16)>) {
        let master = self.near().clone();
        let output = self.output.clone();
        thread::spawn(move || {
            let mut chunk = vec![0; 4096];
            let mut tail: Vec<u8> = Vec::new();
            while !output.unplugged.load(Ordering::Relaxed) {
                let mut fds = [PollFd::new(&master, PollFlags::IN)];
                let wait = Timespec {
                    tv_sec: 0,
                    tv_nsec: 50_000_000,
                };
                if poll(&mut fds, Some(&wait)).unwrap() == 0 {
                    continue;
                }
                let length = match rustix::io::read(&master, &mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => length,
                };
                tail.extend_from_slice(&chunk[..length]);
                if let (Some((rows, columns)), true) = (answer, find(&tail, b"\x1b[6n").is_some()) {
                    rustix::io::write(&master, format!("\x1b[{rows};{columns}R").as_bytes()).unwrap();
                    tail.clear();
                }
                output.bytes.lock().unwrap().0.extend_from_slice(&chunk[..length]);
                output.changed.notify_all();
            }
            output.bytes.lock().unwrap().1 = true;
            output.changed.notify_all();
        });
    }

    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let length = rustix::io::write(self.near(), rest).unwrap();
            rest = &rest[length..];
        }
    }

    /// Waits until `text` comes, and goes on behind it. What came up to there is returned.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut guard = self.output.bytes.lock().unwrap();
        loop {
            if let Some(at) = find(&guard.0[self.mark..], text.as_bytes()) {
                let end = self.mark + at + text.len();
                let found = String::from_utf8_lossy(&guard.0[self.mark..end]).into_owned();
                self.mark = end;
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || guard.1 {
                let seen = String::from_utf8_lossy(&guard.0[self.mark..]).into_owned();
                panic!("expected {text:?}, saw {seen:?}");
            }
            guard = self.output.changed.wait_timeout(guard, left).unwrap().0;
        }
    }

    /// Types a command and waits for the prompt after its output, which is returned.
    pub fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r"));
        self.expect("\r\n");
        let found = self.expect(&prompt());
        found
            .strip_suffix(&prompt())
            .unwrap()
            .trim_end_matches("\r\x1b[K")
            .to_owned()
    }

    pub fn prompt(&mut self) {
        self.expect(&prompt());
    }

    /// Everything that has come so far.
    pub fn output(&self) -> Vec<u8> {
        self.output.bytes.lock().unwrap().0.clone()
    }

    pub fn size(&self) -> (u16, u16) {
        let size = tcgetwinsize(self.near()).unwrap();
        (size.ws_row, size.ws_col)
    }

    /// Pulls the cable, and waits for the console to end.
    pub fn hang_up(mut self) -> std::process::ExitStatus {
        self.output.unplugged.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        // The collecting thread lets go of its share of our end soon; then the far side has hung up.
        drop(self.master.take());
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(
                    Instant::now() < deadline,
                    "the console goes on without a terminal"
                ),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn prompt() -> String {
    format!("{}> ", rustix::system::uname().nodename().to_string_lossy())
}

/// The screen of 24 by 80 after all that has come so far.
pub fn screen(terminal: &Terminal) -> String {
    screen_of(terminal, 24, 80).screen().contents()
}

pub fn screen_of(terminal: &Terminal, rows: u16, columns: u16) -> vt100::Parser {
    let size = |n| NonZero::new(n).unwrap();
    let mut screen = vt100::Parser::new(size(rows), size(columns), 0);
    screen.process(&terminal.output());
    screen
}

pub fn shows(terminal: &Terminal, what: &str, holds: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds(&screen(terminal)) {
        assert!(Instant::now() < deadline, "{what}:\n{}", screen(terminal));
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}

/// Of 127.0.0.1, which every machine has.
fn probe(words: &[String]) -> Response {
    let [kind, target, keys @ ..] = words else {
        return Response::Error {
            message: "`probe` needs SERVICE SERVER, or TYPE ADDRESS:PORT".into(),
        };
    };
    let failed = keys.iter().any(|key| key == "status=500");
    Response::Probe(ProbeReport {
        kind: kind.clone(),
        target: target.clone(),
        service: None,
        server: None,
        of_several: None,
        health: None,
        timeout_ms: 1_000,
        source: "127.0.0.1".parse().ok(),
        bound_to: None,
        route: None,
        steps: vec![ProbeStep {
            at_ms: 0.3,
            what: "connect".into(),
            lines: vec![format!("TCP connection to {target}")],
        }],
        verdict: if failed {
            ProbeVerdict::Fail
        } else {
            ProbeVerdict::Pass
        },
        reason: "answered as it should".into(),
        took_ms: 1.2,
    })
}

fn files() -> FilesReport {
    let file = |name: &str, used_by: &[&str]| FileReport {
        name: name.to_owned(),
        bytes: 1_234,
        modified_unix_s: Some(1_795_000_000),
        own: None,
        used_by: used_by.iter().map(|used| (*used).to_owned()).collect(),
    };
    FilesReport {
        files: vec![
            file("ca.pem", &["lb.toml: ca of service nginx (line 12)"]),
            file("old.pem", &[]),
        ],
        ..FilesReport::default()
    }
}

/// What the agent of a machine says that has these cards, each in its state, and no configuration.
pub fn without_config(request: &Request, cards: &[(&str, &str)]) -> Vec<u8> {
    encode(&match request {
        Request::Interfaces => Response::Interfaces(InterfacesReport {
            read_at_ms: 0,
            interfaces: cards.iter().map(|(name, state)| card(name, state)).collect(),
        }),
        Request::ConfigShow { .. } => Response::Error {
            message: "there is no /config/lb.toml".to_owned(),
        },
        other => answer(other),
    })
}

pub fn card(name: &str, state: &str) -> InterfaceReport {
    InterfaceReport {
        label: None,
        link: Some(name.to_owned()),
        mac: Some(format!("52:54:00:00:00:0{}", name.len())),
        state: state.to_owned(),
        mtu: Some(1500),
        stack: StackReport::default(),
        addresses: Vec::new(),
        rx_bytes: 0,
        rx_packets: 0,
        rx_errors: 0,
        rx_dropped: 0,
        tx_bytes: 0,
        tx_packets: 0,
        tx_errors: 0,
        tx_dropped: 0,
        rates: None,
        carrier_age: None,
    }
}
