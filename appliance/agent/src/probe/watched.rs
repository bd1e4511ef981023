//! A check that somebody watches: the same exchange, with an account of its steps. Must not: tell anybody else what it has found.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use lb_core::check::{CheckKind, CheckParams, TlsCheck, Verify};
use lb_core::control::ProbeStep;
use lb_core::health::{CheckResult, Outcome};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::account::{Account, milliseconds};
use super::tls::Shown;
use super::{Progress, Trust, UNREACHABLE, Way, attempt, x509};

#[derive(Debug)]
pub struct Watched {
    pub result: CheckResult,
    pub steps: Vec<ProbeStep>,
}

pub async fn watch(way: &Way, params: &CheckParams, trust: &Trust) -> Watched {
    let started = Instant::now();
    let progress = Progress {
        account: Some(Account::new(started, params.timeout)),
        ..Progress::default()
    };
    let result = attempt(way, params, trust, started, &progress).await;
    let steps = progress.account.map(Account::into_steps);
    let mut steps = steps.unwrap_or_default();
    steps.extend(nothing_seen(&steps, way, params, &result));
    Watched { result, steps }
}

/// A connection that did not come about has left no step: what was tried, and what came.
fn nothing_seen(
    steps: &[ProbeStep],
    way: &Way,
    params: &CheckParams,
    result: &CheckResult,
) -> Option<ProbeStep> {
    let why = result.outcome.failure().filter(|_| steps.is_empty())?;
    if matches!(params.kind, CheckKind::Icmp | CheckKind::Udp(_)) {
        return None;
    }
    let came = match &result.outcome {
        Outcome::Refused(_) => format!("{why}: nothing listens there"),
        // An ICMP error, which a connection does not tell the sender of, or our own kernel.
        Outcome::Silent(_) if why == UNREACHABLE => {
            format!("{why}: an ICMP error came back, or nobody answered ARP (`capture` shows which)")
        }
        Outcome::Silent(_) => format!("{why}: no SYN-ACK and no RST came back"),
        _ => why.to_owned(),
    };
    Some(ProbeStep {
        at_ms: milliseconds(result.latency),
        what: "connect".to_owned(),
        lines: vec![format!("TCP connection to {}", way.target), came],
    })
}

impl Way {
    /// Where what is sent this way begins; `None`: there is no way.
    pub fn source(&self) -> Option<IpAddr> {
        self.begin().ok().map(|(source, _)| source)
    }
}

impl Progress {
    /// What the server has shown, and by what it is judged.
    pub(super) fn certificates(&self, check: &TlsCheck, shown: &Shown) {
        let chain = shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, certificate) in chain.iter().enumerate() {
            self.note("certificate", || {
                let mut lines = x509::lines(certificate, SystemTime::now());
                if at == 0 {
                    lines.push(format!("expected: {}", expected(check)));
                }
                lines
            });
        }
    }
}

fn expected(check: &TlsCheck) -> String {
    let name = match &check.server_name {
        Some(name) => format!("the name {name} (`server_name`)"),
        None => "the server's address among its names (no `server_name`)".to_owned(),
    };
    match &check.verify {
        Verify::Ca(_) => format!("a chain to `ca`, and {name}"),
        Verify::Fingerprint(print) => format!("SHA-256 {} (`fingerprint`)", x509::hex(print)),
        Verify::Nobody => "any (`verify = false`)".to_owned(),
    }
}

/// Notes the certificates, and judges as the verifier does that is behind it.
#[derive(Debug)]
pub(super) struct Witness {
    judge: Arc<dyn ServerCertVerifier>,
    shown: Shown,
}

impl Witness {
    pub fn new(judge: Arc<dyn ServerCertVerifier>, shown: Shown) -> Witness {
        Witness { judge, shown }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
        self.judge
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
