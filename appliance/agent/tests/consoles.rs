//! What `status` tells of the consoles' password. The kernel is in memory.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::time::Duration;

use lb_core::console::REMOVED;
use lb_core::console::password::{FILE, Record};
use lb_core::control::InitReport;
use stage::{Appliance, config};

/// It is told until there is a new one, and not until the next boot.
#[test]
fn a_new_password_ends_the_problem_that_one_was_removed() {
    let appliance = Appliance::start(&config(&[(80, &[(1, 1)])]));
    let removed = format!("{REMOVED} at the boot menu: no console is locked");
    let other = "the clock is wrong".to_owned();
    let init = InitReport {
        problems: vec![removed.clone(), other.clone()],
        ..InitReport::default()
    };
    let runtime = appliance.file("../run");
    std::fs::write(runtime.join("init.json"), serde_json::to_vec(&init).unwrap()).unwrap();
    let told = appliance.status().problems;
    assert!(told.contains(&removed) && told.contains(&other), "{told:?}");
    let record = Record::new(b"another one", [2; 16], Duration::from_mins(10));
    std::fs::write(appliance.file(FILE), record.text()).unwrap();
    let told = appliance.status().problems;
    assert!(!told.contains(&removed) && told.contains(&other), "{told:?}");
}
