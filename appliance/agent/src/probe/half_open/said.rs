//! What was said of a probe instead of an answer: an ICMP error of the server or a router, or our own kernel's. Must not: read sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_core::health::Outcome;
use lb_core::icmp::IcmpError;
use nix::sys::socket::ControlMessageOwned;

use super::super::way::not_connected;

/// include/uapi/linux/errqueue.h.
const SO_EE_ORIGIN_ICMP: u8 = 2;
const SO_EE_ORIGIN_ICMP6: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    pub errno: i32,
    /// Of an ICMP error: who has sent it.
    pub by: Option<(IpAddr, IcmpError)>,
}

impl Said {
    pub fn of(part: ControlMessageOwned) -> Option<Said> {
        let (error, from) = match part {
            ControlMessageOwned::Ipv4RecvErr(error, from) => {
                let from = from.map(|from| IpAddr::V4(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr))));
                (error, from)
            }
            ControlMessageOwned::Ipv6RecvErr(error, from) => {
                let from = from.map(|from| IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)));
                (error, from)
            }
            _ => return None,
        };
        let icmp = IcmpError {
            v6: error.ee_origin == SO_EE_ORIGIN_ICMP6,
            kind: error.ee_type,
            code: error.ee_code,
            mtu: 0,
        };
        let is_icmp = [SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6].contains(&error.ee_origin);
        Some(Said {
            errno: i32::try_from(error.ee_errno).ok()?,
            by: from.filter(|_| is_icmp).map(|from| (from, icmp)),
        })
    }

    /// What that is for a check from `source`: as for a connection, in the words of who has said it.
    pub fn outcome(&self, source: IpAddr) -> Outcome {
        let outcome = not_connected(&io::Error::from_raw_os_error(self.errno));
        match (outcome, self.words(source)) {
            (Outcome::Silent(_), Some(words)) => Outcome::Silent(words),
            (Outcome::Fail(_), Some(words)) => Outcome::Fail(words),
            (outcome, _) => outcome,
        }
    }

    /// Of a neighbour that does not answer ARP the kernel tells itself, from our own address.
    fn words(&self, source: IpAddr) -> Option<String> {
        let (from, icmp) = self.by.filter(|(from, _)| *from != source)?;
        let what = match icmp {
            icmp if icmp.is_prohibited() => "administratively prohibited",
            icmp if icmp.is_host_unreachable() => "host unreachable",
            _ => return None,
        };
        Some(format!("{what} (ICMP from {from})"))
    }
}
