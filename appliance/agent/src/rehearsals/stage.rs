//! One rehearsal: a thread that enters a network of its own, carries out there what the running machine would be given, by the same code, and
//! ends, and the network with it. Must not: touch anything else than the kernel that it was handed.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lb_core::observed::Machine;
use lb_core::ports::{KernelError, KernelFault, RehearsalPort};
use lb_core::rehearsal::{Part, Refusal, Refusals, StandIn, is_verdict, sysctls};
use tokio::sync::mpsc;

use crate::engine::Event;
use crate::guarded::guarded;
use crate::kernel_thread::carry_out;

/// The second one has the links that the first one made; more find nothing new.
const ROUNDS: usize = 2;

/// Steps between two looks at the clock: as many as go to the kernel in one datagram.
const AT_ONCE: usize = 64;

pub struct Tried {
    pub part: Part,
    /// The same of what is in force, if something is.
    pub former: Option<Part>,
    pub cards: Vec<StandIn>,
    pub machine: Machine,
    /// Then nobody waits for it any more, and it leaves the kernel to the change itself.
    pub until: Instant,
}

/// What comes of it arrives as an event.
pub fn start(
    number: u64,
    port: Arc<dyn RehearsalPort>,
    tried: Tried,
    events: mpsc::Sender<Event>,
) -> io::Result<()> {
    let named = thread::Builder::new().name("rehearsal".to_owned());
    named.spawn(move || {
        let rehearsed = guarded(|| refused(&*port, &tried).map_err(|error| error.to_string()));
        let outcome = rehearsed.unwrap_or_else(Err);
        drop(tried);
        // The loop is gone only when the process ends.
        let _ = events.blocking_send(Event::Rehearsed(number, outcome));
    })?;
    Ok(())
}

/// What the kernel has refused: for the first time, and what it refuses of what is in force in the same words, so that it says nothing of the change.
#[derive(Debug, Default)]
pub struct Refused {
    pub new: Vec<Refusal>,
    pub as_before: Vec<Refusal>,
}

fn refused(port: &dyn RehearsalPort, tried: &Tried) -> Result<Refused, KernelError> {
    let refusals = rehearse(port, tried, &tried.part)?;
    let former = tried.former.as_ref().filter(|_| !refusals.is_empty());
    // Where that cannot be tried, what was refused is taken to be new.
    let former = former.map(|former| rehearse(port, tried, former));
    let former = former.and_then(Result::ok).unwrap_or_default();
    let is_known = |refusal: &Refusal| former.iter().any(|known| known.is_like(refusal));
    let (as_before, new) = refusals.into_iter().partition(is_known);
    Ok(Refused { new, as_before })
}

/// The error: it could not be made, or says nothing of the configuration.
fn rehearse(port: &dyn RehearsalPort, tried: &Tried, part: &Part) -> Result<Vec<Refusal>, KernelError> {
    let mut kernel = port.enter(&tried.cards)?;
    let mut refusals = Refusals::default();
    for round in 0..ROUNDS {
        let mut observed = kernel.observe_frame(&sysctls())?;
        let (network, steps) = part.steps(&mut observed, round > 0, tried.machine);
        for row in steps.chunks(AT_ONCE) {
            if Instant::now() >= tried.until {
                return Err(too_late());
            }
            let outcomes = carry_out(&mut *kernel, row.to_vec());
            for (at, error) in outcomes.refused {
                let step = &outcomes.steps[at];
                // Forwarding that is not switched on without the filter has no number, and a cause.
                if !is_verdict(&error) && !refusals.follows(step) {
                    return Err(error);
                }
                refusals.add(&network, step, &error);
            }
        }
    }
    Ok(refusals.into_causes())
}

fn too_late() -> KernelError {
    KernelError {
        action: "rehearse".to_owned(),
        fault: KernelFault {
            errno: None,
            text: "it took too long".to_owned(),
        },
    }
}
