//! How a check gets to its server: the sockets that it uses, with their source, their interface, and what the kernel says of them.
//! Must not: say anything to the server.

use std::io;
use std::net::{IpAddr, SocketAddr};

use lb_core::check::CheckParams;
use lb_core::health::Outcome;
use lb_core::model::{IfName, RealKey};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::{Progress, UNREACHABLE, classify};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub target: SocketAddr,
    pub source: Option<IpAddr>,
    /// What the kernel calls the interface that the check has to leave through.
    pub device: Option<IfName>,
}

impl Way {
    /// Without regard to the interface.
    pub fn from(params: &CheckParams, server: RealKey) -> Way {
        Way {
            target: params.target(server),
            source: params.source,
            device: None,
        }
    }

    /// `device`: what the kernel calls an interface of the file, if it is there.
    pub fn of(
        params: &CheckParams,
        server: RealKey,
        device: impl FnOnce(&str) -> Option<IfName>,
    ) -> Result<Way, Outcome> {
        let mut way = Way::from(params, server);
        if let Some(label) = &params.interface {
            let missing = || Outcome::CannotCheck(format!("the interface {label} is missing"));
            way.device = Some(device(label).ok_or_else(missing)?);
        }
        Ok(way)
    }

    /// Whether the kernel may choose where it begins.
    pub fn is_any(&self) -> bool {
        self.source.is_none() && self.device.is_none()
    }

    pub(super) async fn stream(&self, progress: &Progress) -> Result<TcpStream, Outcome> {
        let socket = match self.target {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.map_err(|error| classify(&error))?;
        let device = self.device.as_ref().map(|name| name.as_str().as_bytes());
        socket
            .bind_device(device)
            .map_err(|error| self.misbound(&error))?;
        if let Some(source) = self.source {
            // A port is taken when the connection is made, so that one port serves connections to many servers.
            let _ = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true);
            socket
                .bind(SocketAddr::new(source, 0))
                .map_err(|error| self.misbound(&error))?;
        }
        let stream = socket.connect(self.target).await;
        let stream = stream.map_err(|error| match self.begin() {
            Ok(_) => not_connected(&error),
            Err(ours) => ours,
        })?;
        progress.note("connect", || {
            let own = stream.local_addr().map(|own| format!("from {own} "));
            vec![format!(
                "TCP connection {}to {}",
                own.unwrap_or_default(),
                self.target
            )]
        });
        Ok(stream)
    }

    /// Where what is sent this way begins, as the kernel says, and the index of the interface; 0: it may be any.
    pub(super) fn begin(&self) -> Result<(IpAddr, u32), Outcome> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(self.target), kind, None);
        let socket = socket.map_err(|error| classify(&error))?;
        let index = match &self.device {
            Some(name) => {
                name_to_index(&socket, name.as_str()).map_err(|errno| self.misbound(&errno.into()))?
            }
            None => 0,
        };
        self.bind(&socket)?;
        // Nothing is sent by that: the kernel looks for a route, and keeps the address that goes with it.
        socket
            .connect(&self.target.into())
            .map_err(|error| classify(&error))?;
        let own = socket.local_addr().map_err(|error| classify(&error))?;
        let own = own.as_socket().map(|own| own.ip());
        let source = self.source.or(own);
        source
            .map(|source| (source, index))
            .ok_or_else(|| classify(&Errno::NETUNREACH.into()))
    }

    /// To the source and the interface of the check.
    fn bind(&self, socket: &Socket) -> Result<(), Outcome> {
        let device = self.device.as_ref().map(|name| name.as_str().as_bytes());
        socket
            .bind_device(device)
            .map_err(|error| self.misbound(&error))?;
        let Some(source) = self.source else {
            return Ok(());
        };
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .map_err(|error| self.misbound(&error))
    }

    /// A connected socket: it is given what comes from the target, and what the network says of what was sent there.
    pub(super) fn datagrams(&self, protocol: Protocol) -> Result<UdpSocket, Outcome> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(self.target), kind, Some(protocol));
        let socket = socket.map_err(|error| match Errno::from_io_error(&error) {
            // Of all datagrams only pings are reserved for some (net/ipv4/ping.c).
            Some(Errno::ACCESS) => Outcome::CannotCheck(
                "net.ipv4.ping_group_range does not let the appliance send pings".to_owned(),
            ),
            _ => classify(&error),
        })?;
        self.bind(&socket)?;
        // Without this only some of the ICMP errors arrive (net/ipv4/icmp.c, icmp_err_convert), and not that a neighbour is silent.
        let told = match self.target {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
        };
        told.map_err(|errno| classify(&errno.into()))?;
        socket
            .connect(&self.target.into())
            .map_err(|error| classify(&error))?;
        UdpSocket::from_std(socket.into()).map_err(|error| classify(&error))
    }

    /// What binding to a source or an interface has come to.
    fn misbound(&self, error: &io::Error) -> Outcome {
        let what = match (Errno::from_io_error(error), &self.device, self.source) {
            (Some(Errno::NODEV), Some(device), _) => format!("the interface {device} is missing"),
            (Some(Errno::ADDRNOTAVAIL), _, Some(source)) => {
                format!("the appliance does not have the address {source} now")
            }
            _ => return classify(error),
        };
        Outcome::CannotCheck(what)
    }
}

/// What has ended a connection that had begun: the server's RST, an ICMP error, or our own kernel for a neighbour that does not answer
/// ARP. There was a route, so one that has none is a router.
pub(super) fn not_connected(error: &io::Error) -> Outcome {
    match Errno::from_io_error(error) {
        Some(Errno::NETUNREACH | Errno::NOPROTOOPT | Errno::ACCESS) => told_by_icmp(error),
        _ => classify(error),
    }
}

/// What came back instead of an answer to a datagram: an ICMP error, which the server or a router has sent, or our own kernel for a
/// neighbour that does not answer ARP.
pub(super) fn told_by_icmp(error: &io::Error) -> Outcome {
    let (fail, silent) = (
        |text: &str| Outcome::Fail(text.to_owned()),
        |text: &str| Outcome::Silent(text.to_owned()),
    );
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => {
            Outcome::Refused("the port is closed (ICMP: port unreachable)".to_owned())
        }
        Some(Errno::HOSTUNREACH) => silent(UNREACHABLE),
        Some(Errno::HOSTDOWN) => silent("host down"),
        Some(Errno::NETUNREACH) => silent("a router says that it has no route to the server"),
        Some(Errno::NOPROTOOPT) => {
            fail("the server does not speak this protocol (ICMP: protocol unreachable)")
        }
        Some(Errno::ACCESS | Errno::PERM) => fail("a router's filter forbids it"),
        Some(Errno::MSGSIZE) => fail("what is sent is too long for the path"),
        _ => classify(error),
    }
}
