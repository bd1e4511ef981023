//! What has happened, one event after the other, the oldest first. Must not: choose or sort.

use lb_core::control::{EventReport, EventsReport};
use lb_core::date;

use super::text::{Screen, Tone, clean, width, wrap};

pub fn events(report: &EventsReport, screen: &Screen) -> String {
    if report.events.is_empty() {
        return "No events.\n".to_owned();
    }
    report.events.iter().map(|event| one(event, screen)).collect()
}

fn one(event: &EventReport, screen: &Screen) -> String {
    let time = date::second(date::of_unix(event.unix_s));
    let indent = width(&time) + 2;
    let text = wrap(&clean(&event.text), screen.width.saturating_sub(indent), indent);
    let tone = match event.level.as_str() {
        "error" => Tone::Bad,
        "warning" => Tone::Doubtful,
        _ => Tone::Plain,
    };
    format!(
        "{}  {}\n",
        screen.paint(Tone::Faint, &time),
        screen.paint(tone, &text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_time_and_is_wrapped_beside_it() {
        let event = |unix_s, level: &str, text: &str| EventReport {
            unix_s,
            level: level.to_owned(),
            text: text.to_owned(),
        };
        let report = EventsReport {
            events: vec![
                event(
                    1_764_134_400,
                    "info",
                    "server 10.0.0.1:80 of web is up: first check passed",
                ),
                event(
                    u64::MAX,
                    "error",
                    "service web has no server left:\u{1b}[2J its clients are refused",
                ),
            ],
        };
        let text = events(&report, &Screen::plain(60));
        assert_eq!(
            text,
            "2025-11-26 05:20:00  server 10.0.0.1:80 of web is up: first\n                     \
             check passed\n\
             9999-12-31 23:59:59  service web has no server left:?[2J its\n                     \
             clients are refused\n"
        );
        assert_eq!(
            events(&EventsReport::default(), &Screen::plain(60)),
            "No events.\n"
        );
    }
}
