//! Properties of plans: they converge on a kernel that refuses what Linux refuses, planning again changes nothing, and
//! a pool with a live server is never empty on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{
    Config, Interface, InterfaceKind, LinkSelector, Masquerade, RealServer, Route, VirtualServer, WhenDown,
};
use crate::desired::{self, FORWARDING};
use crate::fake::FakeKernel;
use crate::model::{
    Endpoint, Forward, Limit, Persistence, Protocol, RealKey, Scheduler, VirtualSettings, Weight,
};
use crate::observed::{ForeignService, ObservedReal, ObservedVirtual};
use crate::own_mtu::OwnMtus;
use crate::pool::{self, PoolRules, Tier};
use crate::ports::KernelPort;
use crate::ruleset::{Chain, Rule};

mod stack;

const MEMORY: u64 = 1 << 30;

fn interface(name: &str, addresses: &BTreeSet<String>, gateway: Option<&str>) -> Interface {
    Interface {
        label: name.to_owned(),
        selector: LinkSelector::Name(name.parse().unwrap()),
        kind: InterfaceKind::Card,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        gateway: gateway.map(|g| g.parse().unwrap()),
        mtu: None,
        mss_clamp: None,
        routes: vec![],
    }
}

fn real(host: u8, weight: u32, when_down: WhenDown) -> RealServer {
    RealServer {
        address: RealKey {
            address: format!("172.16.0.{host}").parse().unwrap(),
            port: 80,
        },
        weight: Weight::new(weight).unwrap(),
        forward: Forward::Nat,
        when_down,
        limit: Limit::default(),
        tier: Tier::Primary,
        checks: crate::check::CheckList::one(crate::check::CheckParams::default()),
    }
}

prop_compose! {
    fn any_real()(host in 1u8..7, weight in 0u32..4, inhibit in any::<bool>()) -> RealServer {
        real(host, weight, if inhibit { WhenDown::Inhibit } else { WhenDown::Remove })
    }
}

prop_compose! {
    fn any_service()(
        port in 80u16..84,
        scheduler in 0usize..Scheduler::ALL.len(),
        persistence in proptest::option::of((1u32..3, 24u8..26)),
        reals in proptest::collection::btree_map(1u8..7, any_real(), 0..5),
    ) -> VirtualServer {
        let mut real_servers: Vec<RealServer> = Vec::new();
        for server in reals.into_values() {
            if real_servers.iter().all(|r| r.address != server.address) {
                real_servers.push(server);
            }
        }
        let endpoint = Endpoint { address: "192.168.0.1".parse().unwrap(), port, protocol: Protocol::Tcp };
        VirtualServer {
            name: format!("s{port}"),
            key: endpoint.into(),
            listen: vec![endpoint.into()],
            syn_proxy: false,
            pool: PoolRules::DEFAULT,
            settings: VirtualSettings {
                persistence: persistence.map(|(timeout_s, prefix)| Persistence { timeout_s, prefix }),
                ..Scheduler::ALL[scheduler].into()
            },
            real_servers,
        }
    }
}

prop_compose! {
    fn any_config()(
        services in proptest::collection::btree_map(80u16..84, any_service(), 0..4),
        outside in proptest::collection::btree_set((1u8..4).prop_map(|n| format!("192.168.{n}.1/24")), 0..3),
        gateway in any::<bool>(),
        masquerade in any::<bool>(),
        second in any::<bool>(),
    ) -> Config {
        let gateway = gateway.then(|| outside.first().map(|a| a.replace(".1/24", ".254"))).flatten();
        let mut interfaces = vec![interface("eth0", &outside, gateway.as_deref())];
        if second {
            interfaces.push(interface("eth1", &["172.16.0.254/24".to_owned()].into(), None));
        }
        let mut seen = BTreeSet::new();
        let services = services.into_values().filter(|s| seen.insert(s.key));
        let virtual_servers = services.map(Arc::new).collect();
        let masquerades = if masquerade {
            vec![Masquerade { from: "172.16.0.0/24".parse().unwrap(), out: "eth0".to_owned(), to: vec![] }]
        } else {
            vec![]
        };
        Config { interfaces, virtual_servers, masquerades, ..Config::empty() }
    }
}

/// One thing that somebody else did to the kernel.
#[derive(Debug, Clone)]
enum Damage {
    DropRules,
    ForeignRule,
    LinkDown,
    DropAddresses,
    StrayAddress,
    DropService,
    StrayService,
    Reweigh,
    StrayServer,
    Sysctl,
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::DropRules),
        Just(Damage::ForeignRule),
        Just(Damage::LinkDown),
        Just(Damage::DropAddresses),
        Just(Damage::StrayAddress),
        Just(Damage::DropService),
        Just(Damage::StrayService),
        Just(Damage::Reweigh),
        Just(Damage::StrayServer),
        Just(Damage::Sysctl),
    ]
}

fn inflict(kernel: &mut FakeKernel, damage: &Damage) {
    let state = &mut kernel.state;
    let eth0 = "eth0".parse().unwrap();
    match damage {
        Damage::DropRules => state.ruleset = None,
        Damage::ForeignRule => {
            if let Some(rules) = &mut state.ruleset {
                Arc::make_mut(rules).push(Chain::Input, Rule::Foreign("accept".to_owned()));
            }
        }
        Damage::LinkDown => {
            let link = state.links.get_mut(&eth0).unwrap();
            link.admin_up = false;
            link.routes.clear();
        }
        Damage::DropAddresses => {
            let link = state.links.get_mut(&eth0).unwrap();
            link.addresses.clear();
            link.routes.clear();
        }
        Damage::StrayAddress => {
            state
                .links
                .get_mut(&eth0)
                .unwrap()
                .addresses
                .insert("10.9.9.9/24".parse().unwrap());
        }
        Damage::DropService => drop(state.virtual_servers.pop_first()),
        Damage::StrayService => {
            state
                .foreign_services
                .insert(ForeignService::Fwmark { mark: 7, ipv6: false });
        }
        Damage::Reweigh => {
            for server in state
                .virtual_servers
                .values_mut()
                .flat_map(|v| v.servers.values_mut())
            {
                *server = ObservedReal {
                    weight: Weight::new(9).unwrap(),
                    forward: None,
                    limit: None,
                };
            }
        }
        Damage::StrayServer => {
            for pool in state.virtual_servers.values_mut() {
                let key = RealKey {
                    address: "10.1.1.1".parse().unwrap(),
                    port: 1,
                };
                let real = ObservedReal {
                    weight: Weight::ONE,
                    forward: Some(Forward::Nat),
                    limit: Some(Limit::default()),
                };
                pool.servers.insert(key, real);
            }
        }
        Damage::Sysctl => {
            for value in state.sysctls.values_mut() {
                *value = "77".to_owned();
            }
        }
    }
}

/// A plan with the inputs that it was made from: health is a bit per host.
fn plan_for(config: &Config, healthy: u8, kernel: &FakeKernel) -> Vec<Step> {
    plan_on(config, healthy, &kernel.state, &kernel.own)
}

fn plan_on(config: &Config, healthy: u8, observed: &Observed, own: &OwnMtus) -> Vec<Step> {
    let network = desired::network(Some(config), &observed.links, own, MEMORY, |_| true);
    let pools: Pools = config
        .virtual_servers
        .iter()
        .map(|service| (service.key, pool_of(service, healthy)))
        .collect();
    diff(&network, &pools, observed)
}

fn pool_of(service: &VirtualServer, healthy: u8) -> desired::DesiredVirtual {
    let now = std::time::Instant::now();
    let member = |real: &RealServer| pool::Member::settled(is_healthy(healthy, real.address), now);
    pool::decide(service, member, &pool::Memory::default(), now).pool
}

fn is_healthy(healthy: u8, key: RealKey) -> bool {
    let std::net::IpAddr::V4(address) = key.address else {
        return false;
    };
    healthy & (1 << address.octets()[3]) != 0
}

/// Plans and applies until nothing is left; returns all steps.
fn converge(kernel: &mut FakeKernel, config: &Config, healthy: u8) -> Vec<Step> {
    let mut all = Vec::new();
    for _round in 0..3 {
        let network = desired::network(Some(config), &kernel.state.links, &kernel.own, MEMORY, |_| true);
        let names = network
            .sysctls
            .keys()
            .cloned()
            .chain(FORWARDING.map(str::to_owned))
            .collect();
        let observed = kernel.observe(&names).unwrap();
        let steps = plan_on(config, healthy, &observed, &kernel.own);
        if steps.is_empty() {
            return all;
        }
        for step in &steps {
            kernel
                .apply(step)
                .unwrap_or_else(|e| panic!("{e}\nplan: {steps:#?}"));
        }
        all.extend(steps);
    }
    panic!("no end after three rounds: {all:#?}");
}

fn live(pool: Option<&ObservedVirtual>) -> bool {
    pool.is_some_and(|p| p.servers.values().any(|r| r.weight.value() > 0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_converges_from_every_state(
        first in any_config(), second in any_config(), healthy in any::<[u8; 2]>(),
        damage in proptest::collection::vec(any_damage(), 0..4),
    ) {
        let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
        converge(&mut kernel, &first, healthy[0]);
        for d in &damage {
            inflict(&mut kernel, d);
        }
        converge(&mut kernel, &second, healthy[1]);
        prop_assert!(plan_for(&second, healthy[1], &kernel).is_empty());
    }

    #[test]
    fn a_pool_with_a_live_server_is_never_empty_in_between(
        before in any_service(), after in any_service(), healthy in any::<[u8; 2]>(),
    ) {
        let with = |service: &VirtualServer| {
            let mut service = service.clone();
            service.key = "192.168.0.1:80/tcp".parse().unwrap();
            Config { virtual_servers: vec![service.into()], ..Config::empty() }
        };
        let mut kernel = FakeKernel::with_links(&[]);
        converge(&mut kernel, &with(&before), healthy[0]);
        let key = with(&after).virtual_servers[0].key;
        let lived = live(kernel.state.virtual_servers.get(&key));
        let steps = plan_for(&with(&after), healthy[1], &kernel);
        let mut trial = kernel.clone();
        steps.iter().for_each(|s| trial.apply(s).unwrap());
        if lived && live(trial.state.virtual_servers.get(&key)) {
            for step in &steps {
                kernel.apply(step).unwrap();
                prop_assert!(live(kernel.state.virtual_servers.get(&key)), "empty after {step}: {steps:#?}");
            }
        }
    }

    #[test]
    fn only_what_was_damaged_is_touched(config in any_config(), healthy in any::<u8>()) {
        let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
        converge(&mut kernel, &config, healthy);
        inflict(&mut kernel, &Damage::DropRules);
        let steps = converge(&mut kernel, &config, healthy);
        prop_assert_eq!(steps.len(), 1);
        prop_assert!(matches!(steps[0], Step::ReplaceRuleset(_)));
    }
}

#[test]
fn the_filter_comes_first_and_forwarding_last() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let config = Config {
        interfaces: vec![interface("eth0", &["192.168.0.1/24".to_owned()].into(), None)],
        virtual_servers: vec![Arc::new(VirtualServer {
            name: "web".to_owned(),
            key: "192.168.0.1:80/tcp".parse().unwrap(),
            listen: vec!["192.168.0.1:80/tcp".parse::<Endpoint>().unwrap().into()],
            settings: Scheduler::Rr.into(),
            syn_proxy: false,
            pool: PoolRules::DEFAULT,
            real_servers: vec![real(1, 1, WhenDown::Remove)],
        })],
        ..Config::empty()
    };
    let steps = converge(&mut kernel, &config, 0xff);
    let at = |wanted: fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
    let filter = at(|s| matches!(s, Step::ReplaceRuleset(_)));
    let up = at(|s| matches!(s, Step::SetLinkUp(_)));
    let pool = at(|s| matches!(s, Step::AddReal { .. }));
    let forwarding = at(network::is_forwarding_on);
    assert!(filter < up && up < pool && pool < forwarding, "{steps:#?}");
    assert!(steps[forwarding..].iter().all(network::is_forwarding_on));
}

#[test]
fn a_service_is_opened_after_its_pool_is_filled() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let config = Config {
        interfaces: vec![interface("eth0", &["192.168.0.1/24".to_owned()].into(), None)],
        virtual_servers: vec![Arc::new(VirtualServer {
            name: "web".to_owned(),
            key: "192.168.0.1:80/tcp".parse().unwrap(),
            listen: vec!["192.168.0.1:80/tcp".parse::<Endpoint>().unwrap().into()],
            settings: Scheduler::Rr.into(),
            syn_proxy: false,
            pool: PoolRules::DEFAULT,
            real_servers: vec![real(1, 1, WhenDown::Remove)],
        })],
        ..Config::empty()
    };
    converge(
        &mut kernel,
        &Config {
            virtual_servers: vec![],
            ..config.clone()
        },
        0xff,
    );
    let lines: Vec<String> = converge(&mut kernel, &config, 0xff)
        .iter()
        .map(Step::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "add virtual 192.168.0.1:80/tcp scheduler rr",
            "add real 172.16.0.1:80 weight 1 nat to 192.168.0.1:80/tcp",
            "replace ruleset: 1 services, 7 input",
            "announce 192.168.0.1 on eth0",
        ]
    );
}

#[test]
fn a_defence_that_ipvs_has_raised_is_left_alone() {
    let mut kernel = FakeKernel::with_links(&["eth0"]);
    converge(&mut kernel, &Config::empty(), 0);
    for name in desired::IPVS_DEFENCES {
        assert_eq!(kernel.state.sysctls[name], "1");
        kernel.state.sysctls.insert(name.to_owned(), "2".to_owned());
        assert_eq!(plan_for(&Config::empty(), 0, &kernel), []);
        for other in ["0", "3"] {
            kernel.state.sysctls.insert(name.to_owned(), other.to_owned());
            let steps = converge(&mut kernel, &Config::empty(), 0);
            let first = steps[0].to_string();
            assert_eq!(first, format!("set sysctl {name} 1"), "from {other}");
        }
    }
}

#[test]
fn without_a_configuration_forwarding_is_off_and_goes_first() {
    let mut kernel = FakeKernel::with_links(&["eth0"]);
    let names: BTreeSet<_> = FORWARDING.map(str::to_owned).into();
    kernel.observe(&names).unwrap();
    kernel
        .state
        .sysctls
        .insert(FORWARDING[0].to_owned(), "1".to_owned());
    let network = desired::network(None, &kernel.state.links, &kernel.own, MEMORY, |_| true);
    let steps = diff(&network, &BTreeMap::new(), &kernel.state);
    assert_eq!(steps[0].to_string(), "set sysctl net/ipv4/ip_forward 0");
}

#[test]
fn a_route_that_changes_its_next_hop_is_replaced() {
    let mut kernel = FakeKernel::with_links(&["eth0"]);
    let addresses = ["192.168.0.1/24".to_owned()].into();
    let with = |gateway| Config {
        interfaces: vec![interface("eth0", &addresses, Some(gateway))],
        ..Config::empty()
    };
    converge(&mut kernel, &with("192.168.0.254"), 0);
    let lines: Vec<String> = converge(&mut kernel, &with("192.168.0.253"), 0)
        .iter()
        .map(Step::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "delete route 0.0.0.0/0 via 192.168.0.254 dev eth0",
            "add route 0.0.0.0/0 via 192.168.0.253 dev eth0"
        ]
    );
    let route = Route {
        to: "0.0.0.0/0".parse().unwrap(),
        via: "192.168.0.253".parse().unwrap(),
    };
    assert!(kernel.state.links.values().all(|l| l.routes.contains(&route)));
}

/// The address of a service is told to the neighbours when the service is opened, and not before; others at once.
#[test]
fn an_address_is_announced_when_a_service_is_open_there() {
    let service = VirtualServer {
        name: "web".to_owned(),
        key: "192.168.1.1:80/tcp".parse().unwrap(),
        listen: vec!["192.168.1.1:80/tcp".parse::<Endpoint>().unwrap().into()],
        settings: Scheduler::Wlc.into(),
        syn_proxy: false,
        pool: PoolRules::DEFAULT,
        real_servers: vec![],
    };
    let outside: BTreeSet<String> = ["192.168.1.1/24", "192.168.1.2/24"].map(String::from).into();
    let config = Config {
        interfaces: vec![interface("eth0", &outside, None)],
        virtual_servers: vec![service.into()],
        ..Config::empty()
    };
    let mut kernel = FakeKernel::with_links(&["eth0"]);
    let announced = |kernel: &mut FakeKernel, open: bool| -> Vec<String> {
        let network = desired::network(Some(&config), &kernel.state.links, &kernel.own, MEMORY, |_| open);
        let steps = diff(&network, &BTreeMap::new(), &kernel.state);
        for step in &steps {
            let _ = kernel.apply(step);
        }
        let announced = steps.iter().filter(|s| matches!(s, Step::Announce { .. }));
        announced.map(Step::to_string).collect()
    };
    assert_eq!(announced(&mut kernel, false), ["announce 192.168.1.2 on eth0"]);
    assert_eq!(announced(&mut kernel, false), [""; 0]);
    assert_eq!(announced(&mut kernel, true), ["announce 192.168.1.1 on eth0"]);
    assert_eq!(announced(&mut kernel, true), [""; 0]);
}

/// A plan of a start has one for each server, and there may be tens of thousands.
#[test]
fn a_step_is_small() {
    let size = size_of::<Step>();
    assert!(size <= 72, "{size} bytes");
}
