//! What somebody who looks at `top` has chosen: the order, the service under the marker, the opened one, the pace.
//! Must not: read keys or draw.

use lb_core::control::{CountersReport, ServerReport, ServiceCounters};
use lb_core::traffic::TrafficRates;

use crate::applctl::fullscreen::Key;

/// What lists are sorted by, largest first; names from A on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Connections,
    Packets,
    InBytes,
    OutBytes,
    Active,
    Name,
}

/// Seconds between two readings.
const PACES: [u64; 7] = [1, 2, 5, 10, 30, 60, 300];

#[derive(Debug)]
pub struct State {
    pub sort: Sort,
    /// The service or the server under the marker, by name: it stays there when the order changes.
    pub marked: Option<String>,
    /// The first line of the list that is shown.
    pub first: usize,
    /// The service whose servers are shown.
    pub opened: Option<String>,
    pub interval_s: u64,
}

/// What a key asks for beside a new picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Picture,
    /// Another service's servers.
    Reading,
    Redraw,
    Leave,
}

impl State {
    pub fn new(opened: Option<String>, interval_s: u64) -> State {
        State {
            sort: Sort::Connections,
            marked: None,
            first: 0,
            opened,
            interval_s,
        }
    }

    /// `lines`: how many lines the list has on the screen.
    pub fn press(&mut self, key: Key, report: Option<&CountersReport>, lines: usize) -> Asks {
        match key {
            Key::Leave | Key::Character('q' | 'Q') => return Asks::Leave,
            Key::Redraw => return Asks::Redraw,
            Key::Character('c') => self.sort = Sort::Connections,
            Key::Character('p') => self.sort = Sort::Packets,
            Key::Character('i') => self.sort = Sort::InBytes,
            Key::Character('o') => self.sort = Sort::OutBytes,
            Key::Character('a') => self.sort = Sort::Active,
            Key::Character('n') => self.sort = Sort::Name,
            Key::Character('+' | '=') => self.interval_s = pace(self.interval_s, true),
            Key::Character('-') => self.interval_s = pace(self.interval_s, false),
            Key::Up | Key::Character('k') => self.step(report, -1),
            Key::Down | Key::Character('j') => self.step(report, 1),
            Key::PageUp => self.step(report, -signed(lines)),
            Key::PageDown | Key::Character(' ') => self.step(report, signed(lines)),
            Key::Home | Key::Character('g') => self.step(report, isize::MIN / 2),
            Key::End | Key::Character('G') => self.step(report, isize::MAX / 2),
            Key::Enter | Key::Right => return self.open(report),
            Key::Escape | Key::Left | Key::Backspace => return self.close(),
            Key::Top => self.step(report, isize::MIN / 2),
            Key::Bottom => self.step(report, isize::MAX / 2),
            Key::Character(_) | Key::Delete | Key::Tab | Key::Control(_) | Key::Paste(_) => {}
        }
        Asks::Picture
    }

    fn open(&mut self, report: Option<&CountersReport>) -> Asks {
        if self.opened.is_some() {
            return Asks::Picture;
        }
        let Some(name) = report.and_then(|r| self.marked_line(&self.services(r), |s| &s.name)) else {
            return Asks::Picture;
        };
        self.opened = Some(name);
        (self.marked, self.first) = (None, 0);
        Asks::Reading
    }

    pub fn close(&mut self) -> Asks {
        match self.opened.take() {
            None => Asks::Picture,
            name => {
                (self.marked, self.first) = (name, 0);
                Asks::Reading
            }
        }
    }

    fn marked_line<T>(&self, lines: &[&T], name: fn(&T) -> &String) -> Option<String> {
        let marked = self.marked.as_ref();
        let found = lines.iter().find(|l| Some(name(l)) == marked).or(lines.first());
        found.map(|l| name(l).clone())
    }

    /// Moves the marker; at first it is on the first line, wherever that is.
    fn step(&mut self, report: Option<&CountersReport>, by: isize) {
        let Some(report) = report else { return };
        let names: Vec<&String> = match self.servers(report) {
            Some(servers) => servers.iter().map(|s| &s.address).collect(),
            None => self.services(report).iter().map(|s| &s.name).collect(),
        };
        let at = names
            .iter()
            .position(|n| Some(*n) == self.marked.as_ref())
            .unwrap_or(0);
        let to = at.saturating_add_signed(by).min(names.len().saturating_sub(1));
        self.marked = names.get(to).map(|n| (*n).clone());
        if to == 0 {
            // Back at the top it is whoever is first.
            self.marked = None;
        }
    }

    /// The services in the chosen order.
    pub fn services<'a>(&self, report: &'a CountersReport) -> Vec<&'a ServiceCounters> {
        let mut services: Vec<_> = report.services.iter().collect();
        services.sort_by(|a, b| {
            let key = |s: &ServiceCounters| self.key(s.rates.as_ref(), s.active_connections);
            key(b).total_cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
        });
        services
    }

    /// The servers of the opened service in the chosen order; `None` until they are there.
    pub fn servers<'a>(&self, report: &'a CountersReport) -> Option<Vec<&'a ServerReport>> {
        let service = report.service.as_ref()?;
        if self.opened.as_ref() != Some(&service.name) {
            return None;
        }
        let mut servers: Vec<_> = service.servers.iter().collect();
        if self.sort == Sort::Name {
            return Some(servers);
        }
        servers.sort_by(|a, b| {
            let key = |s: &ServerReport| self.key(s.rates.as_ref(), u64::from(s.active_connections));
            key(b).total_cmp(&key(a))
        });
        Some(servers)
    }

    /// What is not known comes after what stands still.
    fn key(&self, rates: Option<&TrafficRates>, active: u64) -> f64 {
        let rate = |of: fn(&TrafficRates) -> f64| rates.map_or(-1.0, of);
        match self.sort {
            Sort::Connections => rate(|r| r.connections_per_second),
            Sort::Packets => rate(|r| r.in_packets_per_second + r.out_packets_per_second),
            Sort::InBytes => rate(|r| r.in_bytes_per_second),
            Sort::OutBytes => rate(|r| r.out_bytes_per_second),
            Sort::Active => active as f64,
            Sort::Name => 0.0,
        }
    }
}

fn signed(lines: usize) -> isize {
    isize::try_from(lines.max(1)).unwrap_or(1)
}

fn pace(now: u64, slower: bool) -> u64 {
    let mut paces = PACES.into_iter();
    match slower {
        true => paces.find(|p| *p > now).unwrap_or(now),
        false => paces.rfind(|p| *p < now).unwrap_or(now),
    }
}
