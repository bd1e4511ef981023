//! One check of a server: its own keys over those of its service, those over the defaults of its type; the limits of each.
//! keepalived's words are accepted for the settings that it has as well. Must not: know what is checked.

mod asks;
pub(super) mod down;
pub(super) mod exchange;
mod kind;
mod list;
pub(super) mod request;
pub(super) mod trust;
pub(super) mod values;
mod way;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use self::asks::{AskKeys, untrusted};
use self::down::DownKeys;
pub(super) use self::kind::Kind;
pub(super) use self::list::CheckListKeys;
use self::way::WayKeys;
use super::fault::Wrong;
use super::reader::{Reader, Section, Value};
use super::shape;
use super::time;
use super::topology::Topology;
use crate::check::CheckParams;

/// Shorter ones would keep a server busy with its checks; longer ones find nothing in time.
pub(super) const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
/// May be longer than the interval: then the next check waits for the end of this one.
pub(super) const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);
pub(super) const RETRY_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(1);
pub(super) const RETRIES: RangeInclusive<u32> = 0..=100;
pub(super) const RISE: RangeInclusive<u32> = 1..=100;
pub(super) const PORT: RangeInclusive<u32> = 1..=u16::MAX as u32;
/// At most the interval, which is judged when both are known.
pub(super) const JITTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
pub(super) use self::kind::{APISERVER_INTERVAL, APISERVER_RETRY_INTERVAL, APISERVER_TIMEOUT};
/// What is asked for where the file does not say it.
pub(super) const PATH: &str = "/";
pub(super) const APISERVER_PATH: &str = "/readyz";
pub(super) const ENDPOINTS_PATH: &str = "/healthz";

const WRITTEN: &str =
    "write check = { type = \"tcp\", interval = \"2s\" }, or [virtual_server.check] and its keys below";

/// The keys that a `check` table gives.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckKeys {
    kind: Option<Spanned<Kind>>,
    asks: AskKeys,
    way: WayKeys,
    interval: Option<Spanned<Duration>>,
    timeout: Option<Spanned<Duration>>,
    retries: Option<Spanned<u32>>,
    retry_interval: Option<Spanned<Duration>>,
    rise: Option<Spanned<u32>>,
    jitter: Option<Spanned<Duration>>,
    down: DownKeys,
    /// An interval or a jitter that could not be read: the two cannot be compared.
    incomparable: bool,
}

impl CheckKeys {
    pub fn read(reader: &mut Reader<'_>, value: Option<Value<'_, '_>>, topology: &Topology) -> CheckKeys {
        // check = "none" is check = { type = "none" }.
        if let Some(value) = value.filter(|value| value.text().is_some()) {
            return CheckKeys {
                kind: Kind::read(reader, value),
                ..CheckKeys::default()
            };
        }
        let Some(section) = value.and_then(|value| reader.table(value, &shape::CHECK, WRITTEN)) else {
            return CheckKeys::default();
        };
        let interval = either(reader, &section, "interval", "delay_loop");
        let timeout = either(reader, &section, "timeout", "connect_timeout");
        let retries = either(reader, &section, "retries", "retry");
        let retry_interval = either(reader, &section, "retry_interval", "delay_before_retry");
        let jitter = section.value("jitter");
        let mut keys = CheckKeys {
            kind: section.value("type").and_then(|value| Kind::read(reader, value)),
            asks: AskKeys::read(reader, &section),
            way: WayKeys::read(reader, &section, topology),
            interval: interval.and_then(|value| time::read(reader, value, &INTERVAL)),
            timeout: timeout.and_then(|value| time::read(reader, value, &TIMEOUT)),
            retries: retries.and_then(|value| reader.integer(value, RETRIES)),
            retry_interval: retry_interval.and_then(|value| time::read(reader, value, &RETRY_INTERVAL)),
            rise: section
                .value("rise")
                .and_then(|value| reader.integer(value, RISE)),
            jitter: jitter.and_then(|value| time::read(reader, value, &JITTER)),
            down: DownKeys::read(reader, &section),
            incomparable: false,
        };
        keys.incomparable =
            interval.is_some() != keys.interval.is_some() || jitter.is_some() != keys.jitter.is_some();
        keys
    }

    /// These keys, and for each that is not given the one of `base`.
    pub fn over(self, base: &CheckKeys) -> CheckKeys {
        CheckKeys {
            kind: or(self.kind, &base.kind),
            asks: self.asks.over(&base.asks),
            way: self.way.over(&base.way),
            interval: or(self.interval, &base.interval),
            timeout: or(self.timeout, &base.timeout),
            retries: or(self.retries, &base.retries),
            retry_interval: or(self.retry_interval, &base.retry_interval),
            rise: or(self.rise, &base.rise),
            jitter: or(self.jitter, &base.jitter),
            down: self.down.over(&base.down),
            incomparable: self.incomparable || base.incomparable,
        }
    }

    /// Whether these keys say something that others may not fit to.
    pub fn says_anything(&self) -> bool {
        self.kind.is_some()
            || self.asks.says_anything()
            || self.interval.is_some()
            || self.jitter.is_some()
            || self.down.says_anything()
            || self.way.own_port.is_some()
    }

    /// Whether it looks at a TCP port only because the file does not say what is checked.
    pub fn looks_at_tcp_by_default(&self) -> bool {
        self.way.port.is_none() && !self.kind().looks_beyond_tcp()
    }

    /// Whether the traffic has to have a port that it can look at.
    pub fn needs_the_port(&self) -> bool {
        self.way.port.is_none() && !self.kind().has_no_port()
    }

    fn kind(&self) -> Kind {
        value_or(&self.kind, Kind::Tcp)
    }

    /// Keys that do not fit together.
    pub fn judge(&self, reader: &mut Reader<'_>) {
        self.judge_jitter(reader);
        if let Some(span) = self.way.own_port.clone().filter(|_| self.kind() == Kind::Icmp) {
            let help = "an echo is sent to a machine and has no port; remove it, or ask by another type, such as \"tcp\"";
            reader.fault(span, "`port` means nothing to a check of type \"icmp\"", help);
        }
        if !self.incomparable {
            self.down.judge(reader, &self.params());
        }
        self.asks.judge(reader, self.kind());
    }

    /// What a check lacks whose type takes nothing for granted; `true` if a fault was found.
    pub fn judge_whole(&self, reader: &mut Reader<'_>, server: Option<IpAddr>) -> bool {
        if server.is_some_and(|server| self.way.judge(reader, server)) {
            return true;
        }
        let kind = self.kind();
        let Some(written) = self.kind.as_ref() else {
            return false;
        };
        let wrong = if kind.has_tls() && kind != Kind::KubeApiserver && !self.asks.names_trust() {
            untrusted(kind)
        } else if kind == Kind::HealthCheckNodePort && self.lacks_port() {
            Wrong::new(
                "a check of type \"healthCheckNodePort\" without `port`",
                "add the service's own: `kubectl get service NAME -o jsonpath={.spec.healthCheckNodePort}` prints it",
            )
        } else if kind == Kind::Agent && self.lacks_port() {
            let help = "add the port that the agent listens on, which is not the traffic's: port = 9707";
            Wrong::new("a check of type \"agent\" without `port`", help)
        } else {
            return false;
        };
        reader.faults.add(written.span(), wrong);
        true
    }

    fn lacks_port(&self) -> bool {
        self.way.port.is_none() && !self.way.broken_port
    }

    /// A schedule cannot be moved by more than its interval.
    fn judge_jitter(&self, reader: &mut Reader<'_>) {
        let params = self.params();
        let Some(jitter) = self
            .jitter
            .as_ref()
            .filter(|_| params.jitter > params.interval && !self.incomparable)
        else {
            return;
        };
        let message = format!(
            "a jitter of {} is longer than the interval of {}",
            time::show(params.jitter),
            time::show(params.interval)
        );
        // Of the two, the one that is said later is the one that made them unfit.
        let interval = self
            .interval
            .as_ref()
            .map(Spanned::span)
            .filter(|span| span.start > jitter.span().start);
        let help = format!(
            "allowed: \"0s\" to the interval, here \"{}\"",
            time::show(params.interval)
        );
        reader.fault(interval.unwrap_or_else(|| jitter.span()), message, help);
    }

    pub fn params(&self) -> CheckParams {
        let kind = self.kind();
        let default = kind.defaults();
        let mut params = CheckParams {
            kind: self.asks.check(kind),
            address: self.way.address(),
            port: self.way.port(),
            source: self.way.source(),
            interface: self.way.interface(),
            interval: value_or(&self.interval, default.interval),
            timeout: value_or(&self.timeout, default.timeout),
            retries: value_or(&self.retries, default.retries),
            retry_interval: value_or(&self.retry_interval, default.retry_interval),
            rise: value_or(&self.rise, default.rise),
            jitter: value_or(&self.jitter, default.jitter),
            ..default
        };
        self.down.lay_over(&mut params);
        params
    }
}

fn or<T: Clone>(own: Option<T>, base: &Option<T>) -> Option<T> {
    own.or_else(|| base.clone())
}

fn inner<T: Clone>(given: &Option<Spanned<T>>) -> Option<T> {
    given.as_ref().map(|given| given.get_ref().clone())
}

fn value_or<T: Copy>(given: &Option<Spanned<T>>, default: T) -> T {
    given.as_ref().map_or(default, |given| *given.get_ref())
}

/// The value of a key or of keepalived's word for it.
fn either<'d, 'i>(
    reader: &mut Reader<'_>,
    section: &Section<'d, 'i>,
    key: &'static str,
    alias: &'static str,
) -> Option<Value<'d, 'i>> {
    let (ours, theirs) = (section.value(key), section.value(alias));
    if let (Some(ours), Some(theirs)) = (section.key_span(key), section.key_span(alias)) {
        let help = format!("`{key}` is on {}; remove one of the two", reader.line(&ours));
        let message = format!("`{alias}` is keepalived's word for `{key}`, which is given as well");
        reader.fault(theirs, message, help);
    }
    ours.or(theirs)
}
