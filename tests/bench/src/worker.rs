//! The machine that has all servers that are checked: worker01 of the lab, which answers at every address of their network; what it
//! sees of the checks, whoever makes them; and ports of it that begin to refuse. Must not: know who checks.

use lb_lab::command::{run, run_with};
use lb_lab::load::{Program, Server};
use lb_lab::nginx::{Answer, Identity, Nginx};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::Result;
use crate::many::{Check, Many};

/// SYNs that come, each check being one or more; and servers whose port refuses.
const RULES: &str = "table ip bench\ndelete table ip bench\ntable ip bench {\n\
    set refusing { type ipv4_addr; }\n counter begun { }\n\
    chain input {\n  type filter hook input priority filter;\n  \
    ip daddr NETWORK tcp flags & (syn | ack) == syn counter name begun\n  \
    ip daddr @refusing meta l4proto tcp reject with tcp reset\n }\n}\n";

#[derive(Debug)]
enum Answering {
    /// A connection is all that is asked for.
    Plain(#[expect(dead_code, reason = "it ends when it is dropped")] Server),
    Web(Nginx),
}

#[derive(Debug)]
pub struct Worker {
    answering: Answering,
}

impl Worker {
    /// Inside a cage with the lab. One at a time.
    pub fn new(check: Check) -> Result<Worker> {
        let name = Many::HOST_NAME;
        within(&["ip", "route", "replace", "local", Many::NETWORK, "dev", "lo"])?;
        let nft = ["ip", "netns", "exec", name, "nft", "-f", "-"];
        run_with(&nft, &RULES.replace("NETWORK", Many::NETWORK))?;
        let (port, answer) = (check.port(), Answer::Text("ok"));
        let answering = match check {
            Check::None | Check::Tcp => {
                let everywhere = format!("0.0.0.0:{port}");
                Answering::Plain(Program::own()?.serve(name, name, &[&everywhere])?)
            }
            Check::Http => Answering::Web(Nginx::start(name, check.as_str(), port, answer)?),
            Check::Https => {
                let nginx = Nginx::start_tls(name, check.as_str(), port, answer, &identity());
                Answering::Web(nginx?)
            }
        };
        Ok(Worker { answering })
    }

    /// The SYNs of checks so far.
    pub fn begun(&self) -> Result<u64> {
        let said = within(&["nft", "-j", "list", "counter", "ip", "bench", "begun"])?;
        let document: Value = serde_json::from_str(&said).unwrap_or_default();
        let mut objects = document["nftables"].as_array().into_iter().flatten();
        let packets = objects.find_map(|object| object["counter"]["packets"].as_u64());
        packets.ok_or_else(|| lb_lab::LabError::Unexpected(format!("nft says {said}")).into())
    }

    /// What nginx has answered with 200 so far; `None` where connections are all.
    pub fn requests(&self) -> Option<u64> {
        match &self.answering {
            Answering::Plain(_) => None,
            Answering::Web(nginx) => Some(nginx.access_log().matches("\" 200 ").count() as u64),
        }
    }

    /// Whether the port of this server answers with RST from now on.
    pub fn refuse(&self, address: &str, refuses: bool) -> Result<()> {
        let verb = if refuses { "add" } else { "delete" };
        let element = format!("{{ {address} }}");
        within(&["nft", verb, "element", "ip", "bench", "refusing", &element]).map(drop)
    }
}

fn within(argv: &[&str]) -> Result<String> {
    Ok(run(&[&["ip", "netns", "exec", Many::HOST_NAME], argv].concat())?)
}

/// Signed by itself: neither side asks who did.
fn identity() -> Identity {
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new(vec!["www.example.com".to_owned()]).expect("a DNS name is one");
    let certificate = params.self_signed(&key).expect("its own key signs it");
    Identity {
        certificates: certificate.pem(),
        key: key.serialize_pem(),
    }
}
