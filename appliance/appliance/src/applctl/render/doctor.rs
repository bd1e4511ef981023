//! What the doctor has found: what is well in few words, what is not with its remedy. Must not: judge.

use lb_core::control::{DoctorReport, FindingReport, FindingWord};

use super::text::{Screen, Tone, clean, wrap};

const INDENT: usize = 2;
/// Before a remedy.
const ARROW: &str = "-> ";

pub fn doctor(report: &DoctorReport, screen: &Screen) -> String {
    let mut text = String::new();
    for service in &report.services {
        text.push_str(&block(&clean(&service.service), &service.findings, screen));
        text.push('\n');
    }
    text.push_str(&block("the machine", &report.machine, screen));
    text
}

fn block(title: &str, findings: &[FindingReport], screen: &Screen) -> String {
    let mut text = format!("{}\n", screen.paint(Tone::Strong, &wrap(title, screen.width, 0)));
    for finding in findings {
        text.push_str(&one(finding, screen));
    }
    text
}

fn one(finding: &FindingReport, screen: &Screen) -> String {
    let (word, tone) = match finding.word {
        FindingWord::Good => ("ok", Tone::Good),
        FindingWord::Unknown => ("?", Tone::Doubtful),
        FindingWord::Doubtful => ("!", Tone::Doubtful),
        FindingWord::Bad => ("!!", Tone::Bad),
    };
    let hang = INDENT + 4;
    let room = screen.width.saturating_sub(hang);
    let mut text = format!(
        "{:INDENT$}{}{:gap$}{}\n",
        "",
        screen.paint(tone, word),
        "",
        wrap(&clean(&finding.what), room, hang),
        gap = 4 - word.len()
    );
    if let Some(remedy) = &finding.remedy {
        let remedy = wrap(
            &clean(remedy),
            room.saturating_sub(ARROW.len()),
            hang + ARROW.len(),
        );
        text.push_str(&format!("{:hang$}{ARROW}{remedy}\n", ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::control::DiagnosisReport;

    #[test]
    fn findings_have_their_sign_and_their_remedy() {
        let finding = |word, what: &str, remedy: Option<&str>| FindingReport {
            word,
            what: what.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let report = DoctorReport {
            machine: vec![finding(FindingWord::Good, "timeouts agree", None)],
            services: vec![DiagnosisReport {
                service: "nginx".to_owned(),
                findings: vec![
                    finding(FindingWord::Good, "nobody else answers for 192.168.0.1", None),
                    finding(
                        FindingWord::Bad,
                        "answers do not come back",
                        Some("its gateway has to be 172.16.0.254"),
                    ),
                    finding(
                        FindingWord::Unknown,
                        "nodes may hide clients",
                        Some("use healthCheckNodePort"),
                    ),
                ],
            }],
        };
        assert_eq!(
            doctor(&report, &Screen::plain(40)),
            "nginx\n  ok  nobody else answers for\n      192.168.0.1\n  !!  answers do not come back\n      \
             -> its gateway has to be\n         172.16.0.254\n  ?   nodes may hide clients\n      \
             -> use healthCheckNodePort\n\nthe machine\n  ok  timeouts agree\n"
        );
    }

    #[test]
    fn a_long_remedy_keeps_to_the_width() {
        let finding = FindingReport {
            word: FindingWord::Bad,
            what: "192.168.0.77 does not answer".to_owned(),
            remedy: Some(
                "see whether that machine is on and on this link; or name another one, once more".repeat(3),
            ),
        };
        let shown = one(&finding, &Screen::plain(80));
        assert!(shown.lines().count() > 3, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }
}
