//! Checks that ask: real nginx, over HTTP and TLS, well and ill, with the right certificate and with wrong ones.

use std::time::{Duration, SystemTime};

use lb_e2e::config::with_services;
use lb_e2e::scene::health;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::cluster::curl;
use lb_lab::nginx::{Answer, Identity, Nginx};
use lb_lab::story::Told;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use serde_json::Value;

/// Of checks with [`QUICK`], on a machine that is busy otherwise.
pub const SOON: Duration = Duration::from_secs(45);
const QUICK: &str = "interval = \"1s\"\ntimeout = \"2s\"\nretries = 1\nretry_interval = \"500ms\"\n";
pub const NAME: &str = "www.example.com";

/// An authority, and servers that it vouches for.
pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(authority, key).expect("an authority"))
    }

    /// With the certificate's SHA-256.
    pub fn vouch(&self, name: &str) -> (Identity, String) {
        self.sign(named(name))
    }

    /// So long.
    pub fn vouch_until(&self, name: &str, left: Duration) -> Identity {
        let mut params = named(name);
        params.not_after = (SystemTime::now() + left).into();
        self.sign(params).0
    }

    /// It ended an hour ago.
    pub fn vouched(&self, name: &str) -> Identity {
        let mut params = named(name);
        params.not_after = (SystemTime::now() - Duration::from_hours(1)).into();
        self.sign(params).0
    }

    fn sign(&self, params: CertificateParams) -> (Identity, String) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let digest =
            sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(certificate.der()));
        let print: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let identity = Identity {
            certificates: certificate.pem(),
            key: key.serialize_pem(),
        };
        (identity, print)
    }
}

/// OpenSSL takes a certificate for its own issuer's if both have the same name.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn service(name: &str, port: u16, check: &str, servers: &[&str]) -> String {
    let servers: String = servers
        .iter()
        .map(|address| format!("[[virtual_server.real_server]]\naddress = \"{address}\"\n"))
        .collect();
    format!(
        "[[virtual_server]]\nname = \"{name}\"\nlisten = \"192.168.0.1:{port}\"\nscheduler = \"rr\"\n\
         [virtual_server.check]\n{check}{servers}\n"
    )
}

fn wait_for(scene: &mut Scene, wanted: &[(&str, &str)]) -> Result<Value> {
    scene.wait_for_report("services", SOON, |services| {
        wanted
            .iter()
            .all(|(server, word)| health(services, server) == Some(word))
    })
}

/// Why a server is what it is.
pub fn reason<'a>(services: &'a Value, server: &str) -> &'a str {
    let services = services["services"].as_array().into_iter().flatten();
    let mut servers = services.flat_map(|service| service["servers"].as_array().into_iter().flatten());
    let server = servers.find(|entry| entry["address"] == server);
    server
        .and_then(|server| server["last_check"]["reason"].as_str())
        .unwrap_or("no check")
}

/// Who answers host01 in so many requests.
fn answers(url: &str, times: usize) -> Result<Vec<String>> {
    let mut who = Vec::new();
    for _ in 0..times {
        let fetch = curl("host01", url, Duration::from_secs(5))?;
        who.push(format!("{} {}", fetch.status, fetch.body.trim()));
    }
    who.sort();
    who.dedup();
    Ok(who)
}

pub fn checks_ask_over_http_and_tls() -> Told {
    let authority = Authority::new();
    let (one, print) = authority.vouch(NAME);
    let (two, _) = authority.vouch(NAME);
    let ca = format!("ca = \"\"\"\n{}\"\"\"\n", authority.0.pem());
    let config = with_services(
        &[
            service(
                "web",
                8080,
                &format!("type = \"http\"\npath = \"/healthz\"\nbody_contains = \"ok\"\n{QUICK}"),
                &["172.16.0.11:8080", "172.16.0.12:8080"],
            ),
            service(
                "secure",
                8443,
                &format!("type = \"https\"\nserver_name = \"{NAME}\"\n{ca}{QUICK}"),
                &["172.16.0.11:8443", "172.16.0.12:8443"],
            ),
            service(
                "pinned",
                9443,
                &format!("type = \"tls\"\nfingerprint = \"{print}\"\n{QUICK}"),
                &["172.16.0.11:9443", "172.16.0.12:9443"],
            ),
            service(
                "apiserver",
                7443,
                "type = \"kube-apiserver\"\n",
                &["172.16.0.1:7443"],
            ),
        ]
        .concat(),
    );
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config))?;
    let web = [
        Nginx::start("worker01", "web1", 8080, Answer::Health("one"))?,
        Nginx::start("worker02", "web2", 8080, Answer::Health("two"))?,
    ];
    let tls =
        |worker, name, port, identity| Nginx::start_tls(worker, name, port, Answer::Health(name), identity);
    let _secure = tls("worker01", "secure1", 8443, &one)?;
    let secure2 = tls("worker02", "secure2", 8443, &two)?;
    let _pinned = [
        tls("worker01", "pinned1", 9443, &one)?,
        tls("worker02", "pinned2", 9443, &two)?,
    ];
    let _apiserver = Nginx::start_tls("master", "apiserver", 7443, Answer::Apiserver, &two)?;
    scene.power_on()?;
    let services = wait_for(
        &mut scene,
        &[
            ("172.16.0.11:8080", "up"),
            ("172.16.0.12:8080", "up"),
            ("172.16.0.11:8443", "up"),
            ("172.16.0.12:8443", "up"),
            ("172.16.0.11:9443", "up"),
            ("172.16.0.12:9443", "down"),
            ("172.16.0.1:7443", "up"),
        ],
    )?;
    assert_eq!(
        reason(&services, "172.16.0.12:9443"),
        "its certificate has another fingerprint"
    );
    assert_eq!(answers("http://192.168.0.1:8080/", 6)?, ["200 one", "200 two"]);

    let checked = scene.vm().command("check-now web")?;
    assert_eq!(checked.matches("answered as it should").count(), 2, "{checked}");

    // A port that is open is not a server that is well.
    web[0].be_well(false)?;
    let services = wait_for(&mut scene, &[("172.16.0.11:8080", "down")])?;
    assert_eq!(
        reason(&services, "172.16.0.11:8080"),
        "status 503 instead of 200-299"
    );
    assert_eq!(answers("http://192.168.0.1:8080/", 6)?, ["200 two"]);
    web[0].be_well(true)?;
    wait_for(&mut scene, &[("172.16.0.11:8080", "up")])?;
    assert_eq!(answers("http://192.168.0.1:8080/", 6)?, ["200 one", "200 two"]);

    // Another certificate of the same authority, for another name.
    drop(secure2);
    let (three, _) = authority.vouch("other.example.com");
    let _secure2 = tls("worker02", "secure2", 8443, &three)?;
    scene.wait_for_report("services", SOON, |services| {
        health(services, "172.16.0.12:8443") == Some("down")
            && reason(services, "172.16.0.12:8443")
                == "its certificate is for another name: see `server_name`"
    })?;
    let warnings = scene.vm().command("config check")?;
    assert!(
        warnings.contains("its checks take an answer from anybody"),
        "{warnings}"
    );
    let checked = web[0].access_log();
    let line = checked.lines().next().unwrap_or_default();
    assert!(
        line.starts_with("172.16.0.254 ") && line.contains("\"GET /healthz HTTP/1.1\" 200"),
        "{line}"
    );
    Ok(())
}

/// A port that is open and a page on another port: a server is up while both are as they should be, and the one that is not is named.
pub fn several_checks_of_one_server() -> Told {
    const ONE: &str = "172.16.0.11:8080";
    const TWO: &str = "172.16.0.12:8080";
    let check = |keys: &str| format!("[[virtual_server.check]]\n{keys}{QUICK}");
    let checks = [
        check("type = \"tcp\"\n"),
        check("type = \"http\"\nport = 8081\npath = \"/healthz\"\n"),
    ];
    let single = service("web", 8080, "", &[ONE, TWO]);
    let config = with_services(&single.replace("[virtual_server.check]\n", &checks.concat()));
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config))?;
    let _one = Nginx::start("worker01", "web1", 8080, Answer::Text("one"))?;
    let two = Nginx::start("worker02", "web2", 8080, Answer::Text("two"))?;
    let page = Nginx::start("worker01", "page1", 8081, Answer::Health("one"))?;
    let _page = Nginx::start("worker02", "page2", 8081, Answer::Health("two"))?;
    scene.power_on()?;
    wait_for(&mut scene, &[(ONE, "up"), (TWO, "up")])?;
    let probed = scene.vm().command(&format!("probe web {ONE}"))?;
    assert!(
        probed.contains("SYN-ACK") && probed.contains("HTTP/1.1 200 OK"),
        "{probed}"
    );

    page.be_well(false)?;
    let services = wait_for(&mut scene, &[(ONE, "down"), (TWO, "up")])?;
    assert_eq!(reason(&services, ONE), "status 503 instead of 200-299");
    let shown = scene.vm().command("services web")?;
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in ["http :8081 down", "1 of 2 checks pass"] {
        assert!(words.contains(expected), "`{expected}` in {shown}");
    }
    assert_eq!(answers("http://192.168.0.1:8080/", 6)?, ["200 two"]);
    page.be_well(true)?;
    wait_for(&mut scene, &[(ONE, "up")])?;
    assert_eq!(answers("http://192.168.0.1:8080/", 6)?, ["200 one", "200 two"]);

    drop(two);
    let services = wait_for(&mut scene, &[(ONE, "up"), (TWO, "down")])?;
    assert!(reason(&services, TWO).contains("refused"), "{services:#}");
    assert_eq!(answers("http://192.168.0.1:8080/", 6)?, ["200 one"]);
    Ok(())
}

/// A service whose pods are unevenly spread: three on one worker, one on the other, and then none there.
pub fn endpoints_are_weights() -> Told {
    let service = service(
        "nodeport",
        8080,
        &format!("type = \"healthCheckNodePort\"\nport = 32000\n{QUICK}"),
        &["172.16.0.11:31080", "172.16.0.12:31080"],
    );
    let config = with_services(&service.replace("\"rr\"", "\"wrr\""));
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config))?;
    let _pods = [
        Nginx::start("worker01", "pods1", 31080, Answer::Text("one"))?,
        Nginx::start("worker02", "pods2", 31080, Answer::Text("two"))?,
    ];
    let proxy1 = Nginx::start("worker01", "proxy1", 32000, Answer::Endpoints(3))?;
    let proxy2 = Nginx::start("worker02", "proxy2", 32000, Answer::Endpoints(1))?;
    scene.power_on()?;
    let workers = ["172.16.0.11:31080", "172.16.0.12:31080"];
    let services = wait_for(&mut scene, &workers.map(|worker| (worker, "up")))?;
    assert_eq!(reason(&services, workers[0]), "told of 3 local endpoints");
    wait_for_weights(&mut scene, [3, 1])?;
    assert_eq!(count("http://192.168.0.1:8080/", "one", 16)?, 12);

    // Two more pods: nothing else changes, and no connection is refused meanwhile.
    drop(proxy1);
    let _proxy1 = Nginx::start("worker01", "proxy1", 32000, Answer::Endpoints(7))?;
    wait_for_weights(&mut scene, [7, 1])?;
    assert_eq!(count("http://192.168.0.1:8080/", "one", 16)?, 14);

    // The last pod of the other worker goes: the worker still accepts connections, and gets none.
    proxy2.be_well(false)?;
    let services = wait_for(&mut scene, &[(workers[1], "down")])?;
    assert_eq!(reason(&services, workers[1]), "status 503 instead of 200");
    assert_eq!(count("http://192.168.0.1:8080/", "one", 8)?, 8);
    Ok(())
}

fn wait_for_weights(scene: &mut Scene, wanted: [u64; 2]) -> Result<()> {
    let reached = |services: &Value| {
        let servers = services["services"][0]["servers"]
            .as_array()
            .into_iter()
            .flatten();
        let weights: Vec<_> = servers.map(|server| server["weight"].as_u64()).collect();
        weights == wanted.map(Some)
    };
    scene.wait_for_report("services", SOON, reached).map(drop)
}

/// How many of so many requests one of the servers answers.
fn count(url: &str, server: &str, times: usize) -> Result<usize> {
    let mut count = 0;
    for _ in 0..times {
        count += usize::from(curl("host01", url, Duration::from_secs(5))?.body.trim() == server);
    }
    Ok(count)
}
