//! Every test of this directory runs in network, mount and host name namespaces of its own, in a process of its own, so that it
//! can change everything and harms nothing. As root, or as an ordinary user where user namespaces are allowed; else it fails.
#![allow(dead_code)] // Each test binary uses its share.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const INSIDE: &str = "LB_KERNEL_TEST_INSIDE";

/// Defines tests that run inside namespaces. They stand at the root of their file.
#[macro_export]
macro_rules! isolated {
    ($($(#[doc = $doc:expr])* fn $name:ident() $body:block)+) => {
        $($(#[doc = $doc])* #[test] fn $name() { namespace::run(stringify!($name), || $body) })+
    };
}

/// Runs `test` if this process is inside already; else runs this executable inside, with just that test.
pub fn run(name: &str, test: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        sh("ip link set lo up");
        return test();
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--uts"]);
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.arg(env::current_exe().unwrap());
    unshare.args([name, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = unshare.output().expect("unshare (util-linux) runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{name} failed in its namespaces");
    assert!(text.contains("1 passed"), "{name} was not run in its namespaces");
}

/// Runs a command line and returns what it prints.
pub fn sh(line: &str) -> String {
    let (ok, text) = attempt(Command::new("sh").args(["-c", line]));
    assert!(ok, "`{line}` failed: {text}");
    text
}

/// Feeds `script` to nft.
pub fn nft(script: &str) {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nft (nftables) runs");
    nft.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft refused `{script}`");
}

fn attempt(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// Another host: a network namespace, kept by a process that does nothing.
pub struct Peer(Child);

impl Peer {
    pub fn new() -> Peer {
        let keeper = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .spawn()
            .unwrap();
        let ours = fs::read_link("/proc/self/ns/net").unwrap();
        let peer = Peer(keeper);
        eventually("the peer's namespace", || {
            fs::read_link(peer.namespace()).is_ok_and(|theirs| theirs != ours)
        });
        peer.sh("ip link set lo up");
        peer
    }

    /// As `ip link` takes it for a namespace.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// A veth pair: `here` on this side, `there` in the peer, which gets `addresses`.
    pub fn connect(&self, here: &str, there: &str, addresses: &[&str]) {
        let pid = self.0.id();
        sh(&format!(
            "ip link add {here} type veth peer name {there} netns {pid}"
        ));
        for address in addresses {
            self.sh(&format!("ip address add {address} dev {there} nodad"));
        }
        self.sh(&format!("ip link set {there} up"));
    }

    pub fn sh(&self, line: &str) -> String {
        let (ok, text) = self.attempt(line);
        assert!(ok, "`{line}` failed in the peer: {text}");
        text
    }

    pub fn attempt(&self, line: &str) -> (bool, String) {
        let namespace = format!("--net={}", self.namespace());
        attempt(Command::new("nsenter").args([&namespace, "sh", "-c", line]))
    }

    /// Runs `body` on a thread inside the peer.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.namespace()).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                body()
            });
            thread.join().expect("the thread in the peer did not panic")
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within 10 s");
        thread::sleep(Duration::from_millis(10));
    }
}
