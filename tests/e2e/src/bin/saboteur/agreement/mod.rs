//! Whether the real IPVS and the fake one of `lb-core` agree: every step is carried out in both, and they accept or refuse it alike and hold the
//! same table afterwards; what was read back also compares as the same, which is how the appliance looks for what others have changed.
//! In a network namespace of its own, whose table is empty. Must not: touch what the appliance has in the kernel.

mod stranger;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use lb_core::desired::{DesiredReal, DesiredVirtual};
use lb_core::fake::FakeKernel;
use lb_core::flat::FlatMap;
use lb_core::model::{Forward, Limit, RealKey, Scheduler, ServerKey, Tunnel, VirtualKey, Weight};
use lb_core::observed::{ForeignService, Observed, ObservedReal, Wanted};
use lb_core::plan::{Step, diff_foreign, diff_pools};
use lb_core::ports::{ActivityPort, KernelPort};
use lb_kernel::{Ipvs, KernelActivity};
use nix::sched::{CloneFlags, unshare};

use stranger::Stranger;

type Outcome = Result<(), Box<dyn Error>>;

/// Some datagrams full of requests, and answers of many parts.
const SERVICES: u16 = 300;
const SERVERS: u8 = 5;

/// The error is the first disagreement. What was done is printed.
pub fn agreement() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        return Err(io::Error::other(format!("ip link set lo up: {up}")));
    }
    let agreed = Probe::new().and_then(|mut probe| probe.run());
    agreed.map_err(|fault| io::Error::other(fault.to_string()))
}

/// The kernel and what it should hold.
struct Probe {
    ipvs: Ipvs,
    fake: FakeKernel,
    steps: usize,
}

impl Probe {
    fn new() -> Result<Probe, Box<dyn Error>> {
        let mut ipvs = Ipvs::open()?;
        let table = ipvs.dump()?;
        if !table.virtual_servers.is_empty() || !table.foreign_services.is_empty() {
            return Err("the IPVS table is not empty".into());
        }
        Ok(Probe {
            ipvs,
            fake: FakeKernel::default(),
            steps: 0,
        })
    }

    fn run(&mut self) -> Outcome {
        self.each_scheduler()?;
        self.each_step()?;
        self.each_refusal()?;
        self.sabotage()?;
        self.clear()?;
        self.traffic()?;
        self.clear()?;
        self.scale()?;
        println!("{} steps agreed with the fake kernel", self.steps);
        Ok(())
    }

    /// In the kernel and in the fake one; both must accept or refuse for the same reason.
    fn apply(&mut self, step: &Step) -> Outcome {
        let real = self.ipvs.apply(step).map_err(|error| error.to_string());
        let fake = self.fake.apply(step).map_err(|error| error.to_string());
        self.steps += 1;
        match real == fake {
            true => Ok(()),
            false => Err(format!("{step}: the kernel says {real:?}, the fake kernel {fake:?}").into()),
        }
    }

    fn agree(&mut self, after: &str) -> Outcome {
        let table = self.ipvs.dump()?;
        let state = &self.fake.state;
        if table.virtual_servers != state.virtual_servers {
            return Err(format!(
                "after {after}: {table:?}, but expected {:?}",
                state.virtual_servers
            )
            .into());
        }
        if table.foreign_services != state.foreign_services {
            return Err(format!("after {after}: foreign services {:?}", table.foreign_services).into());
        }
        let known = Observed {
            ipvs_timeouts: table.timeouts,
            ..state.clone()
        };
        match self.differing(&known)? {
            None => Ok(()),
            Some(what) => Err(format!("after {after}: {what} compares as different").into()),
        }
    }

    /// What the comparison with the kernel finds first.
    fn differing(&mut self, known: &Observed) -> Result<Option<String>, Box<dyn Error>> {
        if !self.ipvs.services_are(known)? {
            return Ok(Some("the list of services".to_owned()));
        }
        for (key, seen) in &known.virtual_servers {
            if !self.ipvs.servers_are(key, &seen.servers)? {
                return Ok(Some(key.to_string()));
            }
        }
        Ok(None)
    }

    fn step(&mut self, step: Step) -> Outcome {
        self.apply(&step)?;
        self.agree(&step.to_string())
    }

    fn each_scheduler(&mut self) -> Outcome {
        let service = service(4, 80);
        for scheduler in Scheduler::ALL {
            self.step(Step::AddVirtual {
                service,
                settings: scheduler.into(),
            })?;
            self.step(Step::DeleteVirtual(service))?;
        }
        self.step(Step::AddVirtual {
            service,
            settings: Scheduler::Rr.into(),
        })?;
        for scheduler in Scheduler::ALL {
            self.step(Step::EditVirtual {
                service,
                settings: scheduler.into(),
            })?;
        }
        self.step(Step::DeleteVirtual(service))
    }

    fn each_step(&mut self) -> Outcome {
        for family in [4, 6] {
            let (service, scheduler) = (service(family, 80), Scheduler::Wrr);
            self.step(Step::AddVirtual {
                service,
                settings: scheduler.into(),
            })?;
            for last in 1..=3 {
                self.step(add_real(service, server(family, last), u32::from(last)))?;
            }
            for weight in [0, 1, Weight::MAX] {
                self.step(Step::EditReal {
                    service,
                    server: server(family, 1),
                    real: DesiredReal {
                        weight: weight_of(weight),
                        forward: Forward::Nat,
                        limit: Limit::default(),
                    },
                })?;
            }
            let server = server(family, 2);
            self.step(Step::DeleteReal { service, server })?;
            self.step(add_real(service, server, 9))?;
        }
        Ok(())
    }

    fn each_refusal(&mut self) -> Outcome {
        let (here, absent) = (service(4, 80), service(4, 81));
        let (known, unknown) = (server(4, 1), server(4, 99));
        let (weight, forward, scheduler) = (Weight::ONE, Forward::Nat, Scheduler::Rr);
        let edit = |service, server| Step::EditReal {
            service,
            server,
            real: DesiredReal {
                weight,
                forward,
                limit: Limit::default(),
            },
        };
        for step in [
            Step::AddVirtual {
                service: here,
                settings: scheduler.into(),
            },
            Step::EditVirtual {
                service: absent,
                settings: scheduler.into(),
            },
            Step::DeleteVirtual(absent),
            add_real(here, known, 1),
            add_real(absent, known, 1),
            edit(here, unknown),
            edit(absent, unknown),
            Step::DeleteReal {
                service: here,
                server: unknown,
            },
            Step::DeleteReal {
                service: absent,
                server: unknown,
            },
            Step::DeleteForeign(ForeignService::Fwmark { mark: 9, ipv6: false }),
        ] {
            if self.ipvs.apply(&step).is_ok() {
                return Err(format!("{step}: the kernel has accepted it").into());
            }
            self.step(step)?;
        }
        Ok(())
    }

    /// What others did is seen, never hides what is ours, and the plan that follows repairs it.
    fn sabotage(&mut self) -> Outcome {
        let desired = BTreeMap::from([
            (service(4, 80), pool(4, &[1, 2, 3])),
            (service(6, 80), pool(6, &[1, 2])),
        ]);
        self.reconcile(&desired)?;
        let whole = self.fake.state.virtual_servers[&service(4, 80)].clone();
        let foreign = Stranger::open()?.everything(service(4, 80), server(4, 1), server(4, 2))?;
        let table = self.ipvs.dump()?;
        if table.foreign_services != foreign {
            return Err(format!("foreign services: {:?}", table.foreign_services).into());
        }
        let seen = &table.virtual_servers[&service(4, 80)];
        let stands = |last| seen.servers[&server(4, last)] == whole.servers[&server(4, last)];
        if seen.settings == whole.settings || stands(1) || stands(2) {
            return Err(format!("the changes do not show: {seen:?}").into());
        }
        if self.ipvs.servers_are(&service(4, 80), &whole.servers)? {
            return Err("the changed servers compare as what they were".into());
        }
        self.reconcile(&desired)?;
        self.agree("repair")?;
        self.hide(&whole.servers)
    }

    /// A server of the other family, which the old interface leaves out, is a difference all the same.
    fn hide(&mut self, known: &FlatMap<RealKey, ObservedReal>) -> Outcome {
        let (service, server) = (service(4, 80), server(6, 9));
        for hidden in [true, false] {
            let real = DesiredReal {
                weight: Weight::ONE,
                forward: Forward::Tunnel(Tunnel::Ipip),
                limit: Limit::default(),
            };
            self.ipvs.apply(&match hidden {
                true => Step::AddReal {
                    service,
                    server,
                    real,
                },
                false => Step::DeleteReal { service, server },
            })?;
            if self.ipvs.servers_are(&service, known)? == hidden {
                return Err(format!("{server} of {service}: hidden is {hidden}, and not seen").into());
            }
        }
        Ok(())
    }

    /// Plans from what the kernel holds, applies, and finds nothing left to do.
    fn reconcile(&mut self, desired: &BTreeMap<VirtualKey, DesiredVirtual>) -> Outcome {
        for left in [false, true] {
            let table = self.ipvs.dump()?;
            self.fake.state.virtual_servers = table.virtual_servers;
            self.fake.state.foreign_services = table.foreign_services;
            let mut plan = diff_foreign(&self.fake.state);
            plan.extend(diff_pools(desired, &self.fake.state));
            if left && !plan.is_empty() {
                return Err(format!("the plan does not converge: {plan:?}").into());
            }
            for step in plan {
                self.apply(&step)?;
            }
        }
        Ok(())
    }

    fn clear(&mut self) -> Outcome {
        self.reconcile(&BTreeMap::new())?;
        self.agree("clear")
    }

    /// A connection is counted and listed, and an edit of its server leaves it alone.
    fn traffic(&mut self) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = RealKey {
            address: [127, 0, 0, 1].into(),
            port: listener.local_addr()?.port(),
        };
        let service: VirtualKey = "127.0.0.1:8000/tcp".parse()?;
        self.step(Step::AddVirtual {
            service,
            settings: Scheduler::Wlc.into(),
        })?;
        self.step(add_real(service, server, 1))?;
        let virtual_server: SocketAddr = "127.0.0.1:8000".parse()?;
        let mut client = TcpStream::connect_timeout(&virtual_server, Duration::from_secs(5))?;
        let (mut peer, _) = listener.accept()?;
        let mut reader = KernelActivity::new();
        counted_once(&mut reader, &ServerKey { service, server })?;
        self.step(Step::EditReal {
            service,
            server,
            real: DesiredReal {
                weight: Weight::ZERO,
                forward: Forward::Nat,
                limit: Limit::default(),
            },
        })?;
        client.write_all(b"x")?;
        peer.read_exact(&mut [0])?;
        let table = reader.connections(10)?;
        let listed = table.listed.first().ok_or("no connection is listed")?;
        println!("listed: {listed:?}");
        match table.total == 1 && listed.client == client.local_addr()? && listed.server == server.socket() {
            true => Ok(()),
            false => Err(format!("{table:?}").into()),
        }
    }

    fn scale(&mut self) -> Outcome {
        let last: Vec<u8> = (1..=SERVERS).collect();
        let desired: BTreeMap<VirtualKey, DesiredVirtual> = (1..=SERVICES)
            .map(|port| (service(4, port), pool(4, &last)))
            .collect();
        let start = Instant::now();
        self.reconcile(&desired)?;
        println!(
            "{SERVICES} services with {SERVERS} servers each: made and planned again in {:?}",
            start.elapsed()
        );
        let start = Instant::now();
        self.agree("scale")?;
        println!("dump and comparison: {:?}", start.elapsed());
        let start = Instant::now();
        let servers = KernelActivity::new().activity(Wanted::Servers)?.servers.len();
        println!("counters of {servers} servers: {:?}", start.elapsed());
        self.clear()
    }
}

/// `active` counts at once; the total only when the kernel's estimator has gone round (every two seconds).
fn counted_once(reader: &mut KernelActivity, key: &ServerKey) -> Outcome {
    let start = Instant::now();
    loop {
        let counted = reader.activity(Wanted::Servers)?.servers[key];
        match (counted.active_connections, counted.traffic.connections) {
            (1, 1) => return Ok(()),
            (1, 0) if start.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(100))
            }
            _ => return Err(format!("one connection is counted as {counted:?}").into()),
        }
    }
}

fn service(family: u8, port: u16) -> VirtualKey {
    let text = match family {
        4 => format!("192.0.2.1:{port}/tcp"),
        _ => format!("[2001:db8::1]:{port}/tcp"),
    };
    text.parse().expect("a key as its own Display writes it")
}

fn server(family: u8, last: u8) -> RealKey {
    let address = match family {
        4 => [198, 51, 100, last].into(),
        _ => [0x2001, 0xdb8, 1, 0, 0, 0, 0, u16::from(last)].into(),
    };
    RealKey { address, port: 8080 }
}

fn weight_of(value: u32) -> Weight {
    Weight::new(value).expect("the probe stays below the limit")
}

fn add_real(service: VirtualKey, server: RealKey, weight: u32) -> Step {
    Step::AddReal {
        service,
        server,
        real: DesiredReal {
            weight: weight_of(weight),
            forward: Forward::Nat,
            limit: Limit::default(),
        },
    }
}

fn pool(family: u8, servers: &[u8]) -> DesiredVirtual {
    let real = DesiredReal {
        weight: Weight::ONE,
        forward: Forward::Nat,
        limit: Limit::default(),
    };
    DesiredVirtual {
        settings: Scheduler::Wlc.into(),
        servers: servers.iter().map(|last| (server(family, *last), real)).collect(),
    }
}
