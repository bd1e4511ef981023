//! What `make run` shows: the lab is laid, the VM boots from a copy of the image, host01 gets the page, host02 does
//! not, the pod's log tells who asked; then the user's terminal is the serial console. Leaving takes everything down, as a power cut does.
//! Must not: write to the built image, or leave a process, a namespace or a copy behind, but for the disk that was asked for.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use lb_image::config_volume;
use lb_lab::cluster::{CLUSTER, EXTERNAL, Fetch};
use lb_lab::vm::{Accel, CLUSTER_MAC, EXTERNAL_MAC, copy_sparse};
use lb_lab::{
    Boot, Lab, LabError, Options as LabOptions, Result, VIP, Vm, VmOptions, build_dir, cage, nginx,
    repository, terminal,
};

const SERVICE: &str = "192.168.0.1:30080";
/// From power-on to host01's first page, emulated on a slow machine.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    uefi: bool,
    /// Instead of the scenario's.
    config: Option<PathBuf>,
    /// A disk that stays: made from the image when it is missing, and booted as it is when it is there.
    disk: Option<PathBuf>,
}

impl Options {
    /// `None` if the words are not understood.
    pub fn parse(words: &[&str]) -> Option<Options> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--uefi" => options.uefi = true,
                "--config" => options.config = Some(PathBuf::from(words.next()?)),
                "--disk" => options.disk = Some(PathBuf::from(words.next()?)),
                _ => return None,
            }
        }
        Some(options)
    }
}

pub fn run(options: &Options) -> Result<()> {
    let passing = build_dir().join("run.img");
    if !cage::inside() {
        prepare(options, &passing)?;
    }
    cage::enter()?;
    let disk = match &options.disk {
        Some(kept) => kept.clone(),
        None => {
            // A disk of our own, which ends with the cage; the file in build/ has done its duty.
            let own = cage::scratch("disk")?.join("lb.img");
            copy_sparse(&passing, &own)?;
            fs::remove_file(&passing).map_err(LabError::io(format!("remove {}", passing.display())))?;
            own
        }
    };
    let started = Instant::now();
    let lab = Lab::new(LabOptions::default())?;
    lab.tap("tap0", EXTERNAL)?;
    lab.tap("tap1", CLUSTER)?;
    say(
        "lab",
        "host01 host02 | lb | master worker01 worker02, pod on worker01",
        started.elapsed(),
    );
    let boot = if options.uefi { Boot::Uefi } else { Boot::Bios };
    let machine = VmOptions::new("run", boot, &disk)
        .nic("tap0", EXTERNAL_MAC)
        .nic("tap1", CLUSTER_MAC);
    let vm = Vm::start(&machine)?;
    tell(&lab, &vm)?;
    hints(options.disk.as_deref());
    terminal::connect(&vm)
}

/// Outside: everything that needs the machine's network, and a copy of the image with the configuration in it.
fn prepare(options: &Options, passing: &Path) -> Result<()> {
    cage::check()?;
    cage::check_tun()?;
    nginx::unpack()?;
    let image = std::env::var_os("LB_DISK_IMAGE").map(PathBuf::from);
    let image = image.unwrap_or_else(|| build_dir().join("lb.img"));
    if !image.exists() {
        return Err(LabError::Missing(format!(
            "{} does not exist. Build it: make image",
            image.display()
        )));
    }
    let disk = options.disk.as_deref().unwrap_or(passing);
    if options.disk.is_some() && disk.exists() {
        return continued(options, disk);
    }
    copy_sparse(&image, disk)?;
    let sample = repository().join("overlay/usr/share/lb/lb.toml.sample");
    let own = config_volume::read(disk, "lb.toml").is_ok();
    let config = match &options.config {
        Some(config) => config,
        None if own => {
            println!("config  the image's own lb.toml; CONFIG=file for another");
            return note_pid();
        }
        None => &sample,
    };
    // It speaks for itself: the faults of the file, each with its place.
    let status = lb_lab::command::command(repository().join("image/put-config"))
        .args([disk, config])
        .stdin(Stdio::null())
        .status()
        .map_err(LabError::io("start image/put-config"))?;
    if !status.success() {
        let _ = fs::remove_file(disk);
        return Err(LabError::Unexpected(format!(
            "{} was not taken as the configuration",
            config.display()
        )));
    }
    note_pid()
}

/// The disk of a run before: what it holds is what is tried.
fn continued(options: &Options, disk: &Path) -> Result<()> {
    let shown = disk.display();
    if options.config.is_some() {
        return Err(LabError::Unexpected(format!(
            "{shown} has its own lb.toml: leave CONFIG out, or remove {shown} to begin anew"
        )));
    }
    println!("disk    {shown}, as it is");
    note_pid()
}

/// For [`exec`].
fn note_pid() -> Result<()> {
    let pid_file = pid_file();
    fs::write(&pid_file, format!("{}\n", std::process::id()))
        .map_err(LabError::io(format!("write {}", pid_file.display())))
}

/// The scenario in four lines.
fn tell(lab: &Lab, vm: &Vm) -> Result<()> {
    let accel = Accel::choose(Path::new(cage::SCRATCH)).as_str();
    let limit = BOOT_LIMIT.as_secs();
    println!("lb      boots from its disk ({accel}); host01 asks for the page, for {limit} s at most");
    let first = first_page(lab, vm)?;
    let Some(first) = first else {
        println!(
            "lb      no page for host01 within {} s; with another configuration that may be right",
            BOOT_LIMIT.as_secs()
        );
        return Ok(());
    };
    say("lb", "host01's first page after power-on", first);
    for host in ["host01", "host02"] {
        let started = Instant::now();
        let fetch = lab.curl(host, SERVICE)?;
        let line = format!("curl -m 2 {SERVICE}   {}", outcome(&fetch));
        say(host, &line, started.elapsed());
    }
    let log = lab.pod_log();
    let seen = log.lines().last().unwrap_or("saw nobody");
    let request = seen.split('"').take(2).collect::<Vec<_>>().join("");
    println!("pod     {}", request.trim_end());
    Ok(())
}

fn first_page(lab: &Lab, vm: &Vm) -> Result<Option<Duration>> {
    while vm.powered_on.elapsed() < BOOT_LIMIT {
        if lab.curl("host01", SERVICE)?.is_default_page() {
            return Ok(Some(vm.powered_on.elapsed()));
        }
        if vm.console.is_closed() {
            return Err(LabError::Unexpected(format!(
                "the machine went off; its last words:\n{}",
                vm.console.text()
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(None)
}

fn outcome(fetch: &Fetch) -> String {
    if fetch.is_default_page() {
        return "200, nginx's default page".into();
    }
    if fetch.timed_out() {
        return "timed out: the policy allows host01 only".into();
    }
    format!("{} {}", fetch.status, fetch.complaint)
}

fn say(who: &str, what: &str, took: Duration) {
    println!("{who:7} {what:62} {:6.2} s", took.as_secs_f64());
}

fn hints(kept: Option<&Path>) {
    let disk = match kept {
        None => "its disk is a copy, and what you change is gone with it (DISK=FILE keeps it)".to_owned(),
        Some(disk) => format!("for the machine that is a power cut; {} stays", disk.display()),
    };
    let program = std::env::current_exe().unwrap_or_else(|_| "lab".into());
    println!(
        "\nThe console follows: help, status, services, config show. Ctrl-] leaves and takes\n\
         the lab down; {disk}.\n\
         From another terminal:\n  {} exec host01 curl -m 2 http://{VIP}:30080\n",
        program.display()
    );
}

fn pid_file() -> PathBuf {
    build_dir().join("lab.pid")
}

/// Runs `command` in `namespace` of the lab that runs now.
pub fn exec(namespace: &str, command: &[&str]) -> Result<()> {
    let absent = || LabError::Missing("no lab runs. Start one: make run".into());
    let outside = fs::read_to_string(pid_file()).map_err(|_| absent())?;
    let outside = outside.trim();
    // Another process may have that pid by now; ours has become unshare.
    let name = fs::read_to_string(format!("/proc/{outside}/comm")).unwrap_or_default();
    let children = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children"));
    let children = children.unwrap_or_default();
    let Some(inside) = children
        .split_whitespace()
        .next()
        .filter(|_| name.trim() == "unshare")
    else {
        return Err(absent());
    };
    let mut enter = lb_lab::command::command("nsenter");
    // With its processes: what is seen there are the lab's, and what is started there ends with it.
    enter.args(["--target", inside, "--mount", "--net", "--pid"]);
    if !rustix::process::geteuid().is_root() {
        enter.args(["--user", "--preserve-credentials"]);
    }
    let failure = enter
        .args(["ip", "netns", "exec", namespace])
        .args(command)
        .exec();
    Err(LabError::Io {
        what: "execute nsenter (Debian package util-linux)".into(),
        source: failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood_or_refused() {
        let expected = Options {
            uefi: true,
            config: Some("a.toml".into()),
            disk: Some("b.img".into()),
        };
        let words = ["--config", "a.toml", "--uefi", "--disk", "b.img"];
        assert_eq!(Options::parse(&words), Some(expected));
        assert_eq!(Options::parse(&["--config"]), None);
        assert_eq!(Options::parse(&["--disk"]), None);
        assert_eq!(Options::parse(&["--bios"]), None);
    }
}
