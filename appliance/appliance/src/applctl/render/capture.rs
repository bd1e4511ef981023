//! Packets as lines, and what became of those that have none. Must not: know where they came from.

use lb_core::capture::Frame;

use super::text::{Screen, Tone, clean, wrap};
use super::units::{count, span};
use crate::applctl::capture::Account;

/// `12:00:01.123456 eth0 in tcp 192.168.0.10:40000 > 192.168.0.1:80 [SYN] 0 B`. It is not wrapped by us: a line for each packet
/// can be read by programs, and a terminal that is too narrow wraps it.
pub fn packet(frame: &Frame, name: &str, screen: &Screen) -> String {
    let time = frame.time();
    let vlan = frame.vlan().map(|id| format!(" vlan {id}")).unwrap_or_default();
    format!(
        "{} {} {:<5}{vlan} {}\n",
        screen.paint(Tone::Faint, &time),
        clean(name),
        frame.direction.as_str(),
        clean(&frame.line())
    )
}

pub fn not_shown(hidden: u64, screen: &Screen) -> String {
    let text = format!("... {} more, which this terminal is too slow for", count(hidden));
    format!("{}\n", screen.paint(Tone::Doubtful, &text))
}

/// The end.
pub fn captured(account: &Account, screen: &Screen) -> String {
    let packets = match account.packets {
        1 => "1 packet".to_owned(),
        number => format!("{} packets", count(number)),
    };
    let mut text = format!("{packets} in {}", span(account.ms));
    if account.not_shown > 0 {
        text.push_str(&format!(
            "; {} of them not shown, as 50 lines a second are; a filter or `--pcap` leaves fewer out",
            count(account.not_shown)
        ));
    }
    if account.not_kept > 0 {
        text.push_str(&format!(
            "; {} of them not in the file, which is full; a filter leaves fewer out",
            count(account.not_kept)
        ));
    }
    if account.lost > 0 {
        text.push_str(&format!(
            "; {} more were lost, as they came faster than they were read; a filter helps",
            count(account.lost)
        ));
    }
    format!("{}\n", wrap(&format!("{text}."), screen.width, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_said() {
        let account = Account {
            packets: 1_234,
            ms: 10_000,
            not_shown: 1_184,
            not_kept: 0,
            lost: 3,
        };
        let text = captured(&account, &Screen::plain(120));
        assert_eq!(
            text,
            "1,234 packets in 10s; 1,184 of them not shown, as 50 lines a second are; a filter or `--pcap` leaves fewer out; 3 more\n\
             were lost, as they came faster than they were read; a filter helps.\n"
        );
        assert_eq!(
            captured(&Account::default(), &Screen::plain(80)),
            "0 packets in 0s.\n"
        );
        assert_eq!(
            not_shown(7, &Screen::plain(80)),
            "... 7 more, which this terminal is too slow for\n"
        );
    }
}
