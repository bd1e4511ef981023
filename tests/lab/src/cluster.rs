//! The cluster of the picture in lib.rs: builds it inside a cage, moves the pod, and asks what clients and the pod saw.
//! Must not: know the appliance; the lb is whoever holds 192.168.0.1 and 172.16.0.254.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::command::{Captured, output, run, run_with};
use crate::nginx::{Answer, Nginx};
use crate::policy::{PolicyCounters, WorkerRules};
use crate::{GATEWAY, LabError, MASTER_ANSWER, Result, cage};

pub const EXTERNAL: &str = "br-ext";
pub const CLUSTER: &str = "br-int";
pub const NODE_PORT: u16 = 30080;
pub const API_PORT: u16 = 6443;

/// The hosts and nodes: name, bridge, address.
const MACHINES: [(&str, &str, &str); 5] = [
    ("host01", EXTERNAL, "192.168.0.10/24"),
    ("host02", EXTERNAL, "192.168.0.20/24"),
    ("master", CLUSTER, "172.16.0.1/24"),
    ("worker01", CLUSTER, "172.16.0.11/24"),
    ("worker02", CLUSTER, "172.16.0.12/24"),
];

#[derive(Debug)]
struct Worker {
    name: &'static str,
    address: &'static str,
    /// The first three bytes of its pods' network.
    pods: &'static str,
}

const WORKERS: [Worker; 2] = [
    Worker {
        name: "worker01",
        address: "172.16.0.11",
        pods: "10.244.1",
    },
    Worker {
        name: "worker02",
        address: "172.16.0.12",
        pods: "10.244.2",
    },
];

/// Which NodePort connections a worker masquerades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceNat {
    /// Those that it forwards to a pod on another node.
    #[default]
    OtherNodes,
    /// Those for its own pod as well, as with `externalTrafficPolicy: Cluster`.
    Always,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub source_nat: SourceNat,
}

/// The running cluster. It ends with the cage.
#[derive(Debug)]
pub struct Lab {
    options: Options,
    /// `None` only while it is being moved.
    pod: Option<Nginx>,
    /// How often a pod was started; each has its own log.
    generation: u32,
    _servers: Vec<Nginx>,
}

impl Lab {
    /// Builds the cluster with the pod on worker01. Call it once, inside a cage.
    pub fn new(options: Options) -> Result<Lab> {
        cage::scratch("cluster")?;
        for bridge in [EXTERNAL, CLUSTER] {
            run(&["ip", "link", "add", bridge, "type", "bridge"])?;
            run(&["ip", "link", "set", bridge, "up"])?;
        }
        for (name, bridge, address) in MACHINES {
            add_machine(name)?;
            attach(name, "eth0", bridge, address)?;
            if bridge == CLUSTER {
                in_namespace(name, &["ip", "route", "add", "default", "via", GATEWAY])?;
            }
        }
        for worker in &WORKERS {
            prepare_worker(worker)?;
        }
        let mut lab = Lab {
            options,
            pod: None,
            generation: 0,
            _servers: servers()?,
        };
        lab.start_pod(&WORKERS[0])?;
        Ok(lab)
    }

    /// Ends the pod and starts it on `worker`, with a new address and an empty log; both workers learn of it.
    pub fn move_pod(&mut self, worker: &str) -> Result<()> {
        let target = WORKERS
            .iter()
            .find(|candidate| candidate.name == worker)
            .ok_or_else(|| LabError::Unexpected(format!("there is no worker {worker}")))?;
        drop(self.pod.take());
        run(&["ip", "netns", "del", "pod"])?;
        self.start_pod(target)
    }

    fn start_pod(&mut self, home: &Worker) -> Result<()> {
        let (address, gateway) = (format!("{}.2", home.pods), format!("{}.1", home.pods));
        add_machine("pod")?;
        run(&[
            "ip", "link", "add", "pod0", "netns", home.name, "type", "veth", "peer", "name", "eth0", "netns",
            "pod",
        ])?;
        in_namespace(
            home.name,
            &["ip", "addr", "add", &format!("{gateway}/24"), "dev", "pod0"],
        )?;
        in_namespace(home.name, &["ip", "link", "set", "pod0", "up"])?;
        in_namespace(
            "pod",
            &["ip", "addr", "add", &format!("{address}/24"), "dev", "eth0"],
        )?;
        in_namespace("pod", &["ip", "link", "set", "eth0", "up"])?;
        in_namespace("pod", &["ip", "route", "add", "default", "via", &gateway])?;
        // The policy is there before the pod answers, and before anybody sends it something.
        self.teach(home, &address, home)?;
        for worker in WORKERS.iter().filter(|worker| worker.name != home.name) {
            self.teach(worker, &address, home)?;
        }
        self.generation += 1;
        let name = format!("pod-{}", self.generation);
        self.pod = Some(Nginx::start("pod", &name, 80, Answer::DefaultPage)?);
        Ok(())
    }

    /// Gives `worker` its rules and its way to the pod.
    fn teach(&self, worker: &Worker, pod: &str, home: &Worker) -> Result<()> {
        let rules = WorkerRules {
            node: worker.address,
            node_port: NODE_PORT,
            pod,
            holds_pod: worker.name == home.name,
            source_nat: self.options.source_nat,
        };
        run_with(
            &["ip", "netns", "exec", worker.name, "nft", "-f", "-"],
            &rules.nft(),
        )?;
        if !rules.holds_pod {
            let network = format!("{}.0/24", home.pods);
            in_namespace(
                worker.name,
                &["ip", "route", "replace", &network, "via", home.address],
            )?;
        }
        Ok(())
    }

    /// Runs a program in a namespace of the picture; any exit status is fine.
    pub fn ip_netns_exec(&self, namespace: &str, argv: &[&str]) -> Result<Captured> {
        output(&[&["ip", "netns", "exec", namespace], argv].concat(), "")
    }

    /// What `curl -m 2 URL` in `namespace` makes of it.
    pub fn curl(&self, namespace: &str, url: &str) -> Result<Fetch> {
        curl(namespace, url, Duration::from_secs(2))
    }

    /// The access log of the pod that runs now.
    pub fn pod_log(&self) -> String {
        self.pod.as_ref().map(Nginx::access_log).unwrap_or_default()
    }

    /// The clients in the pod's log, one for each request.
    pub fn pod_clients(&self) -> Vec<Ipv4Addr> {
        let log = self.pod_log();
        let first = |line: &str| line.split(' ').next().and_then(|word| word.parse().ok());
        log.lines().filter_map(first).collect()
    }

    /// What the policy has seen since the pod was started on its worker.
    pub fn policy(&self) -> Result<PolicyCounters> {
        for worker in &WORKERS {
            let listed = self.ip_netns_exec(
                worker.name,
                &["nft", "-j", "list", "table", "ip", "network-policy"],
            )?;
            if listed.status.success() {
                return PolicyCounters::parse(&listed.stdout);
            }
        }
        Err(LabError::Unexpected("no worker has the policy".into()))
    }

    /// A further machine: a namespace without links; see [`Lab::attach`].
    pub fn add_machine(&self, name: &str) -> Result<()> {
        add_machine(name)
    }

    /// Gives a namespace a link on a bridge.
    pub fn attach(&self, namespace: &str, link: &str, bridge: &str, address: &str) -> Result<()> {
        attach(namespace, link, bridge, address)
    }

    /// A tap for a VM on a bridge.
    pub fn tap(&self, name: &str, bridge: &str) -> Result<()> {
        cage::check_tun()?;
        run(&["ip", "tuntap", "add", "dev", name, "mode", "tap"])?;
        run(&["ip", "link", "set", name, "master", bridge, "up"])?;
        Ok(())
    }
}

/// One request by real curl from a namespace of the picture.
pub fn curl(namespace: &str, url: &str, limit: Duration) -> Result<Fetch> {
    curl_by(namespace, &[], url, limit)
}

/// The same, with curl's options.
pub fn curl_by(namespace: &str, options: &[&str], url: &str, limit: Duration) -> Result<Fetch> {
    let limit = format!("{:.3}", limit.as_secs_f64());
    let figures = "\n%{http_code} %{time_total}";
    let mut argv = vec![
        "ip", "netns", "exec", namespace, "curl", "-sS", "-m", &limit, "-w", figures,
    ];
    argv.extend(options);
    argv.push(url);
    let done = output(&argv, "")?;
    let (body, figures) = done.stdout.rsplit_once('\n').unwrap_or(("", ""));
    let mut figures = figures.split(' ');
    Ok(Fetch {
        exit: done.code().unwrap_or(-1),
        status: figures.next().and_then(|code| code.parse().ok()).unwrap_or(0),
        seconds: figures.next().and_then(|time| time.parse().ok()).unwrap_or(0.0),
        body: body.to_owned(),
        complaint: done.stderr.trim().to_owned(),
    })
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetch {
    /// curl's exit code: 0, 7 refused, 28 timed out, ...
    pub exit: i32,
    /// HTTP status; 0 without an answer.
    pub status: u16,
    pub seconds: f64,
    pub body: String,
    pub complaint: String,
}

impl Fetch {
    pub fn is_default_page(&self) -> bool {
        self.exit == 0 && self.status == 200 && self.body.contains(crate::DEFAULT_PAGE)
    }

    /// curl's exit code 28.
    pub fn timed_out(&self) -> bool {
        self.exit == 28
    }
}

/// The master's port 6443; and the hosts, which answer with the address that they see.
fn servers() -> Result<Vec<Nginx>> {
    let seen = Answer::Text("$remote_addr");
    Ok(vec![
        Nginx::start("master", "master", API_PORT, Answer::Text(MASTER_ANSWER))?,
        Nginx::start("host01", "host01", 80, seen)?,
        Nginx::start("host02", "host02", 80, seen)?,
    ])
}

fn in_namespace(namespace: &str, argv: &[&str]) -> Result<String> {
    run(&[&["ip", "netns", "exec", namespace], argv].concat())
}

/// A namespace with loopback and without surprises: no reverse path filter, whatever the machine's default is.
fn add_machine(name: &str) -> Result<()> {
    run(&["ip", "netns", "add", name])?;
    in_namespace(name, &["ip", "link", "set", "lo", "up"])?;
    set_sysctls(
        name,
        &[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv6/conf/default/disable_ipv6", "1"),
        ],
    )
}

/// Each setting is a path below /proc/sys and its value.
fn set_sysctls(namespace: &str, settings: &[(&str, &str)]) -> Result<()> {
    for (path, value) in settings {
        let script = "echo \"$2\" > \"/proc/sys/$1\"";
        in_namespace(namespace, &["sh", "-c", script, "sh", path, value])?;
    }
    Ok(())
}

fn attach(namespace: &str, link: &str, bridge: &str, address: &str) -> Result<()> {
    // The peer's name is the port's on the bridge: at most 15 bytes.
    let port = format!("{namespace}-{link}");
    run(&[
        "ip", "link", "add", &port, "type", "veth", "peer", "name", link, "netns", namespace,
    ])?;
    run(&["ip", "link", "set", &port, "master", bridge, "up"])?;
    in_namespace(namespace, &["ip", "addr", "add", address, "dev", link])?;
    in_namespace(namespace, &["ip", "link", "set", link, "up"])?;
    Ok(())
}

/// A worker forwards, and reaches the other's pods through the other.
fn prepare_worker(worker: &Worker) -> Result<()> {
    set_sysctls(
        worker.name,
        &[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/eth0/send_redirects", "0"),
        ],
    )
}
