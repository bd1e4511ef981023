//! One request over a connection that is there, and whether its answer is the one that was asked for (RFC 9112, by hyper).
//! Must not: follow a redirect (a check that wants to see one names its status), or read more than a body test needs.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use lb_core::check::{BodyTest, HttpCheck, Page};
use lb_core::health::{Outcome, Told};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Progress, Stage, account};

/// Of a body that is tested; what comes after that is not read.
const MOST_BODY: usize = 64 << 10;
/// Of an answer's header fields.
const MOST_HEAD: usize = 32 << 10;
/// Of a body, in the reason of a failure.
const SHOWN: usize = 60;

pub(super) struct Request<'a> {
    pub check: &'a HttpCheck,
    pub page: &'a Page,
    pub target: SocketAddr,
    pub progress: &'a Progress,
}

impl Request<'_> {
    pub async fn exchange<S>(&self, stream: S) -> Result<Told, Outcome>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.progress.is_at(Stage::Answer);
        let handshake = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MOST_HEAD)
            .handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|error| broken(&error))?;
        let exchange = async {
            let request = self.request()?;
            self.progress.note("request", || self.asked(&request));
            let response = sender.send_request(request).await;
            let response = response.map_err(|error| broken(&error))?;
            self.progress.note("answer", || answered(&response));
            self.judge(response).await
        };
        // The connection moves only as long as the exchange wants something of it, and ends with it.
        tokio::pin!(connection);
        tokio::select! {
            judged = exchange => judged,
            error = async { match (&mut connection).await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            } } => Err(broken(&error)),
        }
    }

    fn request(&self) -> Result<hyper::Request<Empty<Bytes>>, Outcome> {
        let host = match &self.check.host {
            Some(host) => host.clone(),
            None => self.target.to_string(),
        };
        let mut request = hyper::Request::builder()
            .method(self.check.method.as_str())
            .uri(&self.page.path)
            .header(hyper::header::HOST, host)
            .header(hyper::header::CONNECTION, "close")
            .header(hyper::header::USER_AGENT, "lb-check");
        for (name, value) in &self.check.headers {
            request = request.header(name, value);
        }
        request
            .body(Empty::new())
            .map_err(|error| Outcome::CannotCheck(format!("the request cannot be made: {error}")))
    }

    async fn judge(&self, response: hyper::Response<Incoming>) -> Result<Told, Outcome> {
        let status = response.status().as_u16();
        if !self.page.status.contains(status) {
            self.peek(response).await;
            let wanted = &self.page.status;
            return Err(self.failure(&format!("status {status} instead of {wanted}")));
        }
        self.progress.is_at(Stage::Body);
        let found = match &self.page.body {
            BodyTest::Any if self.check.counts_endpoints => return self.endpoints(response).await,
            BodyTest::Any => {
                self.peek(response).await;
                return Ok(Told::Nothing);
            }
            BodyTest::Contains(wanted) => self.body(response).await?.contains(wanted.as_str()),
            BodyTest::Matches(pattern) => pattern.matches(&self.body(response).await?),
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

    /// The request, and what has to come back, for whoever watches.
    fn asked(&self, request: &hyper::Request<Empty<Bytes>>) -> Vec<String> {
        let mut lines = vec![format!("{} {} HTTP/1.1", request.method(), request.uri())];
        lines.extend(account::fields(request.headers()));
        let body = self
            .wanted_body()
            .map(|wanted| format!(", and a body that does {wanted}"));
        lines.push(format!(
            "expected: status {}{}",
            self.page.status,
            body.unwrap_or_default()
        ));
        lines
    }

    /// The beginning of a body that is not tested, for whoever watches.
    async fn peek(&self, response: hyper::Response<Incoming>) {
        if let Some(account) = &self.progress.account {
            account.peek(response.into_body()).await;
        }
    }

    /// From the field that kube-proxy sends since Kubernetes 1.26, or from the body, which has always had the number.
    async fn endpoints(&self, response: hyper::Response<Incoming>) -> Result<Told, Outcome> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Health {
            local_endpoints: u64,
        }
        let field = response.headers().get("X-Load-Balancing-Endpoint-Weight");
        let field = field.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        let count = match field {
            Some(count) => Some(count),
            None => {
                let body = self.body(response).await?;
                serde_json::from_str::<Health>(&body)
                    .ok()
                    .map(|health| health.local_endpoints)
            }
        };
        match count {
            // It is well, and says no more.
            None => Ok(Told::Nothing),
            Some(count) => {
                let count = NonZeroU16::new(u16::try_from(count).unwrap_or(u16::MAX));
                count
                    .map(Told::Endpoints)
                    .ok_or_else(|| self.failure("the server has no local endpoint"))
            }
        }
    }

    /// The beginning of the body.
    async fn body(&self, response: hyper::Response<Incoming>) -> Result<String, Outcome> {
        let mut incoming = response.into_body();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            if let Some(data) = frame.data_ref() {
                let room = MOST_BODY.saturating_sub(body.len());
                body.extend_from_slice(&data[..data.len().min(room)]);
            }
            if body.len() == MOST_BODY {
                break;
            }
        }
        if let Some(account) = &self.progress.account {
            account.body(&body, "");
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// With the path where there are several.
    fn failure(&self, what: &str) -> Outcome {
        match self.check.pages.len() {
            1 => Outcome::Fail(what.to_owned()),
            _ => Outcome::Fail(format!("{}: {what}", self.page.path)),
        }
    }
}

/// For whoever watches.
fn answered(response: &hyper::Response<Incoming>) -> Vec<String> {
    let mut lines = vec![format!("{:?} {}", response.version(), response.status())];
    lines.extend(account::fields(response.headers()));
    lines
}

fn broken(error: &hyper::Error) -> Outcome {
    let what = if error.is_parse() {
        "the answer is no HTTP"
    } else if error.is_incomplete_message() {
        "the connection was closed before the answer was whole"
    } else {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let io = cause.downcast_ref::<std::io::Error>();
            if let Some(refusal) = io.filter(|error| super::tls::is_refusal(error)) {
                return super::tls::explain(refusal);
            }
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text.truncate(text.floor_char_boundary(2 * SHOWN));
        return Outcome::Fail(text);
    };
    Outcome::Fail(what.to_owned())
}
