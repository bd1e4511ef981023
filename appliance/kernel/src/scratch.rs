//! Networks that nobody meets: a namespace of its own for a thread, with dummies in the place of the machine's cards. It ends with the thread and
//! the sockets that were opened in it. Must not: be entered by a thread that has anything else to do.

use lb_core::ports::{KernelError, KernelPort, RehearsalPort};
use lb_core::rehearsal::StandIn;
use nix::sched::{CloneFlags, unshare};

use crate::fault::{self, during};
use crate::kernel::{Kernel, Parts};

#[derive(Debug, Clone, Copy)]
pub struct ScratchNetworks {
    pub parts: Parts,
}

impl RehearsalPort for ScratchNetworks {
    fn enter(&self, cards: &[StandIn]) -> Result<Box<dyn KernelPort>, KernelError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| {
            during(
                "make a network to try it in",
                fault::from_errno(errno as i32, None),
            )
        })?;
        let mut kernel = Kernel::open(self.parts)?;
        for card in cards {
            kernel.stand_in(card)?;
        }
        Ok(Box::new(kernel))
    }
}
