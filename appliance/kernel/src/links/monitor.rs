//! Tells that something about links, addresses or routes has changed; what it is now, a reading says.
//! Must not: interpret the notices. Several that are queued are one change.

use std::io;

use lb_core::ports::{KernelError, LinkEvents};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::fault;

const GROUPS: libc::c_int = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV6_ROUTE;

/// Only whether something came counts: a notice that does not fit (bytes) is cut off.
const NOTICE: usize = 4096;

/// Listens to the network namespace in which it was opened.
#[derive(Debug)]
pub struct LinkMonitor {
    socket: Socket,
}

impl LinkMonitor {
    pub fn open() -> Result<LinkMonitor, KernelError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, GROUPS as u32))?;
            Ok(LinkMonitor { socket })
        };
        open().map_err(|e: io::Error| fault::during("open link monitor", fault::from_io(&e)))
    }

    /// `Ok(false)`: nothing is queued.
    fn receive(&self, flags: libc::c_int) -> io::Result<bool> {
        loop {
            let mut notice = Vec::with_capacity(NOTICE);
            let error = match self.socket.recv(&mut notice, flags) {
                Ok(_) => return Ok(true),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(false),
                // Notices were lost: something has changed.
                Some(libc::ENOBUFS) => return Ok(true),
                _ => return Err(error),
            }
        }
    }
}

impl LinkEvents for LinkMonitor {
    fn wait(&mut self) -> Result<(), KernelError> {
        self.receive(0)
            .and_then(|_| {
                while self.receive(libc::MSG_DONTWAIT)? {}
                Ok(())
            })
            .map_err(|e| fault::during("wait for link changes", fault::from_io(&e)))
    }
}
