//! Whether this machine's KVM can be used. A device node that can be opened proves nothing: on some nested machines a
//! guest crawls or hangs. So a boot sector is run to its end under a limit, with a CPU that must really be there.
//! Must not: leave a process behind.

use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// `mov dx, 0xf4; mov al, 0x2a; out dx, al; hlt; jmp $-1`: leaves through QEMU's isa-debug-exit.
const PROBE: [u8; 9] = [0xba, 0xf4, 0x00, 0xb0, 0x2a, 0xee, 0xf4, 0xeb, 0xfd];
/// isa-debug-exit ends QEMU with (value << 1) | 1.
const PROBE_STATUS: i32 = (0x2a << 1) | 1;
/// Ten times what firmware and boot sector take where KVM works.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// `-accel` and `-icount` of a machine whose clock counts: each instruction takes one nanosecond of the guest's time, and
/// while its processor rests, its time is the host's. So the time that it is busy is the number of its instructions.
pub const COUNTING: [&str; 2] = ["tcg,thread=single", "shift=0,sleep=on"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    Kvm,
    Tcg,
}

impl Accel {
    pub fn as_str(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }

    /// As QEMU's `-accel` wants it.
    pub fn argument(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            // With a thread for each processor, a guest that patches its own code now and then dies of "Oops: int3" at a
            // jump label. We saw it once in some hundred boots with QEMU 7.2, others saw it only under tcg and never
            // under KVM: https://github.com/multipath-tcp/mptcp_net-next/issues/471
            Accel::Tcg => "tcg,thread=single",
        }
    }

    /// `LB_ACCEL=kvm` or `tcg` decides; otherwise the probe does, once per process.
    pub fn choose(scratch: &Path) -> Accel {
        static CHOSEN: OnceLock<Accel> = OnceLock::new();
        *CHOSEN.get_or_init(|| match std::env::var("LB_ACCEL").as_deref() {
            Ok("kvm") => Accel::Kvm,
            Ok(_) => Accel::Tcg,
            Err(_) if probe(scratch) => Accel::Kvm,
            Err(_) => Accel::Tcg,
        })
    }
}

fn probe(scratch: &Path) -> bool {
    if rustix::fs::access(
        "/dev/kvm",
        rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
    )
    .is_err()
    {
        return false;
    }
    let mut sector = PROBE.to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    let disk = scratch.join("kvm-probe");
    if std::fs::write(&disk, sector).is_err() {
        return false;
    }
    let drive = format!("file={},format=raw,if=ide", disk.display());
    let Ok(mut guest) = crate::command::command(super::QEMU)
        .args([
            "-accel",
            "kvm",
            "-cpu",
            "qemu64,enforce",
            "-m",
            "16",
            "-nodefaults",
            "-display",
            "none",
        ])
        .args([
            "-no-reboot",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive",
            &drive,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
    else {
        return false;
    };
    let started = Instant::now();
    while started.elapsed() < PROBE_LIMIT {
        if let Ok(Some(status)) = guest.try_wait() {
            return status.code() == Some(PROBE_STATUS);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = guest.kill();
    let _ = guest.wait();
    false
}
