//! Joins the agent with the real kernel and the image's places. Must not: decide anything else.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use lb_agent::{Places, Ports};
use lb_core::control;
use lb_core::ports::{FramePort, KernelError};
use lb_kernel::{FrameSocket, Kernel, KernelActivity, LinkMonitor, Parts, ScratchNetworks};

const PARTS: Parts = Parts { ipvs: true };
const SAMPLE: &str = "/usr/share/lb/lb.toml.sample";
const CONFIG_VOLUME: &str = "/config";

/// Returns only if there is nothing to run on; init starts it again, later and later.
pub fn run() -> ExitCode {
    lb_init::kmsg::install("agent");
    let ports = match open() {
        Ok(ports) => ports,
        Err(error) => {
            log::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match lb_agent::run(places(), ports) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("the agent cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn open() -> Result<Ports, KernelError> {
    Ok(Ports {
        kernel: Box::new(Kernel::open(PARTS)?),
        activity: Box::new(KernelActivity::new()),
        links: Box::new(LinkMonitor::open()?),
        rehearsal: Arc::new(ScratchNetworks { parts: PARTS }),
        frames: frames(),
        give_back: lb_kernel::resident::give_back,
    })
}

/// Without it every check costs more, and does the same.
fn frames() -> Option<Box<dyn FramePort>> {
    match FrameSocket::open() {
        Ok(socket) => Some(Box::new(socket)),
        Err(error) => {
            log::warn!("{error}: all TCP checks go by the kernel's routes");
            None
        }
    }
}

fn places() -> Places {
    let runtime = Path::new(control::SOCKET).parent().unwrap_or(Path::new("/run"));
    let mirror = PathBuf::from(lb_init::BOOTCTL);
    Places {
        config: PathBuf::from(CONFIG_VOLUME),
        runtime: runtime.to_owned(),
        sample: PathBuf::from(SAMPLE),
        mirror: mirror.exists().then_some(mirror),
    }
}
