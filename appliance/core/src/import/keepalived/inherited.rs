//! What a checker has from its server, a server from its service, and all of them from keepalived itself.
//! Must not: write anything.

use std::time::Duration;

use super::super::remarks::{Place, Remarks};
use super::super::values::is_host;
use super::tree::Statement;
use super::words::{is_on, seconds, value};

#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    pub delay_loop: Option<(Place, Duration)>,
    pub connect_timeout: Option<(Place, Duration)>,
    pub retry: Option<(Place, u64)>,
    pub delay_before_retry: Option<(Place, Duration)>,
    pub virtualhost: Option<String>,
    pub inhibit: bool,
    pub alpha: bool,
}

impl Inherited {
    /// Whether the statement is one of these.
    pub fn take(&mut self, statement: &Statement, remarks: &mut Remarks) -> bool {
        let place = statement.place;
        let mut time = |target: &mut Option<(Place, Duration)>| {
            let read = value(statement, "a number of seconds", remarks, seconds);
            *target = read.map(|time| (place, time)).or(*target);
        };
        match statement.word() {
            "delay_loop" => time(&mut self.delay_loop),
            "connect_timeout" => time(&mut self.connect_timeout),
            "delay_before_retry" => time(&mut self.delay_before_retry),
            "retry" | "nb_get_retry" => {
                let read = value(statement, "a number", remarks, |text| text.parse().ok());
                self.retry = read.map(|count| (place, count)).or(self.retry);
            }
            "virtualhost" => {
                let host = |text: &str| is_host(text).then(|| text.to_owned());
                let read = value(statement, "a name of a host", remarks, host);
                self.virtualhost = read.or_else(|| self.virtualhost.take());
            }
            "inhibit_on_failure" => self.inhibit = is_on(statement),
            // What it asks for is how it always is here.
            "alpha" => self.alpha = is_on(statement),
            _ => return false,
        }
        true
    }
}
