//! What the table says of answers of one-packet services: IPVS has forgotten the client's datagram by then, so a map tells whose
//! address and port an answer has to come from. Must not: know netlink, or decide which services these are.

use std::fmt;
use std::net::IpAddr;

use super::Family;
use crate::model::PortRange;

/// The source that an answer takes: the address and port that its client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerSource {
    pub address: IpAddr,
    /// `None`: the one that it has.
    pub port: Option<u16>,
}

/// The maps, by source address . protocol . source port of an answer. Each is in the kernel while a rule needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnswerMap {
    /// Single ports : address . port
    Ports(Family),
    /// Ranges of ports, which are kept : address
    Ranges(Family),
}

impl AnswerMap {
    pub const ALL: [AnswerMap; 4] = [
        AnswerMap::Ports(Family::V4),
        AnswerMap::Ports(Family::V6),
        AnswerMap::Ranges(Family::V4),
        AnswerMap::Ranges(Family::V6),
    ];

    pub const fn name(self) -> &'static str {
        match self {
            AnswerMap::Ports(Family::V4) => "answers4",
            AnswerMap::Ports(Family::V6) => "answers6",
            AnswerMap::Ranges(Family::V4) => "answer_ranges4",
            AnswerMap::Ranges(Family::V6) => "answer_ranges6",
        }
    }

    pub const fn family(self) -> Family {
        match self {
            AnswerMap::Ports(family) | AnswerMap::Ranges(family) => family,
        }
    }

    /// Whether it is the one that says this.
    pub fn holds(self, answers: &PortRange, source: &AnswerSource) -> bool {
        let single = matches!(self, AnswerMap::Ports(_));
        self.family().is_of(answers.address) && source.port.is_some() == single
    }

    pub(super) fn from_word(word: &str) -> Option<AnswerMap> {
        AnswerMap::ALL.into_iter().find(|map| map.name() == word)
    }
}

impl fmt::Display for AnswerMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
