//! The kernel's command line: the few words of it that init reads. Must not: read the file (the caller does).

use lb_core::console;
use lb_core::reset::CMDLINE_WORD;
use log::LevelFilter;

use crate::watchdog::Choice;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cmdline {
    /// `lb.slot=`: the slot that this boot came from.
    pub slot: Option<String>,
    /// `lb.log=`: how much is logged.
    pub log: Option<LevelFilter>,
    /// `lb.factory-reset`: this boot resets the machine.
    pub factory_reset: bool,
    /// `lb.no-console-password`: this boot removes the consoles' password.
    pub no_console_password: bool,
    /// `lb.watchdog=`: `hardware`, `software` or `off`.
    pub watchdog: Choice,
    /// `console=`, without their options, in their order.
    pub consoles: Vec<String>,
}

impl Cmdline {
    pub fn parse(text: &str) -> Cmdline {
        let has = |wanted: &str| text.split_whitespace().any(|word| word == wanted);
        let mut cmdline = Cmdline {
            factory_reset: has(CMDLINE_WORD),
            no_console_password: has(console::CMDLINE_WORD),
            ..Cmdline::default()
        };
        for (key, value) in text.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "lb.slot" => cmdline.slot = Some(value.to_owned()),
                "lb.watchdog" => cmdline.watchdog = Choice::parse(value).unwrap_or_default(),
                "lb.log" => cmdline.log = value.parse().ok(),
                "console" => {
                    let device = value.split(',').next().unwrap_or_default();
                    cmdline.consoles.push(device.to_owned());
                }
                _ => {}
            }
        }
        cmdline
    }

    /// Reads and parses /proc/cmdline; empty when there is no /proc.
    pub fn of_this_boot() -> Cmdline {
        Cmdline::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_matter_are_found_among_the_others() {
        let text = "root=PARTUUID=4b ro init=/sbin/init console=tty0 console=ttyS0,115200n8 panic=5 quiet lb.slot=b lb.log=debug lb.watchdog=off\n";
        let cmdline = Cmdline::parse(text);
        assert_eq!(cmdline.slot.as_deref(), Some("b"));
        assert_eq!(cmdline.log, Some(LevelFilter::Debug));
        assert_eq!(cmdline.watchdog, Choice::Off);
        assert_eq!(cmdline.consoles, ["tty0", "ttyS0"]);
        assert!(!cmdline.factory_reset && !cmdline.no_console_password);
        assert!(Cmdline::parse("ro lb.no-console-password quiet").no_console_password);
        assert!(Cmdline::parse("quiet lb.factory-reset lb.slot=a").factory_reset);
    }

    #[test]
    fn what_is_missing_or_wrong_is_nothing() {
        assert_eq!(
            Cmdline::parse("quiet lb.log=loud lb.watchdog=cat slot=a"),
            Cmdline::default()
        );
    }
}
