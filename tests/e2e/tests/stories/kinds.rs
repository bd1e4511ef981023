//! Checks by everything that is no HTTP: UDP, DNS, ICMP, gRPC, TLS with a certificate of the check's own, and an agent. Each server
//! goes down for a reason of its own, which the appliance tells, and comes up again.

use std::path::Path;
use std::time::Duration;

use lb_e2e::config::with_services;
use lb_e2e::peer::Server;
use lb_e2e::scene::health;
use lb_e2e::{Peers, Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::cage;
use lb_lab::command::run;
use lb_lab::nginx::Identity;
use lb_lab::story::Told;

use crate::checks::{Authority, SOON, reason};

const QUICK: &str = "interval = \"1s\"\ntimeout = \"1s\"\nretries = 1\nretry_interval = \"500ms\"\n";
const SERVICE: &str = "helloworld.Greeter";
const UDP: &str = "172.16.0.11:7000";
const DNS: &str = "172.16.0.11:53";
const ICMP: &str = "172.16.0.12:7001";
const GRPC: &str = "172.16.0.11:50051";
const TLS: &str = "172.16.0.12:8443";
const AGENT: &str = "172.16.0.11:8090";
/// Each with its `close`, where it comes from, and what a check that passes says.
const TCP: [(&str, &str, &str, &str, &str); 4] = [
    ("half-open", "half-open", "", "172.16.0.11:7003", "SYN-ACK"),
    (
        "from",
        "half-open",
        "source = \"192.168.0.1\"\ninterface = \"eth1\"\n",
        "172.16.0.11:7004",
        "SYN-ACK",
    ),
    ("fin", "fin", "", "172.16.0.11:7005", "connected"),
    ("rst", "rst", "", "172.16.0.11:7006", "connected"),
];
const ECHO_IGNORED: &str = "/proc/sys/net/ipv4/icmp_echo_ignore_all";

fn service(name: &str, protocol: &str, check: &str, server: &str) -> String {
    let port = server.rsplit(':').next().unwrap_or_default();
    format!(
        "[[virtual_server]]\nname = \"{name}\"\nlisten = \"192.168.0.1:{port}\"\nprotocol = \"{protocol}\"\n\
         [virtual_server.check]\n{check}\n{QUICK}[[virtual_server.real_server]]\naddress = \"{server}\"\n"
    )
}

fn config(authority: &Authority, client: &Identity) -> String {
    let tls = format!(
        "type = \"tls\"\nserver_name = \"server.example.com\"\nca = \"\"\"\n{}\"\"\"\nclient_certificate = \"\"\"\n{}\"\"\"\n\
         client_key = \"\"\"\n{}\"\"\"\n",
        authority.0.pem(),
        client.certificates,
        client.key
    );
    let dns = "type = \"dns\"\nname = \"www.example.com\"\nexpect = \"192.0.2.80\"\n";
    let tcp = TCP.map(|(name, close, way, server, _)| {
        service(
            name,
            "tcp",
            &format!("type = \"tcp\"\nclose = \"{close}\"\n{way}"),
            server,
        )
    });
    with_services(
        &[
            tcp.concat(),
            service(
                "udp",
                "udp",
                // The answer names the address that the check came from.
                "type = \"udp\"\nsend = \"?\"\nexpect = \"one 172.16.0.254\"\nsource = \"172.16.0.254\"\ninterface = \"eth1\"\n",
                UDP,
            ),
            service("dns-udp", "udp", dns, DNS),
            service("dns-tcp", "tcp", &format!("{dns}transport = \"tcp\"\n"), DNS),
            service("icmp", "udp", "type = \"icmp\"\n", ICMP),
            service("grpc", "tcp", &format!("type = \"grpc\"\nservice = \"{SERVICE}\"\n"), GRPC),
            service("tls", "tcp", &tls, TLS),
            service("agent", "tcp", "type = \"agent\"\nport = 9707\n", AGENT),
        ]
        .concat(),
    )
}

/// Debian's dnsmasq, which knows one name.
fn dnsmasq(address: &str) -> Result<Server> {
    let record = format!("--address=/www.example.com/{address}");
    Server::start(
        "worker01",
        &[
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--user=root",
            "--pid-file=",
            "--listen-address=172.16.0.11",
            "--bind-interfaces",
            &record,
        ],
    )
}

/// Lets in whom `authority` knows.
fn s_server(own: &Identity, authority: &Authority) -> Result<Server> {
    let directory = cage::scratch("s_server")?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(lb_lab::LabError::io("write a certificate"))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let certificate = file("server.pem", &own.certificates)?;
    let key = file("server.key", &own.key)?;
    let ca = file("ca.pem", &authority.0.pem())?;
    Server::start(
        "worker02",
        &[
            "openssl",
            "s_server",
            "-accept",
            TLS,
            "-cert",
            &certificate,
            "-key",
            &key,
            "-CAfile",
            &ca,
            "-Verify",
            "2",
            "-verify_return_error",
            "-quiet",
            "-www",
        ],
    )
}

/// The server's word changes, and perhaps its reason.
fn wait_for(scene: &mut Scene, service: &str, server: &str, word: &str, why: &str) -> Result<()> {
    scene
        .wait_for_report(&format!("services {service}"), SOON, |services| {
            health(services, server) == Some(word) && reason(services, server).starts_with(why)
        })
        .map(drop)
}

/// They are up; without their servers they are refused.
fn tcp_in_every_way(scene: &mut Scene, servers: Vec<Server>) -> Result<()> {
    for (name, _, _, server, why) in TCP {
        wait_for(scene, name, server, "up", why)?;
    }
    drop(servers);
    for (name, _, _, server, _) in TCP {
        wait_for(scene, name, server, "down", "connection refused")?;
    }
    Ok(())
}

pub fn checks_of_every_kind() -> Told {
    let authority = Authority::new();
    let (client, _) = authority.vouch("lb.example.com");
    let soon = Duration::from_hours(9 * 24 + 12);
    let server = authority.vouch_until("server.example.com", soon);
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config(&authority, &client)))?;

    let udp = peers.serve("worker01", "udp", UDP, "one")?;
    let dns = dnsmasq("192.0.2.80")?;
    let grpc = peers.health("worker01", GRPC, SERVICE, "serving")?;
    let tls = s_server(&server, &authority)?;
    let agent = peers.serve("worker01", "tcp", "172.16.0.11:9707", "up #")?;
    let tcp = TCP.map(|(name, _, _, server, _)| peers.serve("worker01", "tcp", server, name));
    scene.power_on()?;
    tcp_in_every_way(&mut scene, tcp.into_iter().collect::<Result<_>>()?)?;
    for (service, server, why) in [
        ("udp", UDP, "answered as it should"),
        ("dns-udp", DNS, "answered as it should"),
        ("dns-tcp", DNS, "answered as it should"),
        ("icmp", ICMP, "echo reply"),
        ("grpc", GRPC, "SERVING"),
        ("tls", TLS, "TLS handshake done"),
        ("agent", AGENT, ""),
    ] {
        wait_for(&mut scene, service, server, "up", why)?;
    }
    let status = scene.vm().command("status")?;
    assert!(
        status.contains(&format!("certificate of {TLS} ends in 9 days")),
        "{status}"
    );
    let warnings = scene.vm().command("config check")?;
    assert!(warnings.contains("its checks by ICMP"), "{warnings}");

    drop(udp);
    wait_for(
        &mut scene,
        "udp",
        UDP,
        "down",
        "the port is closed (ICMP: port unreachable)",
    )?;
    let other = peers.serve("worker01", "udp", UDP, "two")?;
    wait_for(
        &mut scene,
        "udp",
        UDP,
        "down",
        "the answer \"two 172.16.0.254\" does not contain",
    )?;
    drop(other);
    let _udp = peers.serve("worker01", "udp", UDP, "one")?;
    wait_for(&mut scene, "udp", UDP, "up", "")?;

    drop(dns);
    wait_for(
        &mut scene,
        "dns-udp",
        DNS,
        "down",
        "the port is closed (ICMP: port unreachable)",
    )?;
    wait_for(&mut scene, "dns-tcp", DNS, "down", "connection refused")?;
    let wrong = dnsmasq("192.0.2.81")?;
    for service in ["dns-udp", "dns-tcp"] {
        wait_for(
            &mut scene,
            service,
            DNS,
            "down",
            "192.0.2.81 and not 192.0.2.80 for www.example.com",
        )?;
    }
    drop(wrong);
    let _dns = dnsmasq("192.0.2.80")?;
    wait_for(&mut scene, "dns-udp", DNS, "up", "")?;
    wait_for(&mut scene, "dns-tcp", DNS, "up", "")?;

    let ignore = |value: &str| {
        run(&[
            "ip",
            "netns",
            "exec",
            "worker02",
            "sh",
            "-c",
            &format!("echo {value} > {ECHO_IGNORED}"),
        ])
    };
    ignore("1")?;
    wait_for(&mut scene, "icmp", ICMP, "down", "no answer within 1s")?;
    ignore("0")?;
    wait_for(&mut scene, "icmp", ICMP, "up", "echo reply")?;

    drop(grpc);
    let ill = peers.health("worker01", GRPC, SERVICE, "not-serving")?;
    wait_for(&mut scene, "grpc", GRPC, "down", "NOT_SERVING")?;
    drop(ill);
    let stranger = peers.health("worker01", GRPC, "another.Service", "serving")?;
    wait_for(&mut scene, "grpc", GRPC, "down", "NOT_FOUND")?;
    drop(stranger);
    let _grpc = peers.health("worker01", GRPC, SERVICE, "serving")?;
    wait_for(&mut scene, "grpc", GRPC, "up", "SERVING")?;

    drop(tls);
    let strict = s_server(&server, &Authority::new())?;
    wait_for(
        &mut scene,
        "tls",
        TLS,
        "down",
        "it does not accept `client_certificate`",
    )?;
    drop(strict);
    for (identity, why) in [
        (
            authority.vouched("server.example.com"),
            "its certificate has expired",
        ),
        (
            authority.vouch("other.example.com").0,
            "its certificate is for another name",
        ),
        (
            Authority::new().vouch("server.example.com").0,
            "its certificate is not signed by `ca`",
        ),
    ] {
        let wrong = s_server(&identity, &authority)?;
        wait_for(&mut scene, "tls", TLS, "down", why)?;
        drop(wrong);
    }
    let _tls = s_server(&server, &authority)?;
    wait_for(&mut scene, "tls", TLS, "up", "TLS handshake done")?;

    drop(agent);
    let down = peers.serve(
        "worker01",
        "tcp",
        "172.16.0.11:9707",
        "down # the disk is full, asked by",
    )?;
    let why = "its agent says down: \"the disk is full, asked by 172.16.0.";
    wait_for(&mut scene, "agent", AGENT, "down", why)?;
    drop(down);
    let _drains = peers.serve("worker01", "tcp", "172.16.0.11:9707", "drain #")?;
    scene.wait_for_report("services agent", SOON, |services| {
        let server = &services["services"][0]["servers"][0];
        server["health"] == "up" && server["weight"] == 0
    })?;
    Ok(())
}
