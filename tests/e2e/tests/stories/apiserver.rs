//! An apiserver ends while clients ask: it says so by /readyz, serves on for the least time that the guide asks for
//! (`--shutdown-delay-duration`), and then it is gone. Nobody may notice.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lb_e2e::config::with_services;
use lb_e2e::farm::wait_for;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::cluster::{Fetch, curl_by};
use lb_lab::nginx::{Answer, Nginx};
use lb_lab::story::Told;
use lb_lab::{LabError, Result};

use crate::checks::{Authority, NAME, reason};

const ONE: &str = "172.16.0.11:6443";
const TWO: &str = "172.16.0.12:6443";
/// The guide's least `--shutdown-delay-duration`.
const DELAY: Duration = Duration::from_secs(15);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough to prove that all is well without it.
const AFTER: Duration = Duration::from_secs(4);

/// Somebody who asks for the version over TLS all the time, and believes only whom the authority vouches for.
struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Fetch>>>,
}

impl Client {
    fn start(authority: PathBuf) -> Client {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut fetches = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                fetches.push(version(&authority)?);
                std::thread::sleep(PAUSE);
            }
            Ok(fetches)
        });
        Client { stop, thread }
    }

    fn stop(self) -> Result<Vec<Fetch>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client asks until it is stopped")
    }
}

fn version(authority: &std::path::Path) -> Result<Fetch> {
    let authority = authority.display().to_string();
    let resolve = format!("{NAME}:6443:192.168.0.1");
    let options = ["--cacert", &authority, "--resolve", &resolve];
    curl_by(
        "host01",
        &options,
        &format!("https://{NAME}:6443/version"),
        PATIENCE,
    )
}

pub fn an_apiserver_ends_and_nobody_notices() -> Told {
    let authority = Authority::new();
    let pem = authority.0.pem();
    let config = with_services(&format!(
        "[[virtual_server]]\nname = \"api\"\nlisten = \"192.168.0.1:6443\"\nscheduler = \"rr\"\n\
         [virtual_server.check]\ntype = \"kube-apiserver\"\nserver_name = \"{NAME}\"\nca = \"\"\"\n{pem}\"\"\"\n\
         [[virtual_server.real_server]]\naddress = \"{ONE}\"\n[[virtual_server.real_server]]\naddress = \"{TWO}\"\n"
    ));
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config))?;
    let (identity, _) = authority.vouch(NAME);
    let start = |worker, name| Nginx::start_tls(worker, name, 6443, Answer::Apiserver, &identity);
    let one = start("worker01", "api1")?;
    let two = start("worker02", "api2")?;
    scene.power_on()?;
    wait_for(&mut scene, &[(ONE, "up"), (TWO, "up")])?;
    let directory = tempfile::tempdir().map_err(LabError::io("make a directory"))?;
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, &pem).map_err(LabError::io("write the authority"))?;

    let client = Client::start(file);
    std::thread::sleep(AFTER);
    one.be_well(false)?;
    let ends = Instant::now();
    let services = wait_for(&mut scene, &[(ONE, "down")])?;
    println!("an apiserver that ends was noticed after {:?}", ends.elapsed());
    assert_eq!(reason(&services, ONE), "status 500 instead of 200-299");
    std::thread::sleep(DELAY.saturating_sub(ends.elapsed()));
    let (before, served) = (one.access_log(), two.access_log());
    drop(one);
    std::thread::sleep(AFTER);
    let fetches = client.stop()?;
    let lost: Vec<&Fetch> = fetches.iter().filter(|fetch| fetch.status != 200).collect();
    assert!(lost.is_empty(), "of {}: {lost:#?}", fetches.len());
    assert!(fetches.len() > 20, "only {} requests", fetches.len());
    let asked = |log: &str| log.matches("\"GET /version ").count();
    assert!(
        asked(&before) > 5 && asked(&served) > 5,
        "both served:\n{before}\n{served}"
    );
    assert!(asked(&two.access_log()) > asked(&served), "the other one goes on");
    Ok(())
}
