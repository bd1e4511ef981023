//! Networks to try steps in, on the host's kernel: what happens there is seen nowhere else, and a hundred of them leave nothing behind.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lb_core::link_kind::{BridgeSettings, LinkKind};
use lb_core::plan::Step;
use lb_core::ports::{KernelError, RehearsalPort};
use lb_kernel::{Parts, ScratchNetworks};

const INSIDE: &str = "LB_KERNEL_SCRATCH_INSIDE";
const NETWORKS: ScratchNetworks = ScratchNetworks {
    parts: Parts { ipvs: false },
};
/// So many network namespaces the test may have at a time; its own is one of them.
const MOST: &str = "20";

/// In a user namespace of its own, of which the number of network namespaces can be limited.
fn isolated(name: &str, test: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return test();
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (util-linux) runs, and user namespaces are allowed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{name} failed in its namespaces"
    );
}

fn rehearse() -> Result<(), KernelError> {
    let name = "br0".parse().unwrap();
    let kind = LinkKind::Bridge(BridgeSettings {
        stp: false,
        forward_delay_ms: None,
    });
    let body = move || -> Result<(), KernelError> {
        let mut kernel = NETWORKS.enter(&[])?;
        let observed = kernel.observe_frame(&BTreeSet::new())?;
        assert!(
            !observed.links.contains_key(&name) && observed.ruleset.is_none(),
            "{observed:?}"
        );
        kernel.apply(&Step::CreateLink {
            link: name.clone(),
            kind: Box::new(kind),
        })?;
        kernel.apply(&Step::SetLinkUp(name.clone()))?;
        kernel.apply(&Step::AddAddress {
            link: name.clone(),
            address: "10.0.0.1/24".parse().unwrap(),
        })?;
        kernel.apply(&Step::ReplaceRuleset(Box::default()))?;
        let observed = kernel.observe_frame(&BTreeSet::new())?;
        assert!(
            observed.links[&name].admin_up && observed.ruleset.is_some(),
            "{observed:?}"
        );
        Ok(())
    };
    thread::spawn(body).join().expect("the thread did not panic")
}

fn links() -> BTreeSet<String> {
    let listed = fs::read_to_string("/proc/self/net/dev").unwrap();
    let names = listed.lines().skip(2).filter_map(|line| line.split(':').next());
    names.map(|name| name.trim().to_owned()).collect()
}

fn sockets() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_hundred_rehearsals_leave_nothing_behind() {
    isolated("a_hundred_rehearsals_leave_nothing_behind", || {
        fs::write("/proc/sys/user/max_net_namespaces", MOST).unwrap();
        rehearse().unwrap();
        let (before, open) = (links(), sockets());
        let end = Instant::now() + Duration::from_secs(60);
        for _ in 0..100 {
            // The kernel takes namespaces down by itself, a little later.
            while let Err(error) = rehearse() {
                assert_eq!(error.to_string(), "make a network to try it in: ENOSPC");
                assert!(Instant::now() < end, "namespaces are not given back");
                thread::sleep(Duration::from_millis(20));
            }
        }
        assert_eq!((links(), sockets()), (before, open));
        // More than these at a time there cannot be: the limit is one that counts.
        let held: Vec<_> = (0..20)
            .map(|_| {
                thread::spawn(|| {
                    let kernel = NETWORKS.enter(&[]);
                    thread::sleep(Duration::from_secs(2));
                    kernel.map(drop)
                })
            })
            .collect();
        let outcomes = held.into_iter().map(|thread| thread.join().unwrap());
        let refused = outcomes.filter(Result::is_err).count();
        assert!(refused > 0, "the limit of {MOST} does not count");
    });
}

/// The thread that asked stays where it was.
#[test]
fn without_a_namespace_it_is_said_why() {
    isolated("without_a_namespace_it_is_said_why", || {
        fs::write("/proc/sys/user/max_net_namespaces", "0").unwrap();
        assert_eq!(
            rehearse().unwrap_err().to_string(),
            "make a network to try it in: ENOSPC"
        );
    });
}
