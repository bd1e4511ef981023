//! One request, and whether its answer is the one that was asked for (RFC 9112).
//! Must not: follow a redirect (a check that wants to see one names its status), or read more than a body test needs.

use std::fmt::Write;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use lb_core::check::{BodyTest, HttpCheck, Method, Page};
use lb_core::health::{Outcome, Told};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::answer::{Answer, Head};
use super::{Progress, Stage, account};

/// What is read at once (bytes): more than most answers are.
pub(super) const READ: usize = 4 << 10;
const NOT_WHOLE: &str = "the connection was closed before the answer was whole";

#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub check: &'a HttpCheck,
    pub page: &'a Page,
    pub target: SocketAddr,
}

impl Request<'_> {
    pub async fn exchange<S>(&self, mut stream: S, progress: &Progress) -> Result<Told, Outcome>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        progress.is_at(Stage::Answer);
        let text = self.text();
        progress.note("request", || self.asked(&text));
        let sent = async {
            stream.write_all(&text).await?;
            stream.flush().await
        };
        sent.await.map_err(|error| super::broken(&error))?;
        let mut answer = match progress.account {
            Some(_) => Answer::watched(),
            None => Answer::default(),
        };
        let mut buffer = [0; READ];
        loop {
            let read = stream.read(&mut buffer).await;
            let length = read.map_err(|error| super::broken(&error))?;
            let judged = self.judge(&mut answer, &buffer[..length]);
            if let Some(head) = &mut answer.head
                && !head.lines.is_empty()
            {
                progress.note("answer", || std::mem::take(&mut head.lines));
            }
            if let Some(judged) = judged.transpose() {
                self.show_body(&mut stream, answer, progress).await;
                return judged;
            }
            if answer.head.is_some() {
                progress.is_at(Stage::Body);
            }
        }
    }

    /// The request, and what has to come back, for whoever watches.
    fn asked(&self, text: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.lines();
        let mut asked: Vec<String> = lines.next().map(str::to_owned).into_iter().collect();
        let fields = lines.filter_map(|line| line.split_once(": "));
        asked.extend(account::fields(
            fields.map(|(name, value)| (name, value.as_bytes())),
        ));
        let body = self
            .wanted_body()
            .map(|wanted| format!(", and a body that does {wanted}"));
        asked.push(format!(
            "expected: status {}{}",
            self.page.status,
            body.unwrap_or_default()
        ));
        asked
    }

    /// For whoever watches; of a body that is not tested, the beginning.
    async fn show_body<S>(&self, stream: &mut S, answer: Answer, progress: &Progress)
    where
        S: AsyncRead + Unpin,
    {
        let (Some(account), Some(head)) = (&progress.account, &answer.head) else {
            return;
        };
        let tested = self.page.status.contains(head.status) && self.needs_body(head);
        match tested {
            true if answer.is_whole(true) => account.body(&answer.body, ""),
            true => {}
            false => account.peek(stream, answer, self.is_bodiless()).await,
        }
    }

    fn is_bodiless(&self) -> bool {
        self.check.method == Method::Head
    }

    /// What is sent.
    pub fn text(&self) -> Vec<u8> {
        let mut text = String::with_capacity(256);
        let (method, path) = (self.check.method.as_str(), &self.page.path);
        for word in [method, " ", path, " HTTP/1.1\r\nhost: "] {
            text.push_str(word);
        }
        match &self.check.host {
            Some(host) => text.push_str(host),
            // A String takes whatever is written.
            None => drop(write!(text, "{}", self.target)),
        }
        text.push_str("\r\nconnection: close\r\nuser-agent: lb-check\r\n");
        for (name, value) in &self.check.headers {
            for word in [name, ": ", value, "\r\n"] {
                text.push_str(word);
            }
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// With what has come; nothing: the connection is closed. `None`: more is needed.
    pub fn judge(&self, answer: &mut Answer, came: &[u8]) -> Result<Option<Told>, Outcome> {
        let closed = came.is_empty();
        answer.take(came, self.is_bodiless()).map_err(Outcome::Fail)?;
        if let Some(head) = &answer.head {
            if !self.page.status.contains(head.status) {
                let (status, wanted) = (head.status, &self.page.status);
                return Err(self.failure(&format!("status {status} instead of {wanted}")));
            }
            if !self.needs_body(head) {
                return self.endpoints(head.endpoints).map(Some);
            }
            if answer.is_whole(closed) {
                return self.judge_body(&String::from_utf8_lossy(&answer.body)).map(Some);
            }
        }
        match closed {
            true => Err(Outcome::Fail(NOT_WHOLE.to_owned())),
            false => Ok(None),
        }
    }

    fn needs_body(&self, head: &Head) -> bool {
        match self.page.body {
            BodyTest::Any => self.check.counts_endpoints && head.endpoints.is_none(),
            BodyTest::Contains(_) | BodyTest::Matches(_) => true,
        }
    }

    fn judge_body(&self, body: &str) -> Result<Told, Outcome> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Health {
            local_endpoints: u64,
        }
        let found = match &self.page.body {
            BodyTest::Any => {
                // The body has always had the number, the field has it since Kubernetes 1.26.
                let health = serde_json::from_str::<Health>(body).ok();
                return self.endpoints(health.map(|health| health.local_endpoints));
            }
            BodyTest::Contains(wanted) => body.contains(wanted.as_str()),
            BodyTest::Matches(pattern) => pattern.matches(body),
        };
        if found {
            return Ok(Told::Nothing);
        }
        let wanted = self.wanted_body().unwrap_or_default();
        Err(self.failure(&format!("a body that does not {wanted}")))
    }

    fn wanted_body(&self) -> Option<String> {
        match &self.page.body {
            BodyTest::Contains(wanted) => Some(format!("contain {wanted:?}")),
            BodyTest::Matches(pattern) => Some(format!("match {:?}", pattern.as_str())),
            BodyTest::Any => None,
        }
    }

    fn endpoints(&self, count: Option<u64>) -> Result<Told, Outcome> {
        // It is well, and says no more.
        let Some(count) = count.filter(|_| self.check.counts_endpoints) else {
            return Ok(Told::Nothing);
        };
        let count = NonZeroU16::new(u16::try_from(count).unwrap_or(u16::MAX));
        count
            .map(Told::Endpoints)
            .ok_or_else(|| self.failure("the server has no local endpoint"))
    }

    /// With the path where there are several.
    fn failure(&self, what: &str) -> Outcome {
        match self.check.pages.len() {
            1 => Outcome::Fail(what.to_owned()),
            _ => Outcome::Fail(format!("{}: {what}", self.page.path)),
        }
    }
}
