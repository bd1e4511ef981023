//! A network namespace for each test that talks to servers of its own. Must not: know what is tested.

use std::process::Command;

/// Runs `body` in a fresh network namespace: this same test, started again under unshare(1).
pub fn isolated(name: &str, body: fn()) {
    if std::env::var_os("LB_TEST_ISOLATED").is_some() {
        for command in [
            "link set lo up",
            "addr add 172.16.0.11/32 dev lo",
            "addr add 172.16.0.12/32 dev lo",
        ] {
            assert!(
                Command::new("ip")
                    .args(command.split(' '))
                    .status()
                    .unwrap()
                    .success(),
                "ip {command}"
            );
        }
        return body();
    }
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let status = unshare
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("LB_TEST_ISOLATED", "1")
        .status()
        .expect("unshare(1) of util-linux is needed");
    assert!(
        status.success(),
        "{name} failed in its namespace: {status} (as an ordinary user, user namespaces must be allowed)"
    );
}
