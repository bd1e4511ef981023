//! Whole decisions, readable in review: what leads from one configuration and health to another. Each folder of
//! tests/golden is a case: `config.toml` and `health.txt` are the wish; `before.toml` and `before-health.txt`, if there,
//! are what the kernel was brought to first; `links.txt`, if there, are the machine's cards; `plan.txt` holds the expected problems and steps.
//! With UPDATE_GOLDEN=1 the plans are written anew, to be reviewed as a change.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lb_core::config::{self, Config, RealServer, VirtualServer};
use lb_core::desired::{self, FORWARDING, Network, Pools};
use lb_core::fake::FakeKernel;
use lb_core::plan::{self, Step};
use lb_core::pool::{self, Member, Memory};
use lb_core::ports::KernelPort;

const MEMORY: u64 = 128 << 20;

fn read_config(path: &Path) -> Config {
    let text = fs::read_to_string(path).unwrap();
    config::parse(&text)
        .unwrap_or_else(|faults| panic!("{}", faults.render(&path.display().to_string(), &text)))
}

/// Lines `up ADDRESS:PORT`; every other server is not in its pool.
fn read_health(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            line.strip_prefix("up ")
                .expect("a line is `up ADDRESS:PORT`")
                .to_owned()
        })
        .collect()
}

fn pool_of(service: &VirtualServer, up: &BTreeSet<String>) -> desired::DesiredVirtual {
    let now = Instant::now();
    let member = |real: &RealServer| Member::settled(up.contains(&real.address.to_string()), now);
    pool::decide(service, member, &Memory::default(), now).pool
}

fn plan(kernel: &mut FakeKernel, config: &Config, up: &BTreeSet<String>) -> (Network, Vec<Step>) {
    let network = desired::network(Some(config), &kernel.state.links, &kernel.own, MEMORY, |_| true);
    let names = network
        .sysctls
        .keys()
        .cloned()
        .chain(FORWARDING.map(str::to_owned))
        .collect();
    let observed = kernel.observe(&names).unwrap();
    let pools: Pools = config
        .virtual_servers
        .iter()
        .map(|service| (service.key, pool_of(service, up)))
        .collect();
    let steps = plan::diff(&network, &pools, &observed);
    (network, steps)
}

fn case(directory: &Path) -> String {
    let cards = fs::read_to_string(directory.join("links.txt")).unwrap_or("eth0 eth1".to_owned());
    let cards: Vec<&str> = cards.split_whitespace().collect();
    let mut kernel = FakeKernel::with_links(&cards);
    if directory.join("before.toml").exists() {
        let before = read_config(&directory.join("before.toml"));
        let health = read_health(&directory.join("before-health.txt"));
        // The second round is for rules that go by the index of a link that the first one makes.
        for _ in 0..2 {
            for step in plan(&mut kernel, &before, &health).1 {
                kernel.apply(&step).unwrap();
            }
        }
    }
    let wish = read_config(&directory.join("config.toml"));
    let health = read_health(&directory.join("health.txt"));
    let (network, steps) = plan(&mut kernel, &wish, &health);
    for step in &steps {
        kernel.apply(step).unwrap();
    }
    let mut again = plan(&mut kernel, &wish, &health).1;
    // Rules that go by a link's index are for the round after the one that makes the link.
    let made = steps.iter().any(|step| matches!(step, Step::CreateLink { .. }));
    if made && matches!(again.as_slice(), [Step::ReplaceRuleset(_)]) {
        kernel.apply(&again[0]).unwrap();
        again = plan(&mut kernel, &wish, &health).1;
    }
    assert_eq!(
        again,
        [],
        "{}: planning again changes something",
        directory.display()
    );
    let problems = network.problems.iter().map(|p| format!("problem: {p}\n"));
    problems
        .chain(steps.iter().map(|step| format!("{step}\n")))
        .collect()
}

#[test]
fn plans_are_as_reviewed() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 6, "the cases are missing");
    let mut wrong = Vec::new();
    for directory in cases {
        let plan = case(&directory);
        let golden = directory.join("plan.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &plan).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if plan != expected {
            wrong.push(format!(
                "{}\nexpected:\n{expected}\nplanned:\n{plan}",
                directory.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
