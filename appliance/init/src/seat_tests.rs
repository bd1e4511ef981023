//! Seats on pseudo-terminals. Their controlling end plays the operator.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::*;

fn seat() -> (File, Seat) {
    let operator = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&operator).unwrap();
    unlockpt(&operator).unwrap();
    let name = ptsname(&operator, Vec::new()).unwrap().into_string().unwrap();
    ioctl_fionbio(&operator, true).unwrap();
    let seat = Seat::open(name.strip_prefix("/dev/").unwrap()).unwrap();
    (File::from(operator), seat)
}

/// What one end writes comes to the other one a moment later.
fn until_readable(end: &impl AsFd) {
    let limit = Timespec::try_from(Duration::from_secs(10)).unwrap();
    assert_eq!(poll(&mut [PollFd::new(end, PollFlags::IN)], Some(&limit)), Ok(1));
}

fn shown(operator: &mut File) -> String {
    let mut bytes = [0; 65536];
    let length = operator.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn every_terminal_is_looked_for_once() {
    let cmdline = Cmdline::parse("console=tty0 console=ttyS1,115200 console=ttyS0");
    assert_eq!(candidates(&cmdline), ["ttyS0", "tty1", "hvc0", "ttyS1"]);
}

#[test]
fn what_is_no_terminal_is_not_a_seat() {
    assert!(Seat::open("null").is_err());
    assert!(Seat::open("no-such-tty").is_err());
}

#[test]
fn lines_are_shown_and_what_is_typed_in_rescue_comes_back() {
    let (mut operator, mut seat) = seat();
    seat.say("[  2.31] Mounts\n");
    assert_eq!(shown(&mut operator), "[  2.31] Mounts\r\n");
    seat.rescue("mount proc on /proc: ENOENT", None, Instant::now());
    assert!(seat.typed(Instant::now()).is_empty());
    operator.write_all(b"wht\x7f\x7fhy\rlog\r").unwrap();
    let lines: Vec<_> = std::iter::repeat_with(|| seat.typed(Instant::now()))
        .take(3)
        .flatten()
        .collect();
    assert_eq!(lines, ["why", "log"]);
    // Ctrl-D is an empty line, not the end.
    operator.write_all(b"\x04").unwrap();
    assert_eq!(seat.typed(Instant::now()), [""]);
}

#[test]
fn a_locked_rescue_prompt_shows_nothing_of_what_is_typed() {
    let (mut operator, mut seat) = seat();
    let damaged = lb_core::console::password::Stored::Damaged(String::new());
    // What is typed ahead is no attempt.
    seat.show_typing(false);
    operator.write_all(b"ahead\r").unwrap();
    until_readable(&seat);
    seat.rescue("console", Gate::new(&damaged, Instant::now()), Instant::now());
    assert!(seat.typed(Instant::now()).is_empty());
    operator.write_all(b"secret\r").unwrap();
    until_readable(&seat);
    assert_eq!(seat.typed(Instant::now()), ["secret"]);
    seat.open_gate(Instant::now());
    assert!(seat.gate.is_none());
    operator.write_all(b"why\r").unwrap();
    until_readable(&seat);
    assert_eq!(seat.typed(Instant::now()), ["why"]);
    // The terminal shows it when it has it.
    assert_eq!(shown(&mut operator), "why\r\n");
}

#[test]
fn a_terminal_that_was_left_raw_edits_lines_again() {
    let (mut operator, mut seat) = seat();
    let mut raw = tcgetattr(&seat).unwrap();
    raw.make_raw();
    tcsetattr(&seat, OptionalActions::Now, &raw).unwrap();
    seat.rescue("console", None, Instant::now());
    operator.write_all(b"help\r").unwrap();
    assert_eq!(seat.typed(Instant::now()), ["help"]);
    assert_eq!(shown(&mut operator), "help\r\n");
}

#[test]
fn a_stopped_terminal_does_not_stop_init() {
    let (_operator, mut seat) = seat();
    let before = Instant::now();
    seat.say(&"x".repeat(1 << 20));
    assert!(before.elapsed() < WRITE_LIMIT * 4);
}

#[test]
fn a_console_that_ends_at_once_again_and_again_is_given_up() {
    let (_operator, mut seat) = seat();
    let now = Instant::now();
    seat.run_console(now);
    for _ in 1..QUICK_ENDS {
        assert_eq!(seat.console_ended(Duration::from_millis(10), now), None);
    }
    let why = seat.console_ended(Duration::from_millis(10), now).unwrap();
    assert!(
        why.starts_with("the console program ended 5 times at once"),
        "{why}"
    );
    // One that worked for a while is not.
    assert_eq!(seat.console_ended(Duration::from_secs(60), now), None);
    assert_eq!(seat.console_ended(Duration::ZERO, now), None);
}

#[test]
fn a_terminal_that_went_away_is_looked_for_later() {
    let (operator, mut seat) = seat();
    seat.run_console(Instant::now());
    drop(operator);
    let now = Instant::now();
    assert_eq!(seat.console_ended(Duration::ZERO, now), None);
    assert_eq!(seat.mode, Mode::Gone { until: now + REOPEN });
    assert!(seat.console.next_start().is_none());
    seat.reopen(now + REOPEN);
    assert!(matches!(seat.mode, Mode::Gone { .. }));
}

#[test]
fn a_key_is_heard_without_a_line_end_also_when_it_came_before() {
    for early in [true, false] {
        let (mut operator, mut seat) = seat();
        if early {
            operator.write_all(b"noise\x0f").unwrap();
            until_readable(&operator);
            assert_eq!(shown(&mut operator), "noise^O");
        }
        seat.listen();
        if !early {
            operator.write_all(b"\x0f\x0f").unwrap();
        }
        until_readable(&seat);
        assert!(seat.heard(0x0f));
        // Afterwards lines are edited, with echo; and what was heard is gone.
        operator.write_all(b"go\r").unwrap();
        until_readable(&seat);
        assert_eq!(seat.typed(Instant::now()), ["go"]);
        assert!(shown(&mut operator).ends_with("go\r\n"));
    }
}

#[test]
fn what_terminals_say_by_themselves_is_not_the_key() {
    let (mut operator, mut seat) = seat();
    seat.listen();
    assert!(!seat.heard(0x0f));
    seat.listen();
    operator.write_all(b"\x1b[24;80R\r\n\x11\x13\0").unwrap();
    until_readable(&seat);
    assert!(!seat.heard(0x0f));
}
