//! A server dies with connections: new clients go elsewhere at once, those that it had may hope for `kill_after`, and are
//! told then. Without that they would wait for an answer for a quarter of an hour.

use std::path::Path;
use std::time::{Duration, Instant};

use lb_e2e::config::with_services;
use lb_e2e::farm::{IMPATIENT, ONE, SOON, TWO, power, service, table, wait_for, who_answers};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::{Held, Peers, Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::command::run_with;
use lb_lab::load::{Program, Server};
use lb_lab::story::Told;

const WEB: (&str, u16) = ("192.168.0.1:8080", 8080);
const STICKY: u16 = 8081;
const STICKY_ONE: &str = "172.16.0.11:8081";
const STICKY_TWO: &str = "172.16.0.12:8081";
const KILL_AFTER: Duration = Duration::from_secs(8);
/// What looking at it takes on a slow machine.
const LOOK: Duration = Duration::from_secs(2);
/// Within which a client has to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 20;

/// Everything that the parts of the story need.
struct Stage {
    scene: Scene,
    saboteur: Saboteur,
    load: Program,
    peers: Peers,
}

fn config() -> String {
    let keys = format!("kill_after = \"{}s\"\n{IMPATIENT}", KILL_AFTER.as_secs());
    let sticky = format!("persistence = {{ timeout = \"5m\" }}\n{keys}");
    with_services(
        &[
            service("web", WEB.1, &keys, &[ONE, TWO]),
            service("sticky", STICKY, &sticky, &[STICKY_ONE, STICKY_TWO]),
        ]
        .concat(),
    )
}

pub fn a_dead_servers_clients_are_told() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, config()))?;
    let load = Program::own()?;
    let one = load.serve("worker01", "one", &[ONE, STICKY_ONE])?;
    let _two = load.serve("worker02", "two", &[TWO, STICKY_TWO])?;
    scene.power_on()?;
    wait_for(
        &mut scene,
        &[ONE, TWO, STICKY_ONE, STICKY_TWO].map(|server| (server, "up")),
    )?;
    let saboteur = scene.saboteur()?;
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let mut stage = Stage {
        scene,
        saboteur,
        load,
        peers,
    };
    let mut held = Held::open(&stage.peers, "host01", WEB.0, CONNECTIONS)?;
    assert_eq!(held.at("one").len(), CONNECTIONS / 2, "{held:?}");
    stage.a_short_flap_costs_nobody(&mut held)?;
    stage.the_power_is_cut(&mut held)?;
    drop(held);
    stage.a_port_refuses(one)
}

impl Stage {
    /// The first of worker01's two targets to be down, and of the other the verdict as well.
    fn cut_power(&mut self) -> Result<Instant> {
        power("worker01", false)?;
        wait_for(&mut self.scene, &[(ONE, "down"), (STICKY_ONE, "down")])?;
        Ok(Instant::now())
    }

    fn has(&self, server: &str) -> Result<bool> {
        Ok(table(&self.saboteur)?.contains(&format!("-t {} -r {server} ", WEB.0)))
    }

    fn only_two_answers(&self, occasion: &str) -> Told {
        let who = who_answers(&self.load, "host01", WEB.1, 10)?;
        assert_eq!(who, [("two".to_owned(), 10)].into(), "{occasion}");
        Ok(())
    }

    fn a_short_flap_costs_nobody(&mut self, held: &mut Held) -> Told {
        let down = self.cut_power()?;
        self.only_two_answers("a flap")?;
        power("worker01", true)?;
        wait_for(&mut self.scene, &[(ONE, "up"), (STICKY_ONE, "up")])?;
        let took = down.elapsed();
        assert!(took < KILL_AFTER, "a flap of {took:?} is not short");
        Ok(held.assert_whole("after a flap")?)
    }

    fn the_power_is_cut(&mut self, held: &mut Held) -> Told {
        let stuck = self.client_that_sticks_to("one")?;
        let down = self.cut_power()?;
        self.only_two_answers("the power is cut")?;
        let who = who_answers(&self.load, stuck, STICKY, 5)?;
        assert_eq!(
            who,
            [("two".to_owned(), 5)].into(),
            "{stuck} was one's own client"
        );
        // Nobody has given the dead one's clients up yet.
        let dead = held.at("one");
        let word = held.ask(dead[0])?;
        assert_eq!(word.said, "silence", "{:?} after it was down", down.elapsed());
        assert!(self.has(ONE)?, "{:?} after it was down", down.elapsed());
        assert!(down.elapsed() < KILL_AFTER, "nothing was seen in time");
        while self.has(ONE)? {
            assert!(down.elapsed() < KILL_AFTER + SOON, "{}", table(&self.saboteur)?);
            std::thread::sleep(Duration::from_millis(50));
        }
        let gone = down.elapsed();
        assert!(
            gone > KILL_AFTER - LOOK && gone < KILL_AFTER + LOOK,
            "gone after {gone:?}"
        );
        are_told(held, &dead[1..], "the power is cut")?;
        for number in held.at("two") {
            assert_eq!(held.ask(number)?.said, "two", "connection {number}");
        }
        Ok(())
    }

    /// Round robin gives the second client the other server.
    fn client_that_sticks_to(&self, server: &str) -> Result<&'static str> {
        let mut found = "nobody";
        for host in ["host01", "host02"] {
            let who = who_answers(&self.load, host, STICKY, 3)?;
            assert_eq!(who.len(), 1, "{host}: {who:?}");
            if who.contains_key(server) {
                found = host;
            }
        }
        assert_ne!(found, "nobody");
        Ok(found)
    }

    /// The machine is there and nobody listens. Its own words to the clients are lost, so that whoever tells them is the box.
    fn a_port_refuses(&mut self, one: Server) -> Told {
        power("worker01", true)?;
        wait_for(&mut self.scene, &[(ONE, "up"), (STICKY_ONE, "up")])?;
        let mut held = Held::open(&self.peers, "host01", WEB.0, CONNECTIONS)?;
        let dead = held.at("one");
        assert_eq!(dead.len(), CONNECTIONS / 2, "{held:?}");
        let mute = "table ip mute {\nchain out { type filter hook output priority 0; \
                    ip daddr 192.168.0.0/24 tcp flags & (fin | rst) != 0 drop; }\n}\n";
        run_with(&["ip", "netns", "exec", "worker01", "nft", "-f", "-"], mute)?;
        drop(one);
        let refused = Instant::now();
        while self.has(ONE)? {
            assert!(
                refused.elapsed() < KILL_AFTER - LOOK,
                "{}",
                table(&self.saboteur)?
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        println!(
            "a port refuses: gone from the table after {:?}",
            refused.elapsed()
        );
        are_told(&mut held, &dead, "a port refuses")?;
        self.only_two_answers("a port refuses")
    }
}

/// Their next packet is answered with RST.
fn are_told(held: &mut Held, dead: &[usize], occasion: &str) -> Told {
    let mut slowest = Duration::ZERO;
    for number in dead {
        let word = held.ask(*number)?;
        assert_eq!(word.said, "reset", "{occasion}: connection {number}, {word:?}");
        slowest = slowest.max(word.took);
    }
    println!("{occasion}: {} clients are told within {slowest:?}", dead.len());
    assert!(slowest < TOLD_WITHIN, "{occasion}: {slowest:?}");
    Ok(())
}
