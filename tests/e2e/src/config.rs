//! The lb.toml texts of the stories: the scenario with its original timing, and with a timing for the impatient.
//! Must not: be parsed here; the product does that.

use std::time::Duration;

/// How both services are checked.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub interval: &'static str,
    pub timeout: &'static str,
    pub retries: u32,
    pub retry_interval: &'static str,
}

/// As the original keepalived configuration had it.
pub const ORIGINAL: Timing = Timing {
    interval: "10s",
    timeout: "30s",
    retries: 3,
    retry_interval: "3s",
};

/// For stories in which a server's health changes.
pub const QUICK: Timing = Timing {
    interval: "1s",
    timeout: "1s",
    retries: 1,
    retry_interval: "500ms",
};

/// From the moment a pod moves until the quick timing must have noticed: one interval, two attempts that time out with
/// the pause between them, and `rise` successes on the other side are 5 s; the rest is for asking at a slow console.
pub const QUICK_DETECTION: Duration = Duration::from_secs(20);

const LINKS: &str = "hostname = \"lb\"\n\n\
    [[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n\n\
    [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n";

/// The scenario's lb.toml.
pub fn scenario(timing: Timing) -> String {
    let master = "[[virtual_server.real_server]]\naddress = \"172.16.0.1:6443\"\n\
                  when_down = \"inhibit\"\n";
    let workers = "[[virtual_server.real_server]]\naddress = \"172.16.0.11:30080\"\n\n\
                   [[virtual_server.real_server]]\naddress = \"172.16.0.12:30080\"\n";
    format!(
        "{LINKS}\n{}\n{}",
        service("kube-apiserver", 6443, timing, master),
        service("nginx", 30080, timing, workers)
    )
}

/// The scenario's links, with other services.
pub fn with_services(services: &str) -> String {
    format!("{LINKS}\n{services}")
}

/// The scenario with a line that tells two versions of it apart and changes nothing.
pub fn marked(timing: Timing, mark: &str) -> String {
    format!("# {mark}\n{}", scenario(timing))
}

fn service(name: &str, port: u16, timing: Timing, servers: &str) -> String {
    let Timing {
        interval,
        timeout,
        retries,
        retry_interval,
    } = timing;
    format!(
        "[[virtual_server]]\nname = \"{name}\"\nlisten = \"192.168.0.1:{port}\"\n\
         scheduler = \"rr\"\n\n\
         [virtual_server.check]\ntype = \"tcp\"\ninterval = \"{interval}\"\n\
         timeout = \"{timeout}\"\nretries = {retries}\nretry_interval = \"{retry_interval}\"\n\n\
         {servers}"
    )
}
