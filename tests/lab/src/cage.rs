//! The cage: fresh mount, network and pid namespaces (and a user namespace for an ordinary user), entered by executing
//! this program again through `unshare`. Its first process is ours; when that ends, the kernel ends everything else.
//! `--kill-child` ties it to the process outside, so that killing that one is enough.
//! Must not: change anything before it is sure to be inside.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::mount::{MountFlags, mount};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{LabError, Result, command};

/// Set for the process inside: the pid of the process outside, as the machine sees it.
const OUTSIDE: &str = "LB_LAB_OUTSIDE";
/// What the lab needs for a while: sockets, copies of disks, logs of its servers. In memory, gone with the cage.
pub const SCRATCH: &str = "/run/lab";

/// Whether this process is the first of a cage.
pub fn inside() -> bool {
    std::env::var_os(OUTSIDE).is_some() && std::process::id() == 1
}

/// The pid of the process that the machine outside knows the cage by.
pub fn outside_pid() -> Option<u32> {
    std::env::var(OUTSIDE).ok()?.parse().ok()
}

/// The command that runs this program with `arguments` as the first process of a new cage.
pub fn command_for(arguments: &[String]) -> Result<Command> {
    let program = std::env::current_exe().map_err(LabError::io("find this program's file"))?;
    let mut unshare = command::command("unshare");
    unshare.args(options()).arg("--").arg(program);
    unshare.args(arguments).env("TMPDIR", SCRATCH);
    Ok(unshare)
}

fn options() -> Vec<&'static str> {
    let mut options = vec![
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    if !rustix::process::geteuid().is_root() {
        options.extend(["--user", "--map-root-user"]);
    }
    options
}

/// Executes this program again inside a cage; returns only on failure, or inside.
pub fn enter() -> Result<()> {
    if inside() {
        return furnish();
    }
    check()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let failure = command_for(&arguments)?
        .env(OUTSIDE, std::process::id().to_string())
        .exec();
    Err(LabError::Io {
        what: "execute unshare (Debian package util-linux)".into(),
        source: failure,
    })
}

/// Marks `command` (from [`command_for`]) as the way in for a child whose pid is not known yet.
pub fn mark_inside(command: &mut Command) {
    command.env(OUTSIDE, "0");
}

/// Whether this user can have a cage at all; the error names the remedy.
pub fn check() -> Result<()> {
    let mut argv = vec!["unshare"];
    argv.extend(options());
    argv.push("true");
    let tried = command::output(&argv, "")?;
    if tried.status.success() {
        return Ok(());
    }
    Err(LabError::Missing(format!(
        "the lab cannot make its namespaces: {}\n\
         Run it as root, or allow unprivileged user namespaces \
         (as root: sysctl -w kernel.unprivileged_userns_clone=1; on Ubuntu also \
         kernel.apparmor_restrict_unprivileged_userns=0).",
        tried.stderr.trim()
    )))
}

/// The VM's network needs taps; an ordinary user needs write access to this device.
pub fn check_tun() -> Result<()> {
    let device = Path::new("/dev/net/tun");
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .map(drop)
        .map_err(|source| {
            let remedy = if source.kind() == io::ErrorKind::NotFound {
                "as root: modprobe tun"
            } else {
                "run as root, or as root: chmod 0666 /dev/net/tun"
            };
            LabError::Missing(format!(
                "{} cannot be opened ({source}), so the VM can have no network; {remedy}",
                device.display()
            ))
        })
}

/// The first steps inside: ended by a signal like any other process, an empty /run, loopback.
fn furnish() -> Result<()> {
    // The kernel spares the first process of a pid namespace from signals that it has no handler for.
    let armed = Arc::new(AtomicBool::new(true));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed))
            .map_err(LabError::io("install a signal handler"))?;
    }
    mount("lab", "/run", "tmpfs", MountFlags::empty(), None)
        .map_err(|errno| LabError::io("mount a tmpfs on /run")(errno.into()))?;
    std::fs::create_dir_all(SCRATCH).map_err(LabError::io(format!("create {SCRATCH}")))?;
    command::run(&["ip", "link", "set", "lo", "up"])?;
    Ok(())
}

/// A new directory for one user of the scratch space.
pub fn scratch(name: &str) -> Result<PathBuf> {
    if !inside() {
        return Err(LabError::Missing(
            "this is outside of a cage: call lb_lab::cage::enter() first".into(),
        ));
    }
    let path = Path::new(SCRATCH).join(name);
    std::fs::create_dir_all(&path).map_err(LabError::io(format!("create {}", path.display())))?;
    Ok(path)
}
