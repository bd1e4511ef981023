//! Reads the files of captures/: datagrams in hex, each marked with its direction.

use std::path::PathBuf;

use lb_wire::genl;
use lb_wire::ipvs::{IpvsAttribute, IpvsMessage};
use netlink_packet_core::{NLA_F_NESTED, NetlinkHeader, NetlinkPayload};

/// GENL_ID_CTRL: the family that families are looked up in.
const GENL_ID_CTRL: u16 = 0x10;

pub struct Capture {
    pub datagrams: Vec<Datagram>,
}

pub struct Datagram {
    pub sent: bool,
    pub bytes: Vec<u8>,
}

/// One IPVS message, as it was and as it was understood.
#[derive(Debug, Clone)]
pub struct Message {
    pub header: NetlinkHeader,
    pub bytes: Vec<u8>,
    pub message: IpvsMessage,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

impl Capture {
    pub fn names() -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".hex").map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    pub fn read(name: &str) -> Capture {
        let text = std::fs::read_to_string(directory().join(format!("{name}.hex"))).unwrap();
        let mut datagrams: Vec<Datagram> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (mark, hex) = line.split_at(1);
            if mark != " " {
                datagrams.push(Datagram {
                    sent: mark == ">",
                    bytes: Vec::new(),
                });
            }
            let bytes = hex
                .split_whitespace()
                .map(|byte| u8::from_str_radix(byte, 16).unwrap());
            datagrams.last_mut().unwrap().bytes.extend(bytes);
        }
        assert!(!datagrams.is_empty(), "{name} holds nothing");
        Capture { datagrams }
    }

    /// The IPVS request with this number.
    pub fn sent(&self, index: usize) -> Message {
        let sent = self.datagrams.iter().filter(|datagram| datagram.sent);
        let mut messages = sent.flat_map(|datagram| ipvs_messages(&datagram.bytes));
        messages.nth(index).unwrap()
    }

    /// The IPVS messages that the kernel answered.
    pub fn received(&self) -> Vec<Message> {
        let received = self.datagrams.iter().filter(|datagram| !datagram.sent);
        received
            .flat_map(|datagram| ipvs_messages(&datagram.bytes))
            .collect()
    }

    pub fn ipvs_messages(&self) -> Vec<Message> {
        let all = self.datagrams.iter();
        all.flat_map(|datagram| ipvs_messages(&datagram.bytes)).collect()
    }
}

fn ipvs_messages(datagram: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    for received in genl::decode::<IpvsMessage>(datagram) {
        let received = received.unwrap();
        let (bytes, behind) = rest.split_at(received.header.length as usize);
        rest = behind;
        if received.header.message_type == GENL_ID_CTRL {
            continue;
        }
        if let NetlinkPayload::InnerMessage(message) = received.payload.unwrap() {
            messages.push(Message {
                header: received.header,
                bytes: bytes.to_vec(),
                message: message.payload,
            });
        }
    }
    assert!(rest.is_empty());
    messages
}

/// The kernel leaves NLA_F_NESTED out of its answers; we always set it, as libnl does.
pub fn with_nested_flags(message: &Message) -> Vec<u8> {
    const FIRST_ATTRIBUTE_KIND: std::ops::Range<usize> = 22..24;
    let mut bytes = message.bytes.clone();
    if let Some(IpvsAttribute::Service(_) | IpvsAttribute::Dest(_)) = message.message.attributes.first() {
        let kind = &mut bytes[FIRST_ATTRIBUTE_KIND];
        let with_flag = u16::from_ne_bytes([kind[0], kind[1]]) | NLA_F_NESTED;
        kind.copy_from_slice(&with_flag.to_ne_bytes());
    }
    bytes
}
