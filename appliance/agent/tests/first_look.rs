//! What is told of a configuration that has just come: nothing of what comes with it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "stage/isolated.rs"]
mod isolated;
mod stage;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use isolated::isolated;
use lb_agent::CONFIG_FILE;
use lb_core::control::{Request, Response};
use lb_core::fake::FakeKernel;
use stage::Appliance;

const NETWORK: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
                       [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n";

/// A service with these servers; `address` and nothing else is asked of each.
fn service(servers: &[&str]) -> String {
    let mut text =
        "[[virtual_server]]\nname = \"api\"\nlisten = \"192.168.0.1:80\"\ndrain_timeout = \"0s\"\n\
                    check = { interval = \"200ms\", timeout = \"100ms\", retries = 0, rise = 1 }\n"
            .to_owned();
    for server in servers {
        text += &format!("[[virtual_server.real_server]]\naddress = \"{server}\"\n");
    }
    text
}

fn events(appliance: &Appliance) -> Vec<String> {
    let (last, about) = (100, None);
    match appliance.ask(&Request::Events { last, about }) {
        Response::Events(report) => report.events.into_iter().map(|event| event.text).collect(),
        other => panic!("{other:?}"),
    }
}

/// All that was told until this is.
fn events_until(appliance: &Appliance, told: &str) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let events = events(appliance);
        if events.iter().any(|event| event.contains(told)) {
            return events;
        }
        assert!(Instant::now() < deadline, "nobody told {told}: {events:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn nobody_told(what: &str, events: &[String]) {
    assert!(!events.iter().any(|event| event.contains(what)), "{events:?}");
}

const CANNOT: &str = "cannot be checked";
const NONE_LEFT: &str = "has no server left";

#[test]
fn the_network_of_a_first_configuration_comes_before_its_checks() {
    isolated(
        "the_network_of_a_first_configuration_comes_before_its_checks",
        || {
            let _server = TcpListener::bind("172.16.0.11:8080").unwrap();
            let appliance = Appliance::start("[appliance]\nhostname = \"lb\"\n");
            appliance.record.0.lock().unwrap().slow = Duration::from_millis(300);
            appliance.put(&(NETWORK.to_owned() + &service(&["172.16.0.11:8080"])));
            let events = events_until(&appliance, "172.16.0.11:8080 of api is up");
            nobody_told(CANNOT, &events);
        },
    );
}

/// As a card that is found, or has its cable seen, after the first look at the links.
#[test]
fn a_card_that_a_start_finds_late_is_waited_for() {
    isolated("a_card_that_a_start_finds_late_is_waited_for", || {
        let _server = TcpListener::bind("172.16.0.11:8080").unwrap();
        let text = NETWORK.to_owned() + &service(&["172.16.0.11:8080"]);
        let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
        let eth1 = "eth1".parse().unwrap();
        let card = kernel.state.links.remove(&eth1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("config").join(CONFIG_FILE), text).unwrap();
        let appliance = Appliance::start_on(dir, kernel);
        std::thread::sleep(Duration::from_millis(300));
        let mut record = appliance.record.0.lock().unwrap();
        record.kernel.state.links.insert(eth1, card);
        drop(record);
        appliance.links.send(()).unwrap();
        let events = events_until(&appliance, "172.16.0.11:8080 of api is up");
        nobody_told(CANNOT, &events);
    });
}

#[test]
fn a_network_that_does_not_come_is_told() {
    isolated("a_network_that_does_not_come_is_told", || {
        let text = NETWORK.replace("eth1", "eth7") + &service(&["172.16.0.11:8080"]);
        let appliance = Appliance::start(&text);
        events_until(
            &appliance,
            "172.16.0.11:8080 of api cannot be checked: no route to the server",
        );
    });
}

#[test]
fn a_service_that_had_no_server_loses_none() {
    isolated("a_service_that_had_no_server_loses_none", || {
        let appliance = Appliance::start(&(NETWORK.to_owned() + &service(&[])));
        appliance.put(&(NETWORK.to_owned() + &service(&["172.16.0.11:8080"])));
        events_until(&appliance, "172.16.0.11:8080 of api is down");
        // One more, while all are down.
        appliance.put(&(NETWORK.to_owned() + &service(&["172.16.0.11:8080", "172.16.0.12:8080"])));
        nobody_told(
            NONE_LEFT,
            &events_until(&appliance, "172.16.0.12:8080 of api is down"),
        );
        let server = TcpListener::bind("172.16.0.12:8080").unwrap();
        nobody_told(
            NONE_LEFT,
            &events_until(&appliance, "172.16.0.12:8080 of api is up"),
        );
        drop(server);
        let events = events_until(&appliance, NONE_LEFT);
        assert_eq!(events.iter().filter(|event| event.contains(NONE_LEFT)).count(), 1);
    });
}

#[test]
fn a_start_at_which_all_are_down_has_lost_none_and_the_next_agent_has() {
    isolated(
        "a_start_at_which_all_are_down_has_lost_none_and_the_next_agent_has",
        || {
            let appliance = Appliance::start(&(NETWORK.to_owned() + &service(&["172.16.0.11:8080"])));
            nobody_told(
                NONE_LEFT,
                &events_until(&appliance, "172.16.0.11:8080 of api is down"),
            );
            let server = TcpListener::bind("172.16.0.11:8080").unwrap();
            events_until(&appliance, "172.16.0.11:8080 of api is up");
            stage::eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.11:8080*1"]);
            // It served until the next agent began, as the kernel tells.
            let kernel = appliance.record.0.lock().unwrap().kernel.clone();
            drop(server);
            events_until(&appliance.next_with(kernel), NONE_LEFT);
        },
    );
}

#[test]
fn status_names_a_service_without_servers_and_how_it_gets_one() {
    let appliance = Appliance::start(&(NETWORK.to_owned() + &service(&[])));
    let told = "service api has no servers: its clients are refused; `config add virtual_server.api.real_server \
                address=ADDRESS:PORT` gives it one";
    assert_eq!(appliance.status().problems, [told]);
}
