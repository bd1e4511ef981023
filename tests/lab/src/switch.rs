//! A managed switch between the VM and the cluster's bridge, in this process: trunk ports with tagged frames (IEEE 802.1Q), one for
//! each network card, and for each VLAN an access port without tags, which is a tap. Frames travel over datagram sockets; QEMU
//! is at the other end of all of them. It learns addresses per VLAN and never forgets one by itself: whoever moves has to say so.
//! Must not: know what is in the frames behind their Ethernet header.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::{LabError, Result, cage, command, vm};

/// EtherType of a tagged frame.
const TAGGED: [u8; 2] = [0x81, 0x00];
/// Destination and source.
const ADDRESSES: usize = 12;
const LONGEST_FRAME: usize = 65_536;

type Mac = [u8; 6];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Port {
    /// By the card's number.
    Trunk(usize),
    /// By the VLAN's id.
    Access(u16),
}

impl Port {
    fn name(self) -> String {
        match self {
            Port::Trunk(card) => format!("card{card}"),
            Port::Access(id) => format!("vlan{id}"),
        }
    }

    fn carries(self, vlan: u16) -> bool {
        match self {
            Port::Trunk(_) => true,
            Port::Access(id) => id == vlan,
        }
    }
}

/// A running switch; its taps end with it.
#[derive(Debug)]
pub struct Switch {
    fabric: Arc<Fabric>,
    taps: Child,
}

#[derive(Debug)]
struct Fabric {
    directory: PathBuf,
    ports: BTreeMap<Port, UnixDatagram>,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    places: BTreeMap<(u16, Mac), Port>,
    /// Frames that came in tagged, by trunk port and VLAN.
    received: BTreeMap<(usize, u16), u64>,
}

impl Switch {
    /// `cards`: the numbers of the VM's cards; `taps`: each VLAN's id with the tap of its access port.
    pub fn start(cards: &[usize], taps: &[(u16, String)]) -> Result<Switch> {
        let directory = cage::scratch("switch")?;
        let trunks = cards.iter().map(|card| Port::Trunk(*card));
        let access = taps.iter().map(|(id, _)| Port::Access(*id));
        let mut ports = BTreeMap::new();
        for port in trunks.chain(access) {
            let path = socket_path(&directory, &port.name());
            let socket = UnixDatagram::bind(&path)
                .map_err(LabError::io(format!("open the switch's {}", path.display())))?;
            ports.insert(port, socket);
        }
        let fabric = Arc::new(Fabric {
            directory,
            ports,
            learned: Mutex::default(),
        });
        for port in fabric.ports.keys().copied() {
            let fabric = Arc::clone(&fabric);
            thread::spawn(move || fabric.serve(port));
        }
        let taps = start_taps(&fabric.directory, taps)?;
        Ok(Switch { fabric, taps })
    }

    /// Frames that this card has sent with this VLAN's tag so far.
    pub fn received(&self, card: usize, vlan: u16) -> u64 {
        let learned = self.fabric.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.received.get(&(card, vlan)).copied().unwrap_or(0)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.taps.kill();
        let _ = self.taps.wait();
    }
}

/// QEMU's end of the wire to the switch's port for a card: the value of -netdev without its id.
pub(crate) fn wire(card: usize) -> String {
    let directory = Path::new(cage::SCRATCH).join("switch");
    netdev(&directory, &Port::Trunk(card).name())
}

fn netdev(directory: &Path, port: &str) -> String {
    let far = socket_path(directory, &format!("{port}-far"));
    let near = socket_path(directory, port);
    format!(
        "local.type=unix,local.path={},remote.type=unix,remote.path={}",
        far.display(),
        near.display()
    )
}

fn socket_path(directory: &Path, port: &str) -> PathBuf {
    directory.join(port)
}

/// A QEMU without a machine passes frames between each tap and its port.
fn start_taps(directory: &Path, taps: &[(u16, String)]) -> Result<Child> {
    let mut line: Vec<String> = "-machine none -nodefaults -display none"
        .split(' ')
        .map(String::from)
        .collect();
    for (id, tap) in taps {
        let wire = netdev(directory, &Port::Access(*id).name());
        for netdev in [
            format!("tap,id=tap{id},ifname={tap},script=no,downscript=no"),
            format!("hubport,id=tapside{id},hubid={id},netdev=tap{id}"),
            format!("dgram,id=wire{id},{wire}"),
            format!("hubport,id=wireside{id},hubid={id},netdev=wire{id}"),
        ] {
            line.extend(["-netdev".to_owned(), netdev]);
        }
    }
    command::command(vm::QEMU)
        .args(line)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(LabError::io("start the switch's taps"))
}

impl Fabric {
    fn serve(&self, port: Port) {
        let mut buffer = vec![0; LONGEST_FRAME];
        while let Ok(length) = self.ports[&port].recv(&mut buffer) {
            self.pass_on(port, &buffer[..length]);
        }
    }

    fn pass_on(&self, from: Port, frame: &[u8]) {
        let Some((vlan, bare)) = untagged(from, frame) else {
            return;
        };
        let tagged = tagged(vlan, &bare);
        for port in self.destinations(from, vlan, &bare) {
            let frame = match port {
                Port::Trunk(_) => &tagged,
                Port::Access(_) => &bare,
            };
            // A machine that is off takes nothing.
            let far = socket_path(&self.directory, &format!("{}-far", port.name()));
            let _ = self.ports[&port].send_to(frame, far);
        }
    }

    /// Where a frame goes, once it is known where its sender is.
    fn destinations(&self, from: Port, vlan: u16, bare: &[u8]) -> Vec<Port> {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Port::Trunk(card) = from {
            *learned.received.entry((card, vlan)).or_default() += 1;
        }
        let address = |at: usize| -> Mac { bare[at..at + 6].try_into().unwrap_or_default() };
        learned.places.insert((vlan, address(6)), from);
        match learned.places.get(&(vlan, address(0))) {
            Some(port) if *port == from => Vec::new(),
            Some(port) => vec![*port],
            None => {
                let others = self.ports.keys().copied();
                others
                    .filter(|port| *port != from && port.carries(vlan))
                    .collect()
            }
        }
    }
}

/// A frame's VLAN, and the frame without its tag; `None`: it has no business on this port.
fn untagged(from: Port, frame: &[u8]) -> Option<(u16, Vec<u8>)> {
    let ethertype = frame.get(ADDRESSES..ADDRESSES + 2)?;
    match (from, ethertype == TAGGED) {
        (Port::Access(id), false) => Some((id, frame.to_vec())),
        (Port::Trunk(_), true) => {
            let tag = frame.get(ADDRESSES + 2..ADDRESSES + 4)?;
            let vlan = u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff;
            let bare = [&frame[..ADDRESSES], &frame[ADDRESSES + 4..]].concat();
            (bare.len() >= ADDRESSES + 2).then_some((vlan, bare))
        }
        _ => None,
    }
}

fn tagged(vlan: u16, bare: &[u8]) -> Vec<u8> {
    let (addresses, rest) = bare.split_at(ADDRESSES);
    [addresses, &TAGGED, &vlan.to_be_bytes(), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_put_in_and_taken_out() {
        let bare: Vec<u8> = (0..60).collect();
        let tagged = tagged(100, &bare);
        assert_eq!(tagged[12..16], [0x81, 0, 0, 100]);
        assert_eq!(untagged(Port::Trunk(1), &tagged), Some((100, bare.clone())));
        assert_eq!(untagged(Port::Access(7), &bare), Some((7, bare.clone())));
        assert_eq!(untagged(Port::Trunk(1), &bare), None);
        assert_eq!(untagged(Port::Access(7), &tagged), None);
        assert_eq!(untagged(Port::Trunk(1), &tagged[..14]), None);
    }
}
