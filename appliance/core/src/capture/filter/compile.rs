//! Terms into classic BPF. All offsets are from the network's header, which the kernel knows (SKF_NET_OFF), so that a link without
//! Ethernet headers, and a tag that the kernel has taken off, make no difference. Must not: know words.

use ipnet::IpNet;

use super::{Filter, Kind, Term};

/// include/uapi/linux/filter.h and bpf_common.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

pub(super) const LOAD_WORD: u16 = 0x20;
pub(super) const LOAD_HALF: u16 = 0x28;
pub(super) const LOAD_BYTE: u16 = 0x30;
/// At X and k.
pub(super) const LOAD_HALF_AT_X: u16 = 0x48;
/// X is four times the lower half of a byte: the length of an IPv4 header.
pub(super) const LOAD_HEADER_LENGTH: u16 = 0xb1;
pub(super) const LOAD_KEPT: u16 = 0x60;
pub(super) const KEEP: u16 = 0x02;
pub(super) const AND: u16 = 0x54;
pub(super) const IF_EQUAL: u16 = 0x15;
pub(super) const IF_ANY: u16 = 0x45;
pub(super) const RETURN: u16 = 0x06;

/// SKF_AD_OFF and SKF_AD_PROTOCOL: the EtherType, as the kernel has it.
pub(super) const ETHERTYPE: u32 = 0u32.wrapping_sub(0x1000);
/// SKF_NET_OFF.
pub(super) const NETWORK: u32 = 0u32.wrapping_sub(0x10_0000);
/// SKF_LL_OFF, and behind a tag that is still in its place.
pub(super) const BEHIND_TAG: u32 = 0u32.wrapping_sub(0x20_0000).wrapping_add(16);

const IPV4: u32 = 0x0800;
const ARP: u32 = 0x0806;
const IPV6: u32 = 0x86dd;
const TAGGED: u32 = 0x8100;
/// More than any packet has.
const WHOLE: u32 = 0x4_0000;
const WITH_PORTS: [u32; 3] = [6, 17, 132];

/// Where a comparison goes on within its term.
#[derive(Debug, Clone, Copy)]
enum To {
    Next,
    Hit,
    Miss,
    /// So many instructions further than the next one.
    Over(u8),
}

impl Filter {
    /// None for a filter that takes everything.
    pub fn compile(&self) -> Vec<Instruction> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let plain = |code, k| Instruction {
            code,
            jt: 0,
            jf: 0,
            k,
        };
        let mut program = vec![
            plain(LOAD_HALF, ETHERTYPE),
            Instruction {
                code: IF_EQUAL,
                jt: 0,
                jf: 1,
                k: TAGGED,
            },
            plain(LOAD_HALF, BEHIND_TAG),
            plain(KEEP, 0),
        ];
        for term in &self.0 {
            program.extend(Block::of(term).finish());
        }
        program.push(plain(RETURN, WHOLE));
        program
    }
}

/// The instructions of one term, with its outcomes still open.
#[derive(Default)]
struct Block(Vec<(u16, u32, To, To)>);

impl Block {
    fn of(term: &Term) -> Block {
        let mut block = Block::default();
        match term {
            Term::Kind(Kind::Arp) => block.ethertype(ARP),
            Term::Kind(Kind::Ip) => block.ethertype(IPV4),
            Term::Kind(Kind::Ip6) => block.ethertype(IPV6),
            Term::Kind(Kind::Icmp) => block.protocol(1, 58),
            Term::Kind(Kind::Tcp) => block.protocol(6, 6),
            Term::Kind(Kind::Udp) => block.protocol(17, 17),
            Term::Kind(Kind::Sctp) => block.protocol(132, 132),
            Term::Port(port) => block.port(u32::from(*port)),
            Term::Network(IpNet::V4(net)) => {
                block.network_v4(u32::from(net.network()), u32::from(net.netmask()));
            }
            Term::Network(IpNet::V6(net)) => {
                block.network_v6(u128::from(net.network()), u128::from(net.netmask()));
            }
        }
        block
    }

    fn load(&mut self, code: u16, k: u32) {
        self.0.push((code, k, To::Next, To::Next));
    }

    fn compare(&mut self, code: u16, k: u32, yes: To, no: To) {
        self.0.push((code, k, yes, no));
    }

    fn ethertype(&mut self, kind: u32) {
        self.load(LOAD_KEPT, 0);
        self.compare(IF_EQUAL, kind, To::Hit, To::Miss);
    }

    /// Directly behind the header: extension headers of IPv6 are not followed.
    fn protocol(&mut self, v4: u32, v6: u32) {
        self.load(LOAD_KEPT, 0);
        self.compare(IF_EQUAL, IPV4, To::Next, To::Over(2));
        self.load(LOAD_BYTE, NETWORK.wrapping_add(9));
        self.compare(IF_EQUAL, v4, To::Hit, To::Miss);
        self.compare(IF_EQUAL, IPV6, To::Next, To::Miss);
        self.load(LOAD_BYTE, NETWORK.wrapping_add(6));
        self.compare(IF_EQUAL, v6, To::Hit, To::Miss);
    }

    /// Later fragments have no ports.
    fn port(&mut self, port: u32) {
        const V4: u8 = 11;
        self.load(LOAD_KEPT, 0);
        self.compare(IF_EQUAL, IPV4, To::Next, To::Over(V4));
        self.load(LOAD_BYTE, NETWORK.wrapping_add(9));
        self.with_ports();
        self.load(LOAD_HALF, NETWORK.wrapping_add(6));
        self.compare(IF_ANY, 0x1fff, To::Miss, To::Next);
        self.load(LOAD_HEADER_LENGTH, NETWORK);
        self.load(LOAD_HALF_AT_X, NETWORK);
        self.compare(IF_EQUAL, port, To::Hit, To::Next);
        self.load(LOAD_HALF_AT_X, NETWORK.wrapping_add(2));
        self.compare(IF_EQUAL, port, To::Hit, To::Miss);
        self.compare(IF_EQUAL, IPV6, To::Next, To::Miss);
        self.load(LOAD_BYTE, NETWORK.wrapping_add(6));
        self.with_ports();
        self.load(LOAD_HALF, NETWORK.wrapping_add(40));
        self.compare(IF_EQUAL, port, To::Hit, To::Next);
        self.load(LOAD_HALF, NETWORK.wrapping_add(42));
        self.compare(IF_EQUAL, port, To::Hit, To::Miss);
    }

    fn with_ports(&mut self) {
        let [tcp, udp, sctp] = WITH_PORTS;
        self.compare(IF_EQUAL, tcp, To::Over(2), To::Next);
        self.compare(IF_EQUAL, udp, To::Over(1), To::Next);
        self.compare(IF_EQUAL, sctp, To::Next, To::Miss);
    }

    /// The addresses of IPv4, and those that ARP is about.
    fn network_v4(&mut self, net: u32, mask: u32) {
        self.load(LOAD_KEPT, 0);
        self.compare(IF_EQUAL, IPV4, To::Next, To::Over(6));
        self.either_v4(12, 16, net, mask);
        self.compare(IF_EQUAL, ARP, To::Next, To::Miss);
        self.either_v4(14, 24, net, mask);
    }

    fn either_v4(&mut self, from: u32, to: u32, net: u32, mask: u32) {
        for (at, no) in [(from, To::Next), (to, To::Miss)] {
            self.load(LOAD_WORD, NETWORK.wrapping_add(at));
            self.load(AND, mask);
            self.compare(IF_EQUAL, net, To::Hit, no);
        }
    }

    fn network_v6(&mut self, net: u128, mask: u128) {
        self.load(LOAD_KEPT, 0);
        self.compare(IF_EQUAL, IPV6, To::Next, To::Miss);
        let word = |value: u128, at: u32| u32::try_from(value >> (96 - 32 * at) & 0xffff_ffff).unwrap_or(0);
        let words: Vec<u32> = (0..4).filter(|at| word(mask, *at) != 0).collect();
        let Some(last) = words.last() else {
            // Every address of the family.
            self.compare(IF_EQUAL, IPV6, To::Hit, To::Miss);
            return;
        };
        for (place, is_source) in [(8, true), (24, false)] {
            for at in &words {
                // Three instructions for each word that is left, then comes the other address.
                let left = words.iter().filter(|word| *word > at).count() * 3;
                let other = To::Over(u8::try_from(left).unwrap_or(0));
                let no = if is_source { other } else { To::Miss };
                let yes = if at == last { To::Hit } else { To::Next };
                self.load(LOAD_WORD, NETWORK.wrapping_add(place + 4 * at));
                self.load(AND, word(mask, *at));
                self.compare(IF_EQUAL, word(net, *at), yes, no);
            }
        }
    }

    /// Behind the term stands what a miss comes to, which a hit jumps over.
    fn finish(self) -> Vec<Instruction> {
        let length = self.0.len();
        let mut done: Vec<Instruction> = Vec::with_capacity(length + 1);
        for (at, (code, k, yes, no)) in self.0.into_iter().enumerate() {
            let distance = |to: To| match to {
                To::Next => 0,
                To::Over(number) => number,
                To::Miss => u8::try_from(length - at - 1).unwrap_or(u8::MAX),
                To::Hit => u8::try_from(length - at).unwrap_or(u8::MAX),
            };
            let (jt, jf) = (distance(yes), distance(no));
            done.push(Instruction { code, jt, jf, k });
        }
        done.push(Instruction {
            code: RETURN,
            jt: 0,
            jf: 0,
            k: 0,
        });
        done
    }
}
