//! The state of the appliance as a whole: what is wrong first, then what is in force. The banner is its short form.
//! Must not: judge; a problem is what the agent or init calls one.

use lb_core::control::{ConfigSource, ConsoleReport, InitReport, PasswordState, StatusReport, VersionReport};

use super::changes;
use super::network::tracked;
use super::text::{Screen, Tone, bullets, clean, labelled, paragraph, wrap};
use super::units::{bytes, count, exact, some, span};

/// Problems shown by the banner; `status` shows all.
const BANNER_PROBLEMS: usize = 3;

pub fn status(report: &StatusReport, screen: &Screen) -> String {
    let mut text = verdict(report, screen);
    text.push_str(&bullets(&report.problems, Tone::Bad, screen));
    text.push('\n');
    text.push_str(&configuration(report, screen));
    text.push_str(&services(report, screen));
    text.push_str(&kernel(report, screen));
    text.push_str(&tracked(report.conntrack_count, report.conntrack_max, screen));
    text.push_str(&agent(report, screen));
    let machine = format!(
        "{}, version {}, running for {}",
        report.hostname,
        report.version,
        span(report.uptime_ms)
    );
    text.push_str(&labelled("Appliance", &machine, Tone::Plain, screen));
    text.push_str(&console(&report.console, screen));
    if let Some(init) = &report.init {
        text.push_str(&boot(init, screen));
    }
    text
}

fn verdict(report: &StatusReport, screen: &Screen) -> String {
    match report.problems.len() {
        0 if report.servers_down > 0 => paragraph(&in_part(report), Tone::Doubtful, screen),
        0 => paragraph(&format!("OK. {}.", all_well(report)), Tone::Good, screen),
        number => paragraph(&format!("{}:", some(number, "problem")), Tone::Bad, screen),
    }
}

/// No service suffers, but somebody has to look.
fn in_part(report: &StatusReport) -> String {
    let down = report.servers_down;
    let are = if down == 1 { "is" } else { "are" };
    format!(
        "{} of {} {are} down, the others take their place: `services` says why.",
        count(down as u64),
        some(report.servers, "server")
    )
}

/// `, 1 down, 2 drained`.
fn not_up(report: &StatusReport) -> String {
    let mut text = String::new();
    for (number, word) in [(report.servers_down, "down"), (report.servers_drained, "drained")] {
        if number > 0 {
            text.push_str(&format!(", {} {word}", count(number as u64)));
        }
    }
    text
}

fn all_well(report: &StatusReport) -> String {
    let servers = if report.servers_up == report.servers && report.servers_drained == 0 {
        match report.servers {
            1 => "its server is up".to_owned(),
            servers => format!("all {} up", some(servers, "server")),
        }
    } else {
        format!(
            "{} of {} up{}",
            count(report.servers_up as u64),
            some(report.servers, "server"),
            not_up(report)
        )
    };
    match (report.services, report.servers) {
        (0, _) => "No services are configured".to_owned(),
        (services, 0) => format!("{} without servers", some(services, "service")),
        (services, _) => format!("{}, {servers}", some(services, "service")),
    }
}

fn configuration(report: &StatusReport, screen: &Screen) -> String {
    let (source, tone) = match report.config.source {
        ConfigSource::File => ("/config/lb.toml", Tone::Plain),
        ConfigSource::LastApplied => (
            "the last one that was applied, not the present lb.toml",
            Tone::Bad,
        ),
        ConfigSource::History => ("the newest of the history that can be used", Tone::Bad),
        ConfigSource::Pending => ("one on trial, not saved", Tone::Bad),
        ConfigSource::Mirror => ("the copy outside the config volume", Tone::Bad),
        ConfigSource::None => ("none", Tone::Bad),
    };
    let mut value = source.to_owned();
    if let Some(age) = report.config.age_ms {
        value.push_str(&format!(", in force for {}", span(age)));
    }
    if !report.config.persistent {
        value.push_str("; changes are not saved on the config volume");
    }
    let tone = if report.config.persistent { tone } else { Tone::Bad };
    let mut text = labelled("Configuration", &value, tone, screen);
    if let Some(replaced) = &report.config.replaced {
        text.push_str(&labelled("At the start", replaced, Tone::Plain, screen));
    }
    if let Some(pending) = &report.config.pending {
        text.push_str(&changes::pending(pending, screen));
    }
    text
}

fn services(report: &StatusReport, screen: &Screen) -> String {
    let up = format!(
        "{} of {} up{}",
        count(report.servers_up as u64),
        some(report.servers, "server"),
        not_up(report)
    );
    let tone = if report.servers_up == report.servers {
        Tone::Plain
    } else {
        Tone::Doubtful
    };
    labelled(
        "Services",
        &format!("{} configured, {up}", count(report.services as u64)),
        tone,
        screen,
    )
}

fn kernel(report: &StatusReport, screen: &Screen) -> String {
    let reconcile = &report.reconcile;
    let read = reconcile.age_ms.map_or("not read back yet".to_owned(), |age| {
        format!("read back {} ago", span(age))
    });
    let repairs = match reconcile.repairs {
        0 => "nothing had to be repaired".to_owned(),
        1 => "1 repair of what others had changed".to_owned(),
        many => format!("{} repairs of what others had changed", count(many)),
    };
    let mut text = labelled("Kernel", &format!("{read}, {repairs}"), Tone::Plain, screen);
    for failed in &reconcile.failed {
        text.push_str(&labelled("", &format!("refused {failed}"), Tone::Bad, screen));
    }
    text
}

fn agent(report: &StatusReport, screen: &Screen) -> String {
    let agent = &report.agent;
    let mut value = format!(
        "pid {}, running for {}, {}",
        agent.pid,
        span(agent.uptime_ms),
        bytes(agent.resident_kb.saturating_mul(1024))
    );
    if let Some(init) = &report.init {
        value.push_str(&format!(
            "; init {}",
            bytes(agent.init_resident_kb.saturating_mul(1024))
        ));
        if init.agent_restarts > 0 {
            value.push_str(&format!("; {}", restarts(init)));
        }
    }
    labelled("Agent", &value, Tone::Plain, screen)
}

fn restarts(init: &InitReport) -> String {
    let last = init
        .agent_last_exit
        .as_deref()
        .map_or_else(String::new, |e| format!(" (last end: {e})"));
    format!("restarted {}{last}", some(init.agent_restarts as usize, "time"))
}

fn boot(init: &InitReport, screen: &Screen) -> String {
    let stages: Vec<_> = init
        .stages
        .iter()
        .map(|s| format!("{} {}", s.name, exact(s.took_ms)))
        .collect();
    let mut value = stages.join(", ");
    if let Some(last) = init.stages.last() {
        value.push_str(&format!(
            "; {} after the kernel's start",
            exact(last.at_ms.saturating_add(last.took_ms))
        ));
    }
    let mut text = if value.is_empty() {
        String::new()
    } else {
        labelled("Boot", &value, Tone::Plain, screen)
    };
    for stage in &init.stages {
        if let Some(reason) = &stage.failed {
            text.push_str(&labelled(
                "",
                &format!("{} failed: {reason}", stage.name),
                Tone::Bad,
                screen,
            ));
        }
    }
    if let Some(slot) = &init.slot {
        text.push_str(&labelled("Slot", slot, Tone::Plain, screen));
    }
    if let Some(watchdog) = &init.watchdog {
        text.push_str(&labelled("Watchdog", watchdog, Tone::Plain, screen));
    }
    text
}

/// What init sees of an agent that does not answer, and what to do; one paragraph.
pub fn without_agent(init: Option<&InitReport>, screen: &Screen) -> String {
    let mut text = String::new();
    let Some(init) = init else {
        let sentence =
            "init has left no report either. Outside the appliance, --socket PATH names the agent's socket.";
        return format!("{}\n", wrap(sentence, screen.width, 0));
    };
    let agent = match (init.agent_pid, &init.agent_last_exit) {
        (Some(pid), _) => format!("running as pid {pid}, not answering"),
        (None, Some(exit)) => format!("not running, last end: {exit}"),
        (None, None) => "not started yet".to_owned(),
    };
    text.push_str(&labelled("Agent", &agent, Tone::Bad, screen));
    if init.agent_restarts > 0 {
        text.push_str(&labelled("", &restarts_and_next(init), Tone::Plain, screen));
    }
    let remedy = "Init starts it again by itself; connections go on as the kernel last knew them. `log` shows why it \
                  ended; `reboot` starts afresh.";
    text.push_str(&labelled("What to do", remedy, Tone::Plain, screen));
    text.push_str(&bullets(&init.problems, Tone::Bad, screen));
    text.push_str(&boot(init, screen));
    text
}

fn restarts_and_next(init: &InitReport) -> String {
    let restarts = format!("restarted {}", some(init.agent_restarts as usize, "time"));
    match init.agent_backoff_ms {
        0 => restarts,
        wait => format!("{restarts}; the next start waits {}", exact(wait)),
    }
}

pub fn version(report: &VersionReport, screen: &Screen) -> String {
    let mut text = labelled("Appliance", &report.version, Tone::Plain, screen);
    text.push_str(&labelled("Kernel", &report.kernel, Tone::Plain, screen));
    if let Some(slot) = &report.slot {
        text.push_str(&labelled("Slot", slot, Tone::Plain, screen));
    }
    text
}

/// Whether consoles lock.
pub fn console(report: &ConsoleReport, screen: &Screen) -> String {
    let tone = match report.password {
        PasswordState::Damaged | PasswordState::Unreadable => Tone::Bad,
        PasswordState::None | PasswordState::Set => Tone::Plain,
    };
    labelled("Console", &report.to_string(), tone, screen)
}

/// What the console shows before its first prompt.
pub fn banner(
    hostname: &str,
    version: &str,
    status: Option<&StatusReport>,
    init: Option<&InitReport>,
    screen: &Screen,
) -> String {
    let title = format!("{}, IPVS load balancer {version}", clean(hostname));
    let mut text = paragraph(&title, Tone::Strong, screen);
    let problems = match (status, init) {
        (Some(report), _) => {
            text.push_str(&verdict(report, screen));
            if let Some(replaced) = &report.config.replaced {
                text.push_str(&paragraph(&format!("{replaced}."), Tone::Good, screen));
            }
            &report.problems[..]
        }
        (None, init) => {
            let state = "The agent does not answer yet; `status` says more.";
            text.push_str(&paragraph(state, Tone::Doubtful, screen));
            init.map_or(&[][..], |i| &i.problems)
        }
    };
    let shown = problems.len().min(BANNER_PROBLEMS);
    text.push_str(&bullets(&problems[..shown], Tone::Bad, screen));
    if shown < problems.len() {
        text.push_str(&format!("  {} more: `status`\n", problems.len() - shown));
    }
    text.push_str(&format!(
        "{}\n",
        wrap("Type `help` for the commands; Tab completes.", screen.width, 0)
    ));
    text
}
