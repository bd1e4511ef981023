//! Half-open checks of real sockets, each test in a network namespace of its own, which it makes by starting itself again under
//! unshare(1); where that is not possible it fails.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lb_core::check::{CheckKind, CheckParams, Close, PROBE_PORTS};
use lb_core::ports::NextHop;
use socket2::{Protocol, Socket, Type};

use super::super::{Connects, Trust};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// For what is to end by itself, on a machine that is busy otherwise.
const LONG: Duration = Duration::from_secs(20);

fn isolated(name: &str, body: impl FnOnce()) {
    if std::env::var_os("LB_TEST_ISOLATED").is_some() {
        sh("ip link set lo up; ip addr add 172.16.0.11/24 dev lo; ip addr add 2001:db8::11/64 dev lo nodad");
        return body();
    }
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = unshare
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("probe::half_open::tests::{name}"),
            "--nocapture",
        ])
        .env("LB_TEST_ISOLATED", "1")
        .output()
        .expect("unshare (util-linux) runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed in its namespace: {text}");
    assert!(
        text.contains("1 passed"),
        "{name} was not run in its namespace: {text}"
    );
}

fn sh(line: &str) {
    assert!(
        Command::new("sh").args(["-ec", line]).status().unwrap().success(),
        "{line}"
    );
}

fn way(target: &str) -> Way {
    Way {
        target: target.parse().unwrap(),
        source: None,
        device: None,
    }
}

fn in_runtime<T>(body: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(body())
}

fn opened<A>() -> HalfOpen<A> {
    let (half_open, faults) = HalfOpen::open(Instant::now(), ProbeCookie(0x3fa1), None);
    assert!(faults.is_empty(), "{faults:?}");
    half_open
}

/// Until all have ended: how, and after how long.
async fn ended(half_open: &mut HalfOpen<usize>, count: usize) -> Vec<(usize, Outcome, Duration)> {
    half_open.flush();
    let mut all = Vec::new();
    while all.len() < count {
        let deadline = half_open.deadline().unwrap_or_else(Instant::now);
        let _ = tokio::time::timeout_at(deadline.into(), half_open.ready()).await;
        let ended = half_open.take_ended().into_iter();
        all.extend(ended.map(|(asker, began, end, outcome)| (asker, outcome, end - began)));
    }
    all.sort_by_key(|(asker, ..)| *asker);
    assert_eq!(half_open.deadline(), None);
    all
}

fn start(half_open: &mut HalfOpen<usize>, number: usize, way: &Way, timeout: Duration) {
    let now = Instant::now();
    match half_open.route(way) {
        Ok(mut route) => half_open
            .start(now, number, way.target, &mut route, timeout)
            .unwrap(),
        Err(outcome) => half_open.ended.push((number, now, now, outcome)),
    }
}

fn check(ways: &[Way], timeout: Duration) -> Vec<(usize, Outcome, Duration)> {
    in_runtime(async || {
        let mut half_open = opened();
        for (number, way) in ways.iter().enumerate() {
            start(&mut half_open, number, way, timeout);
        }
        ended(&mut half_open, ways.len()).await
    })
}

fn outcomes(ways: &[Way], timeout: Duration) -> Vec<Outcome> {
    let all = check(ways, timeout).into_iter();
    all.map(|(_, outcome, _)| outcome).collect()
}

fn silent(why: &str) -> Outcome {
    Outcome::Silent(why.to_owned())
}

fn refused() -> Outcome {
    Outcome::Refused("connection refused".to_owned())
}

fn cannot(why: &str) -> Outcome {
    Outcome::CannotCheck(why.to_owned())
}

#[test]
fn an_open_port_passes_without_its_program_and_a_closed_one_is_refused() {
    isolated(
        "an_open_port_passes_without_its_program_and_a_closed_one_is_refused",
        || {
            let listeners = ["172.16.0.11:80", "[2001:db8::11]:80"].map(|at| TcpListener::bind(at).unwrap());
            let targets = [
                "172.16.0.11:80",
                "172.16.0.11:81",
                "[2001:db8::11]:80",
                "[2001:db8::11]:81",
            ];
            for _ in 0..3 {
                let expected = [Outcome::Pass, refused(), Outcome::Pass, refused()];
                assert_eq!(outcomes(&targets.map(way), LONG), expected);
            }
            for listener in listeners {
                listener.set_nonblocking(true).unwrap();
                let accepted = listener.accept();
                assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            }
        },
    );
}

#[test]
fn many_at_once_have_each_their_own_end() {
    isolated("many_at_once_have_each_their_own_end", || {
        let _listener = TcpListener::bind("0.0.0.0:80").unwrap();
        sh("ip route add local 10.0.0.0/16 dev lo");
        let target = |number: usize| {
            let port = if number.is_multiple_of(3) { 81 } else { 80 };
            way(&format!("10.0.{}.{}:{port}", number / 250, 1 + number % 250))
        };
        let ways: Vec<Way> = (0..3_000).map(target).collect();
        for (number, outcome, _) in check(&ways, LONG) {
            let expected = if number.is_multiple_of(3) {
                refused()
            } else {
                Outcome::Pass
            };
            assert_eq!(outcome, expected, "{number}");
        }
        // The same one, several times at once.
        assert_eq!(outcomes(&vec![target(1); 20], LONG), vec![Outcome::Pass; 20]);
    });
}

#[test]
fn what_is_dropped_is_silent_and_the_deadline_holds() {
    isolated("what_is_dropped_is_silent_and_the_deadline_holds", || {
        sh("nft 'table inet t { chain i { type filter hook input priority 0; tcp dport 80 drop; }; }'");
        let timeout = Duration::from_millis(300);
        for (_, outcome, latency) in check(&["172.16.0.11:80", "[2001:db8::11]:80"].map(way), timeout) {
            assert_eq!(outcome, silent("no answer within 300ms"));
            assert!(latency >= timeout && latency < SECOND * 5, "{latency:?}");
        }
    });
}

#[test]
fn a_syn_that_is_lost_is_sent_again() {
    isolated("a_syn_that_is_lost_is_sent_again", || {
        let _listener = TcpListener::bind("172.16.0.11:80").unwrap();
        sh(
            "nft 'table inet t { chain i { type filter hook input priority 0; tcp dport 80 numgen inc mod 2 0 drop; }; }'",
        );
        let all = check(&[way("172.16.0.11:80")], LONG);
        assert_eq!(all[0].1, Outcome::Pass);
        assert!(all[0].2 >= SECOND && all[0].2 < SECOND * 3, "{:?}", all[0].2);
    });
}

/// As a task makes it, and among those that need none.
fn whole(way: &Way) -> [Outcome; 2] {
    let params = CheckParams {
        kind: CheckKind::Tcp(Close::Fin),
        timeout: LONG,
        ..CheckParams::default()
    };
    let trust = Trust::new(crate::store::Store::new("/nowhere".into()));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(async {
        let made = super::super::check(way, &params, &trust).await.outcome;
        let mut connects = Connects::new().unwrap();
        connects.start((), way.target, LONG, Close::Fin);
        connects.ready().await;
        let mut ended = connects.take_ended();
        [made, ended.pop().unwrap().1.outcome]
    })
}

#[test]
fn icmp_errors_say_what_they_say_to_a_connection() {
    isolated("icmp_errors_say_what_they_say_to_a_connection", || {
        sh("nft 'table inet t { chain i { type filter hook input priority 0;
            tcp dport 1 reject with icmpx host-unreachable
            tcp dport 2 reject with icmpx port-unreachable
            tcp dport 3 reject with tcp reset;
            tcp dport 4 reject with icmpx no-route; }; }'");
        for address in ["172.16.0.11", "[2001:db8::11]"] {
            let ways = [1, 2, 3, 4].map(|port| way(&format!("{address}:{port}")));
            let expected = [
                silent("host unreachable"),
                refused(),
                refused(),
                silent("a router says that it has no route to the server"),
            ];
            assert_eq!(outcomes(&ways, LONG), expected);
            for (way, expected) in ways.iter().zip(expected) {
                // Whole connections are told the same, in whichever way they are made.
                assert_eq!(whole(way), [expected.clone(), expected]);
            }
        }
    });
}

#[test]
fn who_forbids_a_check_is_named() {
    isolated("who_forbids_a_check_is_named", || {
        sh(
            "ip addr add 172.16.0.12/24 dev lo; ip addr add 2001:db8::12/64 dev lo nodad;
            nft 'table inet t { chain i { type filter hook input priority 0;
            tcp dport 1 reject with icmpx admin-prohibited
            tcp dport 2 reject with icmpx host-unreachable; }; }'",
        );
        let from = |target: String, source: &str| Way {
            source: Some(source.parse().unwrap()),
            ..way(&target)
        };
        for (server, shown, source) in [
            ("172.16.0.11", "172.16.0.11", "172.16.0.12"),
            ("[2001:db8::11]", "2001:db8::11", "2001:db8::12"),
        ] {
            let ways = [1, 2].map(|port| from(format!("{server}:{port}"), source));
            let [forbidden, unreachable] = <[Outcome; 2]>::try_from(outcomes(&ways, LONG)).unwrap();
            let prohibited = format!("administratively prohibited (ICMP from {shown})");
            assert_eq!(forbidden.failure(), Some(prohibited.as_str()));
            assert!(!matches!(forbidden, Outcome::Refused(_)));
            assert_eq!(
                unreachable,
                silent(&format!("host unreachable (ICMP from {shown})"))
            );
        }
    });
}

/// Their probes wait in the kernel for seconds, and hold nobody up.
#[test]
fn neighbours_that_do_not_answer_hold_nobody_up() {
    isolated("neighbours_that_do_not_answer_hold_nobody_up", || {
        let _listener = TcpListener::bind("172.16.0.11:80").unwrap();
        sh(
            "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 10.0.0.1/16 dev v0",
        );
        let dead = |number: usize| way(&format!("10.0.{}.{}:80", 1 + number / 250, 1 + number % 250));
        let few: Vec<Way> = (0..20).map(dead).collect();
        assert_eq!(outcomes(&few, LONG), vec![silent("host unreachable"); 20]);
        // The kernel does not tell of so many at once (icmp_msgs_burst).
        let mut ways: Vec<Way> = (0..900).map(dead).collect();
        ways.push(way("172.16.0.11:80"));
        let all = check(&ways, SECOND * 2);
        let (_, outcome, latency) = &all[900];
        assert_eq!(*outcome, Outcome::Pass);
        assert!(*latency < SECOND, "{latency:?}");
        for (number, outcome, _) in &all[..900] {
            assert!(matches!(outcome, Outcome::Silent(_)), "{number}: {outcome:?}");
        }
    });
}

#[test]
fn the_way_is_kept_and_what_is_missing_on_our_side_is_no_fault_of_the_server() {
    isolated(
        "the_way_is_kept_and_what_is_missing_on_our_side_is_no_fault_of_the_server",
        || {
            let _listeners = ["172.16.0.11:80", "[2001:db8::11]:80"].map(|at| TcpListener::bind(at).unwrap());
            sh(
                "ip addr add 172.16.0.12/24 dev lo; ip addr add 2001:db8::12/64 dev lo nodad;
            nft 'table inet t { chain i { type filter hook input priority 0;
                tcp dport 80 ip saddr != 172.16.0.12 drop
                tcp dport 80 ip6 saddr != 2001:db8::12 drop; };
            chain o { type filter hook output priority 0; tcp dport 82 drop; }; }'",
            );
            let from = |target: &str, source: &str, device: Option<&str>| Way {
                source: Some(source.parse().unwrap()),
                device: device.map(|name| name.parse().unwrap()),
                ..way(target)
            };
            for (target, with, without) in [
                ("172.16.0.11:80", "172.16.0.12", "192.0.2.99"),
                ("[2001:db8::11]:80", "2001:db8::12", "2001:db8:9::99"),
            ] {
                let ways = [
                    from(target, with, None),
                    from(target, with, Some("lo")),
                    from(target, without, None),
                    from(target, with, Some("eth9")),
                ];
                let missing = format!("the appliance does not have the address {without} now");
                assert_eq!(
                    outcomes(&ways, LONG),
                    [
                        Outcome::Pass,
                        Outcome::Pass,
                        cannot(&missing),
                        cannot("the interface eth9 is missing")
                    ]
                );
            }
            let ways = ["192.0.2.1:80", "172.16.0.11:82"].map(way);
            let expected = [
                "no route to the server",
                "the local filter forbids the connection",
            ]
            .map(cannot);
            assert_eq!(outcomes(&ways, LONG), expected);
        },
    );
}

#[test]
fn a_route_is_that_of_the_addresses_that_there_are() {
    isolated("a_route_is_that_of_the_addresses_that_there_are", || {
        sh(
            "ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up; ip addr add 10.0.0.1/24 dev d0; ip addr add 10.0.0.2/24 dev d0",
        );
        in_runtime(async || {
            let half_open = opened::<usize>();
            let way = way("10.0.0.9:80");
            let before = half_open.route(&way).unwrap();
            assert!(before.lasts());
            assert_eq!(before.source, IpAddr::from([10, 0, 0, 1]));
            sh("ip addr del 10.0.0.1/24 dev d0; ip addr add 10.0.0.3/24 dev d0");
            let after = half_open.route(&way).unwrap();
            assert_ne!(after.source, before.source);
            assert_eq!(after.begin, before.begin, "its ports come in the same order");
            let bound = Way {
                source: Some(after.source),
                ..way
            };
            assert!(!half_open.route(&bound).unwrap().lasts());
        });
    });
}

#[test]
fn answers_to_others_are_ignored() {
    isolated("answers_to_others_are_ignored", || {
        in_runtime(async || {
            let mut half_open = opened();
            start(&mut half_open, 0, &way("172.16.0.11:80"), LONG);
            let syn = half_open.flights.iter().next().unwrap().syn;
            let right = Answer {
                from: syn.target,
                to: Some(syn.source),
                port: syn.port,
                acknowledges: syn.sequence.wrapping_add(1),
                refuses: false,
            };
            let now = Instant::now();
            for acknowledges in [syn.sequence, syn.sequence.wrapping_add(2), 0] {
                half_open.answered(
                    now,
                    &Answer {
                        acknowledges,
                        ..right
                    },
                );
                half_open.answered(
                    now,
                    &Answer {
                        acknowledges,
                        refuses: true,
                        ..right
                    },
                );
            }
            let (from, to) = (
                "172.16.0.12:80".parse().unwrap(),
                Some(Ipv4Addr::LOCALHOST.into()),
            );
            half_open.answered(now, &Answer { from, ..right });
            half_open.answered(now, &Answer { to, ..right });
            half_open.answered(now, &Answer { port: 80, ..right });
            half_open.answered(
                now,
                &Answer {
                    port: syn.port ^ 1,
                    ..right
                },
            );
            let quote = Quote {
                target: syn.target,
                port: syn.port,
                sequence: syn.sequence.wrapping_add(1),
            };
            let said = Said {
                errno: Errno::CONNREFUSED.raw_os_error(),
                by: None,
            };
            half_open.told(now, &quote, &said);
            assert!(half_open.ended.is_empty());
            half_open.answered(now, &right);
            assert_eq!(half_open.ended.pop().unwrap().3, Outcome::Pass);
            // Again: nobody waits for it.
            half_open.answered(now, &right);
            assert!(half_open.ended.is_empty() && half_open.deadline().is_none());
        });
    });
}

/// Services may listen on all ports: then such checks cannot be made, and who asked is told.
#[test]
fn without_a_port_a_check_is_given_back() {
    isolated("without_a_port_a_check_is_given_back", || {
        in_runtime(async || {
            let mut half_open = opened();
            half_open.avoid(&PROBE_PORTS.collect(), false);
            let way = way("172.16.0.11:80");
            let mut route = half_open.route(&way).unwrap();
            assert_eq!(
                half_open.start(Instant::now(), 7, way.target, &mut route, LONG),
                Err(7)
            );
        });
    });
}

/// Knows a neighbour for everything. What it takes goes nowhere: as if the neighbour had another card by now.
#[derive(Debug, Clone, Default)]
struct Nowhere {
    /// Of each call.
    takes: usize,
    taken: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl FramePort for Nowhere {
    fn next_hop(&mut self, _from: IpAddr, to: IpAddr) -> Option<NextHop> {
        Some(NextHop {
            index: 1,
            address: to,
        })
    }

    fn neighbours(&mut self, _index: u32, is_v4: bool, tell: &mut dyn FnMut(IpAddr, MacAddress)) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let all: Vec<SocketAddr> = BOTH.iter().map(|both| both.parse().unwrap()).collect();
        let all = all.iter().filter(|target| target.is_ipv4() == is_v4);
        all.for_each(|target| tell(target.ip(), MacAddress([2; 6])));
    }

    fn send(&mut self, frames: &[Frame<'_>]) -> usize {
        let taken = self.takes.min(frames.len());
        self.taken.fetch_add(taken, Ordering::Relaxed);
        taken
    }
}

/// One check after the other by the same routes, which are kept as the engine keeps them.
async fn rounds(half_open: &mut HalfOpen<usize>, targets: &[&str], rounds: usize) -> Vec<Duration> {
    let ways: Vec<Way> = targets.iter().map(|target| way(target)).collect();
    let mut routes: Vec<Route> = ways.iter().map(|way| half_open.route(way).unwrap()).collect();
    // Of the longest first row: no check in it goes the kernel's way because of its number.
    routes.iter_mut().for_each(|route| route.begin = 14);
    let mut longest = Vec::new();
    for _ in 0..rounds {
        for (number, (way, route)) in ways.iter().zip(&mut routes).enumerate() {
            let begun = half_open.start(Instant::now(), number, way.target, route, SECOND * 4);
            begun.unwrap();
        }
        let all = ended(half_open, ways.len()).await;
        assert!(
            all.iter().all(|(_, outcome, _)| *outcome == Outcome::Pass),
            "{all:?}"
        );
        longest.extend(all.iter().map(|(.., latency)| *latency).max());
    }
    longest
}

const BOTH: [&str; 2] = ["172.16.0.11:80", "[2001:db8::11]:80"];

#[test]
fn a_frame_without_an_answer_is_followed_by_a_syn_of_the_kernels_way() {
    isolated(
        "a_frame_without_an_answer_is_followed_by_a_syn_of_the_kernels_way",
        || {
            let _listeners = BOTH.map(|at| TcpListener::bind(at).unwrap());
            in_runtime(async || {
                let port = Nowhere {
                    takes: 32,
                    ..Nowhere::default()
                };
                let (mut half_open, _) =
                    HalfOpen::open(Instant::now(), ProbeCookie(0x3fa1), Some(Box::new(port.clone())));
                let latencies = rounds(&mut half_open, &BOTH, 3).await;
                assert!(latencies[0] < SECOND, "{latencies:?}");
                // Well before the end of their time.
                for latency in &latencies[1..] {
                    assert!(*latency >= SECOND && *latency < SECOND * 3, "{latencies:?}");
                }
                assert_eq!(port.taken.load(Ordering::Relaxed), 4);
                // Nothing that was believed has outlived the silence.
                assert_eq!(port.asked.load(Ordering::Relaxed), 4);
            });
        },
    );
}

#[test]
fn what_cannot_leave_as_a_frame_goes_the_kernels_way_at_once() {
    isolated(
        "what_cannot_leave_as_a_frame_goes_the_kernels_way_at_once",
        || {
            let _listeners = BOTH.map(|at| TcpListener::bind(at).unwrap());
            in_runtime(async || {
                let port = Nowhere::default();
                let (mut half_open, _) =
                    HalfOpen::open(Instant::now(), ProbeCookie(0x3fa1), Some(Box::new(port.clone())));
                let latencies = rounds(&mut half_open, &BOTH, 4).await;
                assert!(latencies.iter().all(|latency| *latency < SECOND), "{latencies:?}");
                assert!(port.asked.load(Ordering::Relaxed) > 0);
                // A service has our ports in its range: answers have to be of a flow.
                let takes = Nowhere {
                    takes: 32,
                    ..Nowhere::default()
                };
                let (mut half_open, _) =
                    HalfOpen::open(Instant::now(), ProbeCookie(0x3fa1), Some(Box::new(takes.clone())));
                half_open.avoid(&BTreeSet::new(), true);
                rounds(&mut half_open, &BOTH, 3).await;
                assert_eq!(takes.taken.load(Ordering::Relaxed), 0);
            });
        },
    );
}

/// Another machine has the neighbour's old card, and refuses what it is asked.
#[derive(Debug)]
struct Stranger {
    socket: Socket,
    refused: Arc<AtomicUsize>,
}

impl FramePort for Stranger {
    fn next_hop(&mut self, from: IpAddr, to: IpAddr) -> Option<NextHop> {
        Nowhere::default().next_hop(from, to)
    }

    fn neighbours(&mut self, index: u32, is_v4: bool, tell: &mut dyn FnMut(IpAddr, MacAddress)) {
        Nowhere::default().neighbours(index, is_v4, tell);
    }

    fn send(&mut self, frames: &[Frame<'_>]) -> usize {
        for frame in frames {
            let syn = frame.packet;
            let mut rst = [0; 40];
            (rst[0], rst[3], rst[8], rst[9]) = (0x45, 40, 64, 6);
            rst[12..16].copy_from_slice(&syn[16..20]);
            rst[16..20].copy_from_slice(&syn[12..16]);
            rst[20..22].copy_from_slice(&syn[22..24]);
            rst[22..24].copy_from_slice(&syn[20..22]);
            let sequence = u32::from_be_bytes(syn[24..28].try_into().unwrap());
            rst[28..32].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
            (rst[32], rst[33]) = (5 << 4, 0x14);
            let to = Ipv4Addr::new(syn[12], syn[13], syn[14], syn[15]);
            let to = SocketAddr::from((to, 0));
            self.socket.send_to(&rst, &to.into()).unwrap();
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        frames.len()
    }
}

#[test]
fn a_frame_that_is_refused_is_followed_by_a_syn_of_the_kernels_way() {
    isolated(
        "a_frame_that_is_refused_is_followed_by_a_syn_of_the_kernels_way",
        || {
            let listener = TcpListener::bind(BOTH[0]).unwrap();
            in_runtime(async || {
                let refused = Arc::new(AtomicUsize::new(0));
                // IPPROTO_RAW: with the header that is brought.
                let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
                let stranger = Stranger {
                    socket,
                    refused: refused.clone(),
                };
                let (mut half_open, _) =
                    HalfOpen::open(Instant::now(), ProbeCookie(0x3fa1), Some(Box::new(stranger)));
                let latencies = rounds(&mut half_open, &BOTH[..1], 3).await;
                assert!(latencies.iter().all(|latency| *latency < SECOND), "{latencies:?}");
                // Who is doubted is not believed before another look, of which there is one in a second.
                assert_eq!(refused.load(Ordering::Relaxed), 1);
                tokio::time::sleep(SECOND).await;
                rounds(&mut half_open, &BOTH[..1], 2).await;
                assert_eq!(refused.load(Ordering::Relaxed), 2);
                // Whom the kernel asks as well is believed.
                drop(listener);
                let way = way(BOTH[0]);
                let mut route = half_open.route(&way).unwrap();
                for _ in 0..2 {
                    let begun = half_open.start(Instant::now(), 0, way.target, &mut route, SECOND);
                    begun.unwrap();
                    let all = ended(&mut half_open, 1).await;
                    assert!(matches!(all[0].1, Outcome::Refused(_)), "{all:?}");
                }
            });
        },
    );
}
