//! The rtnetlink connection and the runtime that drives it. A request that is not answered in time, or whose answer was
//! lost, costs the connection: the next request opens another.

use std::future::Future;
use std::time::Duration;

use lb_core::ports::KernelFault;
use rtnetlink::Handle;
use rtnetlink::sys::AsyncSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::fault;

/// The kernel answers at once; a lost answer must not stop the agent.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Connection {
    runtime: Runtime,
    handle: Option<Handle>,
}

/// Why a request has no result.
enum Failure {
    /// The kernel said no, in so many words.
    Refused(KernelFault),
    /// No answer, or none that can be trusted.
    Broken(KernelFault),
}

impl Connection {
    pub(super) fn open() -> Result<Connection, KernelFault> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| fault::from_io(&e))?;
        let handle = Some(connect(&runtime)?);
        Ok(Connection { runtime, handle })
    }

    /// Makes a request. For changes: one that was not answered may have happened.
    pub(super) fn run<T, F>(&mut self, request: impl FnOnce(Handle) -> F) -> Result<T, KernelFault>
    where
        F: Future<Output = Result<T, rtnetlink::Error>>,
    {
        self.attempt(request)
            .map_err(|(Failure::Refused(fault) | Failure::Broken(fault))| fault)
    }

    /// Makes a request that changes nothing, a second time if the first was not answered.
    pub(super) fn run_again<T, F>(&mut self, request: impl Fn(Handle) -> F) -> Result<T, KernelFault>
    where
        F: Future<Output = Result<T, rtnetlink::Error>>,
    {
        match self.attempt(&request) {
            Ok(result) => Ok(result),
            Err(Failure::Refused(fault)) => Err(fault),
            Err(Failure::Broken(fault)) => {
                log::debug!("rtnetlink: asking again after: {fault}");
                self.run(request)
            }
        }
    }

    fn attempt<T, F>(&mut self, request: impl FnOnce(Handle) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, rtnetlink::Error>>,
    {
        let handle = match &self.handle {
            Some(handle) => handle.clone(),
            None => {
                let fresh = connect(&self.runtime).map_err(Failure::Refused)?;
                self.handle.insert(fresh).clone()
            }
        };
        let answer = self
            .runtime
            .block_on(async { timeout(TIMEOUT, request(handle)).await });
        let outcome = match answer {
            Ok(result) => result.map_err(failure),
            Err(_) => Err(Failure::Broken(fault::plain("the kernel did not answer in time"))),
        };
        if matches!(outcome, Err(Failure::Broken(_))) {
            self.handle = None;
        }
        outcome
    }
}

fn connect(runtime: &Runtime) -> Result<Handle, KernelFault> {
    let _inside = runtime.enter();
    let (mut connection, handle, _) = rtnetlink::new_connection().map_err(|e| fault::from_io(&e))?;
    let socket = connection.socket_mut().socket_mut();
    socket
        .set_ext_ack(true)
        .and_then(|()| socket.set_cap_ack(true))
        .map_err(|e| fault::from_io(&e))?;
    // It ends when the last handle is dropped.
    runtime.spawn(connection);
    Ok(handle)
}

/// NETLINK_CAP_ACK is on: of the request only its header comes back, then the attributes with the kernel's words.
const ECHOED_HEADER: usize = 16;

fn failure(error: rtnetlink::Error) -> Failure {
    match error {
        rtnetlink::Error::NetlinkError(message) => {
            let words = message.header.get(ECHOED_HEADER..).and_then(fault::ext_ack_words);
            Failure::Refused(fault::from_errno(-message.raw_code(), words.as_deref()))
        }
        other => Failure::Broken(fault::plain(other.to_string())),
    }
}
