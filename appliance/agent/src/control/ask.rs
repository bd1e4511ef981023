//! What `doctor` asks of the wire, before it looks at anything. Must not: judge the answers.

use std::net::IpAddr;

use lb_core::doctor::Wire;
use lb_core::model::MacAddress;
use lb_core::ports::{ActivityPort, KernelError};
use tokio::sync::{mpsc, oneshot};
use tokio::task;

use super::{SharedActivity, lock};
use crate::engine::Event;
use crate::report::ToAsk;

/// Of those that are balanced, so many are looked at: in the table they lie in no order, so they are of all kinds.
const CONNECTIONS: usize = 8_192;

/// Nothing is asked of an agent that is ending.
pub(super) async fn ask(
    name: Option<String>,
    activity: &SharedActivity,
    events: &mpsc::Sender<Event>,
) -> Wire {
    let (reply, answer) = oneshot::channel();
    let to_ask = match events.send(Event::ToAsk { name, reply }).await {
        Ok(()) => answer.await.unwrap_or_default(),
        Err(_) => ToAsk::default(),
    };
    let mut wire = Wire::default();
    for (index, mac, address) in to_ask.holders {
        let found = blocking(activity, move |port| port.others_with(index, mac, address)).await;
        wire.others.extend(found.map(|others| (address, others)));
    }
    for (stranger, servers) in to_ask.strangers {
        let found = blocking(activity, move |port| port.ways_back(stranger, &servers)).await;
        wire.ways.extend(found.unwrap_or_default());
    }
    for (index, mac, hop) in to_ask.hops {
        if let Some(answers) = is_there(activity, index, mac, hop.address).await {
            wire.hops.push((hop, answers));
        }
    }
    let table = blocking(activity, |port| port.connections(CONNECTIONS)).await;
    wire.connections = table.map_or_else(Vec::new, |table| table.listed);
    wire
}

/// Whether a neighbour says that this address is its own; a second time where the first question or its answer was lost.
async fn is_there(activity: &SharedActivity, index: u32, mac: MacAddress, address: IpAddr) -> Option<bool> {
    for _ in 0..2 {
        let claims = blocking(activity, move |port| port.others_with(index, mac, address)).await?;
        if !claims.is_empty() {
            return Some(true);
        }
    }
    Some(false)
}

/// `None`: it could not be asked, and the log says why.
async fn blocking<T: Send + 'static>(
    activity: &SharedActivity,
    ask: impl FnOnce(&mut dyn ActivityPort) -> Result<T, KernelError> + Send + 'static,
) -> Option<T> {
    let activity = activity.clone();
    match task::spawn_blocking(move || ask(lock(&activity).as_mut())).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(fault)) => {
            log::warn!("{fault}");
            None
        }
        Err(fault) => {
            log::error!("asking the wire: {fault}");
            None
        }
    }
}
