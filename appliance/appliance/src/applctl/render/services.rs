//! Services and their servers. Each server is one line; where that would be too wide, what its last check said goes
//! below it, and a long address stands alone above.

use lb_core::control::{HealthWord, ServerReport, ServiceReport, ServicesReport};
use lb_core::pool::Tier;

use super::table::{Cell, heads, line, total, widths};
use super::text::{Screen, Tone, clean, width, wrap};
use super::units::{amount, bytes, count, some, span};
use super::why::why;

const INDENT: usize = 2;
const HEADS: [&str; 5] = ["SERVER", "HEALTH", "FOR", "WEIGHT", "CONNS"];
const LAST_CHECK: &str = "LAST CHECK";

pub fn services(report: &ServicesReport, screen: &Screen) -> String {
    if report.services.is_empty() {
        let none = "No services are configured. Each [[virtual_server]] of lb.toml is one; `setup` asks for a first one, `config edit` writes more, and so does `config add` once there is an lb.toml.";
        return format!("{}\n", wrap(none, screen.width, 0));
    }
    let blocks: Vec<_> = report.services.iter().map(|s| service(s, screen)).collect();
    blocks.join("\n")
}

fn service(service: &ServiceReport, screen: &Screen) -> String {
    let mut text = title(service, screen);
    text.push_str(&turn(service, screen));
    text.push_str(&counted(service, screen));
    let cells: Vec<Vec<Cell>> = service.servers.iter().map(fields).collect();
    let checks: Vec<String> = service.servers.iter().map(why).collect();
    let Some(first) = cells.first() else {
        text.push_str(&format!(
            "{:INDENT$}{}\n",
            "",
            screen.paint(Tone::Doubtful, "no servers")
        ));
        return text;
    };
    let head = heads(&HEADS, first);
    let columns = widths([&head].into_iter().chain(&cells).map(Vec::as_slice));
    let check_width = checks
        .iter()
        .map(|c| width(c))
        .max()
        .unwrap_or(0)
        .max(LAST_CHECK.len());
    let layout = Layout::choose(&columns, check_width, screen);
    text.push_str(&layout.head(&head, &columns, screen));
    for (server, (row, check)) in service.servers.iter().zip(cells.iter().zip(&checks)) {
        let failed = server.last_check.as_ref().is_some_and(|c| !c.ok);
        let tone = if failed { Tone::Doubtful } else { Tone::Plain };
        text.push_str(&layout.row(row, &columns, (check, tone), screen));
    }
    text
}

fn title(service: &ServiceReport, screen: &Screen) -> String {
    let of_file = |server: &&ServerReport| !matches!(server.standing.role, Tier::Leaving | Tier::Sorry);
    let all = service.servers.iter().filter(of_file).count();
    let up = service.servers.iter().filter(of_file);
    let up = up.filter(|server| server.health == HealthWord::Up).count();
    let tone = match up {
        0 => Tone::Bad,
        up if up < all => Tone::Doubtful,
        _ => Tone::Good,
    };
    let name = clean(&service.name);
    let ports = match &service.fwmark {
        None => format!("{}/{}", service.listen, service.protocol),
        Some(mark) => format!("{}  {}  fwmark {mark}", service.listen, service.protocol),
    };
    let forward = match service.forward.as_str() {
        "" | "nat" => String::new(),
        other => format!("  {other}"),
    };
    let address = format!("{ports}  {}{forward}", service.scheduler);
    let address = clean(&address).into_owned();
    let state = format!("{} of {} up", count(up as u64), some(all, "server"));
    let whole = width(&name) + 2 + width(&address) + 2 + width(&state);
    let (strong, state) = (screen.paint(Tone::Strong, &name), screen.paint(tone, &state));
    if whole <= screen.width {
        return format!("{strong}  {address}  {state}\n");
    }
    let name = wrap(&name, screen.width, 0);
    format!(
        "{}\n{:INDENT$}{}\n{:INDENT$}{state}\n",
        screen.paint(Tone::Strong, &name),
        "",
        wrap(&address, screen.width - INDENT, INDENT),
        ""
    )
}

/// Whose turn it is, where it is not that of the primary servers that are up.
fn turn(service: &ServiceReport, screen: &Screen) -> String {
    let short = match (service.quorum, service.weight_up) {
        (0 | 1, 0) => "no primary server is up".to_owned(),
        (quorum, up) => format!("the quorum is {quorum}, and a weight of {up} is up"),
    };
    let aside = service
        .servers
        .iter()
        .any(|server| server.standing.drained_by.is_some());
    let (tone, text) = match service.mode.as_str() {
        "below-quorum" => (Tone::Doubtful, format!("{short}: there is nobody else")),
        "backup" => (Tone::Doubtful, format!("{short}: backup servers take part")),
        "sorry" => (Tone::Doubtful, format!("{short}: the sorry server answers")),
        "held" => (
            Tone::Doubtful,
            "only servers that flap are left: they serve".to_owned(),
        ),
        "kept-last" => (
            Tone::Bad,
            "no server is up: the last that were keep their traffic (panic = \"keep-last\")".to_owned(),
        ),
        "all" => (
            Tone::Bad,
            "no server is up: all get its traffic (panic = \"all\")".to_owned(),
        ),
        "empty" if service.servers.is_empty() => return String::new(),
        "empty" if aside => (
            Tone::Bad,
            "nobody is left beside what is set aside: clients are refused".to_owned(),
        ),
        "empty" => (Tone::Bad, "no server is up: clients are refused".to_owned()),
        "waiting" => (Tone::Doubtful, "no verdict yet: clients wait".to_owned()),
        _ => return String::new(),
    };
    let text = wrap(&text, screen.width - INDENT, INDENT);
    format!("{:INDENT$}{}\n", "", screen.paint(tone, &text))
}

/// What the service has counted; nothing where the kernel does not hold it.
fn counted(service: &ServiceReport, screen: &Screen) -> String {
    let Some(traffic) = &service.traffic else {
        return String::new();
    };
    let flow = |what: &str, sum, packets| {
        let plural = if packets == 1 { "" } else { "s" };
        format!("{what} {}, {} packet{plural}", bytes(sum), amount(packets))
    };
    let plural = if traffic.connections == 1 { "" } else { "s" };
    let text = format!(
        "{} connection{plural}; {}; {}",
        amount(traffic.connections),
        flow("in", traffic.in_bytes, traffic.in_packets),
        flow("out", traffic.out_bytes, traffic.out_packets)
    );
    format!("{:INDENT$}{}\n", "", wrap(&text, screen.width - INDENT, INDENT))
}

fn fields(server: &ServerReport) -> Vec<Cell> {
    let tone = match server.health {
        HealthWord::Up => Tone::Good,
        HealthWord::Down => Tone::Bad,
        HealthWord::Held | HealthWord::Unproven | HealthWord::CannotCheck => Tone::Doubtful,
    };
    let weight = if server.weight == server.configured_weight {
        server.weight.to_string()
    } else {
        format!("{}/{}", server.weight, server.configured_weight)
    };
    vec![
        Cell::plain(clean(&server.address)),
        Cell::new(server.health.as_str(), tone),
        Cell::plain(span(server.since_ms)),
        Cell::right(weight),
        Cell::right(server.active_connections.to_string()),
    ]
}

/// How a server is spread over lines.
enum Layout {
    OneLine,
    CheckBelow,
    AddressAbove,
}

impl Layout {
    fn choose(columns: &[usize], check: usize, screen: &Screen) -> Layout {
        let fixed = INDENT + total(columns);
        if fixed + 2 + check <= screen.width {
            Layout::OneLine
        } else if fixed <= screen.width {
            Layout::CheckBelow
        } else {
            Layout::AddressAbove
        }
    }

    fn head(&self, head: &[Cell], columns: &[usize], screen: &Screen) -> String {
        let check = screen.paint(Tone::Faint, LAST_CHECK);
        match self {
            Layout::OneLine => format!("{:INDENT$}{}  {check}\n", "", line(head, columns, screen)),
            Layout::CheckBelow => format!("{:INDENT$}{}\n", "", line(head, columns, screen)),
            Layout::AddressAbove => format!("{:4}{}\n", "", line(&head[1..], &columns[1..], screen)),
        }
    }

    fn row(&self, row: &[Cell], columns: &[usize], check: (&str, Tone), screen: &Screen) -> String {
        let below = || paint_lines(&wrap(check.0, screen.width - 6, 0), check.1, screen);
        match self {
            Layout::OneLine => {
                let check = screen.paint(check.1, check.0);
                format!("{:INDENT$}{}  {check}\n", "", line(row, columns, screen))
            }
            Layout::CheckBelow => format!("{:INDENT$}{}\n{}", "", line(row, columns, screen), below()),
            Layout::AddressAbove => {
                let address = wrap(&row[0].text, screen.width - INDENT, INDENT);
                let rest = line(&row[1..], &columns[1..], screen);
                format!("{:INDENT$}{address}\n{:4}{rest}\n{}", "", "", below())
            }
        }
    }
}

fn paint_lines(text: &str, tone: Tone, screen: &Screen) -> String {
    text.lines()
        .map(|line| format!("{:6}{}\n", "", screen.paint(tone, line)))
        .collect()
}
