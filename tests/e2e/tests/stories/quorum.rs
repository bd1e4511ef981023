//! Whose turn it is: a quorum that is lost and won, backup servers, a sorry page, and nobody. The servers say of themselves
//! that they are ill and go on answering, so that every connection that is refused is the box's doing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lb_e2e::config::with_services;
use lb_e2e::farm::{SERVICE, asking, wait_for, wait_for_mode};
use lb_e2e::{Held, Peers, Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::cluster::curl;
use lb_lab::load::Program;
use lb_lab::nginx::{Answer, Nginx};
use lb_lab::story::Told;

const CHECK: &str = "check = { type = \"http\", path = \"/healthz\", interval = \"300ms\", timeout = \"1s\", \
                     retries = 0, rise = 1, hold_down = \"0s\" }\n";
/// Where each is, its port, its name, and the rest of its entry.
const SERVERS: [(&str, &str, u16, &str, &str); 4] = [
    ("worker01", "172.16.0.11", 8080, "one", "weight = 2"),
    ("worker02", "172.16.0.12", 8080, "two", "weight = 2"),
    ("master", "172.16.0.1", 8080, "three", ""),
    ("worker02", "172.16.0.12", 8090, "backup", "backup = true"),
];
const ONE: usize = 0;
const TWO: usize = 1;
const THREE: usize = 2;
const BACKUP: usize = 3;
/// Won at a weight of 4, lost below 2. Nobody's connection ends here.
const QUORUM: &str = "quorum = 3\nquorum_hysteresis = 1\nkill_after = \"10m\"\n";
const SORRY: &str = "[virtual_server.sorry_server]\naddress = \"172.16.0.1:8099\"\n";
const RATE: u32 = 40;

struct Pool {
    scene: Scene,
    servers: Vec<Nginx>,
    sorry: Nginx,
}

fn config(keys: &str, servers: &[usize], rest: &str) -> String {
    let mut text = format!(
        "[[virtual_server]]\nname = \"web\"\nlisten = \"192.168.0.1:8080\"\nscheduler = \"wrr\"\n{keys}{CHECK}"
    );
    for (_, address, port, _, more) in servers.iter().map(|number| SERVERS[*number]) {
        text += &format!("[[virtual_server.real_server]]\naddress = \"{address}:{port}\"\n{more}\n");
    }
    with_services(&(text + rest))
}

pub fn quorum_backup_sorry_panic() -> Told {
    let first = config(QUORUM, &[ONE, TWO, THREE, BACKUP], SORRY);
    let scene = Scene::dark(Setting::new(Start::Kernel, first))?;
    let servers =
        SERVERS.map(|(host, _, port, name, _)| Nginx::start(host, name, port, Answer::Health(name)));
    let mut pool = Pool {
        scene,
        servers: servers.into_iter().collect::<Result<Vec<Nginx>>>()?,
        sorry: Nginx::start("master", "sorry", 8099, Answer::Health("we are sorry"))?,
    };
    pool.scene.power_on()?;
    let names = SERVERS.map(|(_, address, port, ..)| format!("{address}:{port}"));
    let up: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "up")).collect();
    wait_for(&mut pool.scene, &up)?;
    pool.nobody_is_refused_in_a_switch()?;
    pool.nobody_is_left()?;
    pool.panics()
}

impl Pool {
    fn be_well(&self, servers: &[usize], well: bool) -> Result<()> {
        servers
            .iter()
            .try_for_each(|number| self.servers[*number].be_well(well))
    }

    /// Once it is in this mode, these and nobody else answer.
    fn assert_serves(&mut self, mode: &str, names: &[&str]) -> Told {
        // Which servers take part may change without another mode.
        let mut met = Vec::new();
        for _ in 0..10 {
            wait_for_mode(&mut self.scene, mode)?;
            met = who_answers(12)?;
            if met == names {
                return Ok(());
            }
        }
        panic!("{mode}: {names:?} should answer, and {met:?} do");
    }

    fn nobody_is_refused_in_a_switch(&mut self) -> Told {
        let load = Program::own()?;
        let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
        let address = SocketAddr::from(SERVICE).to_string();
        self.assert_serves("primary", &["one", "three", "two"])?;
        let mut held = Held::open(&peers, "host01", &address, 10)?;
        let short = asking(&load, "host01", RATE)?;
        // 3 of 5 is less than the quorum needs to be won, and enough to keep it.
        self.be_well(&[TWO], false)?;
        self.assert_serves("primary", &["one", "three"])?;
        self.be_well(&[ONE], false)?;
        self.assert_serves("backup", &["backup", "three"])?;
        self.be_well(&[ONE], true)?;
        self.assert_serves("backup", &["backup", "one", "three"])?;
        self.be_well(&[TWO], true)?;
        self.assert_serves("primary", &["one", "three", "two"])?;
        self.be_well(&[ONE, TWO, BACKUP], false)?;
        self.assert_serves("sorry", &["we are sorry"])?;
        self.be_well(&[BACKUP], true)?;
        self.assert_serves("backup", &["backup", "three"])?;
        self.be_well(&[THREE, BACKUP], false)?;
        self.assert_serves("sorry", &["we are sorry"])?;
        held.assert_whole("eight switches later")?;
        let report = short.report()?;
        println!("through all switches: {}", report.summary());
        assert!(report.lost().is_empty(), "{:#?}", report.lost());
        assert!(report.answers > 2 * u64::from(RATE), "{}", report.summary());
        Ok(())
    }

    /// Without a server a client is refused at once, and need not wait for nothing.
    fn nobody_is_left(&mut self) -> Told {
        self.sorry.be_well(false)?;
        wait_for_mode(&mut self.scene, "empty")?;
        assert_refused()?;
        self.be_well(&[ONE, TWO, THREE, BACKUP], true)?;
        self.sorry.be_well(true)?;
        self.assert_serves("primary", &["one", "three", "two"])
    }

    fn panics(&mut self) -> Told {
        let primary = [ONE, TWO, THREE];
        let vm = self.scene.vm();
        vm.config_put(&config("panic = \"keep-last\"\n", &primary, ""))?;
        self.be_well(&[TWO, THREE], false)?;
        self.assert_serves("primary", &["one"])?;
        self.be_well(&[ONE], false)?;
        self.assert_serves("kept-last", &["one"])?;
        self.scene
            .vm()
            .config_put(&config("panic = \"all\"\n", &primary, ""))?;
        self.assert_serves("all", &["one", "three", "two"])?;
        self.scene.vm().config_put(&config("", &primary, ""))?;
        wait_for_mode(&mut self.scene, "empty")?;
        assert_refused()?;
        self.be_well(&[TWO], true)?;
        self.assert_serves("primary", &["two"])
    }
}

fn who_answers(times: usize) -> Result<Vec<String>> {
    let mut who = Vec::new();
    for _ in 0..times {
        let fetch = curl("host01", "http://192.168.0.1:8080/", Duration::from_secs(5))?;
        assert_eq!((fetch.exit, fetch.status), (0, 200), "{fetch:?}");
        who.push(fetch.body.trim().to_owned());
    }
    who.sort();
    who.dedup();
    Ok(who)
}

/// curl's exit code 7, and soon.
fn assert_refused() -> Told {
    let fetch = curl("host01", "http://192.168.0.1:8080/", Duration::from_secs(5))?;
    assert!(fetch.exit == 7 && fetch.seconds < 1.0, "{fetch:?}");
    Ok(())
}
