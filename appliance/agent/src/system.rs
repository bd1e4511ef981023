//! Small facts about this machine and this process, from /proc. Each reads as 0 or nothing when it cannot be read.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZero;
use std::path::Path;
use std::thread;

use lb_core::check::ProbeCookie;
use lb_core::observed::Machine;

pub fn machine() -> Machine {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    Machine {
        memory_bytes: memory_bytes(),
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
        cookie: cookie(),
    }
}

/// Of the kernel's number for this boot, which is random, and which no other machine is told: an agent that starts anew finds the rule as it is
/// to be. Without it, a number of its own.
fn cookie() -> ProbeCookie {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let begin = boot
        .get(..4)
        .and_then(|begin| u16::from_str_radix(begin, 16).ok());
    ProbeCookie(begin.unwrap_or_else(|| RandomState::new().hash_one(0) as u16))
}

/// MemTotal of /proc/meminfo, in bytes.
fn memory_bytes() -> u64 {
    field_kb("/proc/meminfo", "MemTotal:") * 1024
}

/// VmRSS of /proc/PID/status, in kB.
pub fn resident_kb(pid: u32) -> u64 {
    field_kb(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// What can still be written to the file system that holds `path`.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    // Not `f_bfree`: what a file system keeps for itself is no room.
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Since the kernel started, in milliseconds.
pub fn uptime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// uname -r.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn field_kb(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_this_process_uses_some() {
        assert!(memory_bytes() > 16 << 20);
        assert!(resident_kb(std::process::id()) > 100);
        assert!(uptime_ms() > 0);
        assert_eq!(resident_kb(u32::MAX), 0);
        assert!(free_bytes(&std::env::temp_dir()).is_some());
        assert_eq!(free_bytes(Path::new("/nowhere")), None);
        assert_eq!(
            machine(),
            machine(),
            "an agent that starts anew has the same cookie"
        );
    }
}
