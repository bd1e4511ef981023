//! Verdicts on a configuration, and what applying one has done.
//! Must not: lay faults out; whoever found them has done that.

use lb_core::control::{ApplyReport, ChangeState, CheckReport, ConfigText};

use super::changes::pending_until;
use super::text::{Screen, Tone, bullets, clean, paragraph};
use super::units::some;

/// The file's own text; what could disturb the terminal is made visible, line feeds and tabs stay.
pub fn show(report: &ConfigText) -> String {
    let safe = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '?'
        } else {
            c
        }
    };
    let mut text: String = report.text.replace("\r\n", "\n").chars().map(safe).collect();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

pub fn check(report: &CheckReport, screen: &Screen) -> String {
    if !report.ok {
        return faults(report, screen);
    }
    let mut text = paragraph("OK. The configuration has no faults.", Tone::Good, screen);
    text.push_str(&bullets(&report.warnings, Tone::Doubtful, screen));
    text
}

fn faults(report: &CheckReport, screen: &Screen) -> String {
    let mut text = report.rendered.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if report.faults.is_empty() {
        text.push_str(&paragraph("The configuration has faults.", Tone::Bad, screen));
    }
    text
}

pub fn apply(report: &ApplyReport, screen: &Screen) -> String {
    if !report.check.ok {
        return format!("{}Nothing was changed.\n", faults(&report.check, screen));
    }
    let done = match report.state {
        ChangeState::Applied => "Applied",
        ChangeState::Pending => "In force on trial",
        ChangeState::Confirmed => "Confirmed",
        ChangeState::Returned => "The former configuration is in force again",
    };
    let (done, tone) = match (report.applied, report.failed.len()) {
        (false, _) => ("Nothing was changed.".to_owned(), Tone::Bad),
        (true, 0) => (applied(report, done), Tone::Good),
        (true, failed) => (
            format!("{done} in part: the kernel refused {}.", some(failed, "step")),
            Tone::Bad,
        ),
    };
    let mut text = paragraph(&done, tone, screen);
    text.push_str(&bullets(&report.failed, Tone::Bad, screen));
    text.push_str(&bullets(&report.check.warnings, Tone::Doubtful, screen));
    text.push_str(&persistence(report, screen));
    text
}

/// `done`: what became of it, in a word or a few.
fn applied(report: &ApplyReport, done: &str) -> String {
    const SHOWN: usize = 6;
    let count = report.steps.len();
    let more = match report.changed.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let changed: Vec<&str> = report.changed.iter().take(SHOWN).map(String::as_str).collect();
    match (count, changed.is_empty()) {
        // It was carried out when the trial began.
        (0, true) if report.state == ChangeState::Confirmed => format!("OK. {done}."),
        (0, true) => format!("OK. {done}. Nothing had to change."),
        (_, true) => format!("OK. {done}, {}.", some(count, "step")),
        (0, false) => format!("OK. {done}. Changed: {}{more}.", clean(&changed.join(", "))),
        (_, false) => {
            let steps = some(count, "step");
            format!(
                "OK. {done}, {steps}. Changed as well: {}{more}.",
                clean(&changed.join(", "))
            )
        }
    }
}

/// With the way back.
fn saved(report: &ApplyReport) -> String {
    let mut text = "It is saved and survives a power cut.".to_owned();
    match (report.number, report.former) {
        (Some(number), Some(former)) => text.push_str(&format!(
            " It is number {number} of the history; `config rollback {former}` goes back."
        )),
        (Some(number), None) => text.push_str(&format!(" It is number {number} of the history.")),
        (None, _) => {}
    }
    text
}

fn persistence(report: &ApplyReport, screen: &Screen) -> String {
    if let Some(pending) = &report.pending {
        return pending_until(pending, screen);
    }
    if report.persisted && report.state == ChangeState::Returned {
        return paragraph("What is in force is what is saved.", Tone::Plain, screen);
    }
    if report.persisted {
        return paragraph(&saved(report), Tone::Plain, screen);
    }
    let reason = report
        .persist_fault
        .as_deref()
        .map_or_else(String::new, |f| format!(": {f}"));
    let sentence = match (report.applied, report.state) {
        // It is lb.toml for who reads it now.
        (true, ChangeState::Confirmed) => format!("It may be gone after a reboot{reason}"),
        // It was in force before, and is in the copy if that could be written then.
        (true, ChangeState::Returned) => format!("It is NOT saved on the config volume{reason}"),
        (true, _) if report.mirrored => format!("It is NOT saved on the config volume{reason}"),
        (true, _) => format!("It is NOT saved and will be gone after a reboot{reason}"),
        (false, _) => format!("It could not be saved{reason}"),
    };
    let copy = match report.applied && report.mirrored {
        true => {
            " It is in the copy outside of the volume: a boot uses that, unless it can read a configuration on the volume."
        }
        false => "",
    };
    let sentence = format!("{}.{copy}", sentence.trim_end_matches('.'));
    paragraph(&sentence, Tone::Bad, screen)
}
