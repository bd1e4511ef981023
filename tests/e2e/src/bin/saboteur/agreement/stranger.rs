//! Somebody else at the kernel's IPVS: makes entries that the appliance never makes, straight through the codec.
//! Must not: repair anything.

use std::collections::BTreeSet;
use std::error::Error;
use std::os::fd::OwnedFd;

use lb_core::model::{Endpoint, RealKey, VirtualKey};
use lb_core::observed::ForeignService;
use lb_wire::genl;
use lb_wire::ipvs::{
    Dest, DestKey, Family, ForwardMethod, IpvsMessage, SVC_F_PERSISTENT, Service, ServiceKey, TunnelSettings,
};
use netlink_packet_core::NLM_F_ACK;
use rustix::net::{SendFlags, send};

use crate::floor;

type Fault = Box<dyn Error>;

pub struct Stranger {
    socket: OwnedFd,
    family: u16,
}

impl Stranger {
    pub fn open() -> Result<Stranger, Fault> {
        let socket = floor::socket_of_ipvs()?;
        let family = floor::family(&socket)?;
        Ok(Stranger { socket, family })
    }

    fn execute(&self, request: IpvsMessage) -> Result<(), Fault> {
        let text = format!("{request:?}");
        let bytes = genl::encode(request, self.family, NLM_F_ACK, 2);
        send(&self.socket, &bytes, SendFlags::empty())?;
        match floor::acknowledged(&self.socket)? {
            0 => Ok(()),
            code => Err(format!("{text}: {code}").into()),
        }
    }

    /// Services of every foreign kind, which are returned, and every foreign setting on `ours` and two of its servers.
    pub fn everything(
        &self,
        ours: VirtualKey,
        limited: RealKey,
        routed: RealKey,
    ) -> Result<BTreeSet<ForeignService>, Fault> {
        let VirtualKey::Endpoint(ours) = ours else {
            return Err("the probe's services have one port".into());
        };
        let key = ServiceKey::Address {
            protocol: ours.protocol.number().into(),
            address: ours.address,
            port: ours.port,
        };
        let mut persistent = Service::plain(key, "sh");
        persistent.flags = SVC_F_PERSISTENT;
        persistent.timeout_s = 300;
        persistent.netmask = [255, 255, 255, 0];
        self.execute(IpvsMessage::set_service(&persistent))?;
        let limited = Dest {
            upper_threshold: 200,
            lower_threshold: 100,
            ..dest(limited, ForwardMethod::Masquerade, 70_000)
        };
        self.execute(IpvsMessage::set_dest(&key, &limited))?;
        let routed = dest(routed, ForwardMethod::DirectRoute, 1);
        self.execute(IpvsMessage::set_dest(&key, &routed))?;
        let elsewhere = RealKey {
            address: "2001:db8::99".parse()?,
            port: ours.port,
        };
        let tunnel = dest(elsewhere, ForwardMethod::Tunnel, 1);
        self.execute(IpvsMessage::new_dest(&key, &tunnel))?;
        self.foreign_services(ours)
    }

    fn foreign_services(&self, ours: Endpoint) -> Result<BTreeSet<ForeignService>, Fault> {
        let mut foreign = BTreeSet::new();
        for (family, ipv6) in [(Family::V4, false), (Family::V6, true)] {
            let key = ServiceKey::Fwmark { family, mark: 42 };
            self.execute(IpvsMessage::new_service(&Service::plain(key, "rr")))?;
            foreign.insert(ForeignService::Fwmark { mark: 42, ipv6 });
        }
        const DCCP: u16 = 33;
        const UDP_LITE: u16 = 136;
        for protocol in [DCCP, UDP_LITE] {
            let (address, port) = (ours.address, ours.port);
            let key = ServiceKey::Address {
                protocol,
                address,
                port,
            };
            self.execute(IpvsMessage::new_service(&Service::plain(key, "rr")))?;
            let server = RealKey { address, port: 9 };
            let server = dest(server, ForwardMethod::Masquerade, 1);
            self.execute(IpvsMessage::new_dest(&key, &server))?;
            foreign.insert(ForeignService::Address {
                address,
                port,
                protocol,
            });
        }
        Ok(foreign)
    }
}

fn dest(key: RealKey, forward: ForwardMethod, weight: u32) -> Dest {
    Dest {
        key: DestKey {
            address: key.address,
            port: key.port,
        },
        forward,
        tunnel: TunnelSettings::default(),
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}
