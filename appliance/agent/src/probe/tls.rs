//! Who may answer over TLS, by rustls: one client configuration for each kind of trust of the file, made when it is first
//! asked for. TLS 1.2 and 1.3, with what ring offers. Must not: know what is said over the connection.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lb_core::check::{Identity, Pem, TlsCheck, Verify};
use lb_core::health::Outcome;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;

use super::sessions::Sessions;
use super::watched;
use crate::store::Store;

/// What is spoken over the connection, for ALPN (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    Whole,
    /// With the session of the last check, where the server agrees.
    Resumed,
}

pub(super) const HTTP2: &[u8] = b"h2";
pub(super) const NO_HTTP2: &str = "it does not speak HTTP/2 over TLS (ALPN h2)";

/// The certificates that a server has shown, its own first.
pub(super) type Shown = Arc<Mutex<Vec<CertificateDer<'static>>>>;

/// What one client configuration is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    verify: Verify,
    identity: Option<Identity>,
    protocol: Protocol,
}

/// All client configurations that the file needs; a new one for each configuration of the box.
#[derive(Debug)]
pub struct Trust {
    /// Where files are that the configuration names.
    store: Store,
    /// Those of an import on trial, which are not on the disk; they come first.
    lent: Mutex<BTreeMap<String, Vec<u8>>>,
    provider: Arc<CryptoProvider>,
    made: Mutex<HashMap<Kind, Arc<ClientConfig>>>,
    sessions: Sessions,
}

impl Trust {
    pub fn new(store: Store) -> Trust {
        Trust {
            store,
            lent: Mutex::default(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            made: Mutex::default(),
            sessions: Sessions::default(),
        }
    }

    /// Files may have become others, or configurations useless.
    pub fn forget(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.sessions.clear();
    }

    /// These files are there as well, or instead of those on the disk, until others are lent.
    pub fn lend(&self, files: BTreeMap<String, Vec<u8>>) {
        *self.lent.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        let lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.contains_key(name) || self.store.path(name).is_file()
    }

    /// The next handshake with this server is a whole one.
    pub(super) fn forget_session(&self, server: SocketAddr) {
        self.sessions.forget(server);
    }

    /// For checks that ask something: the handshake goes on with the session of the last check of this server.
    pub(super) fn resuming(
        &self,
        check: &TlsCheck,
        protocol: Protocol,
        server: SocketAddr,
    ) -> Result<TlsConnector, Outcome> {
        let config = self.whole(check, protocol)?;
        let whose = (server, Arc::as_ptr(&config).addr(), check.server_name.clone());
        let session = self.sessions.of(whose, Instant::now());
        let mut config = ClientConfig::clone(&config);
        config.resumption = Resumption::store(session);
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// For a handshake that is whole each time.
    pub(super) fn whole(&self, check: &TlsCheck, protocol: Protocol) -> Result<Arc<ClientConfig>, Outcome> {
        let kind = Kind {
            verify: check.verify.clone(),
            identity: check.identity.clone(),
            protocol,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(&kind) {
            return Ok(known.clone());
        }
        let config = Arc::new(self.config(&kind, None).map_err(Outcome::CannotCheck)?);
        made.insert(kind, config.clone());
        Ok(config)
    }

    /// The same for one connection, whose server's certificates are noted, be they good or not.
    pub(super) fn watched(
        &self,
        check: &TlsCheck,
        protocol: Protocol,
        shown: &Shown,
    ) -> Result<TlsConnector, Outcome> {
        let kind = Kind {
            verify: check.verify.clone(),
            identity: check.identity.clone(),
            protocol,
        };
        let config = self.config(&kind, Some(shown)).map_err(Outcome::CannotCheck)?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn verifier(&self, verify: &Verify) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let fingerprint = match verify {
            Verify::Ca(source) => {
                let roots = Arc::new(self.roots(source)?);
                let made = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone()).build();
                return made.map(|made| made as _).map_err(|error| error.to_string());
            }
            Verify::Fingerprint(print) => Some(*print),
            Verify::Nobody => None,
        };
        Ok(Arc::new(Pinned {
            provider: self.provider.clone(),
            fingerprint,
        }))
    }

    fn config(&self, kind: &Kind, shown: Option<&Shown>) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut verifier = self.verifier(&kind.verify)?;
        if let Some(shown) = shown {
            verifier = Arc::new(watched::Witness::new(verifier, shown.clone()));
        }
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &kind.identity {
            Some(identity) => {
                let (certificates, key) = self.identity(identity)?;
                builder
                    .with_client_auth_cert(certificates, key)
                    .map_err(|error| {
                        format!("`client_key` and `client_certificate` cannot be used: {error}")
                    })?
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        let protocol = match kind.protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => HTTP2,
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    /// What is in a PEM, and how it is called in a reason.
    fn pem(&self, source: &Pem, key: &str) -> Result<(Vec<u8>, String), String> {
        match source {
            Pem::Text(text) => Ok((text.clone().into_bytes(), format!("`{key}`"))),
            Pem::File(name) => {
                let shown = self.store.path(name).display().to_string();
                let lent = self
                    .lent
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(name)
                    .cloned();
                if let Some(lent) = lent {
                    return Ok((lent, shown));
                }
                let read = self
                    .store
                    .read(name)
                    .map_err(|error| format!("cannot read {shown}: {error}"))?;
                Ok((read.ok_or_else(|| format!("there is no {shown}"))?, shown))
            }
        }
    }

    fn certificates(
        &self,
        source: &Pem,
        key: &str,
    ) -> Result<(Vec<CertificateDer<'static>>, String), String> {
        let (pem, from) = self.pem(source, key)?;
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = read.map_err(|error| format!("{from} is no PEM: {error}"))?;
        match certificates.is_empty() {
            true => Err(format!("there is no certificate in {from}")),
            false => Ok((certificates, from)),
        }
    }

    fn roots(&self, source: &Pem) -> Result<RootCertStore, String> {
        let (certificates, from) = self.certificates(source, "ca")?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| format!("a certificate in {from} cannot be used: {error}"))?;
        }
        Ok(roots)
    }

    fn identity(
        &self,
        identity: &Identity,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let (certificates, _) = self.certificates(&identity.certificate, "client_certificate")?;
        let (pem, from) = self.pem(&identity.key, "client_key")?;
        let key = PrivateKeyDer::from_pem_slice(&pem);
        let key = key
            .map_err(|_| format!("there is no private key in {from} that can be read without a password"))?;
        Ok((certificates, key))
    }
}

/// Whom the certificate has to name.
pub(super) fn name(check: &TlsCheck, server: IpAddr) -> Result<ServerName<'static>, Outcome> {
    match &check.server_name {
        Some(name) => ServerName::try_from(name.clone())
            .map_err(|error| Outcome::CannotCheck(format!("{name} is no name of a server: {error}"))),
        None => Ok(ServerName::IpAddress(server.into())),
    }
}

/// A certificate that is taken for what it is, whoever signed it: the one with this SHA-256, whose key the server has to prove, or
/// any. The key of any certificate proves nothing of who answers: anybody has one.
#[derive(Debug)]
struct Pinned {
    provider: Arc<CryptoProvider>,
    fingerprint: Option<[u8; 32]>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found: [u8; 32] = Sha256::digest(end_entity).into();
        match self.fingerprint {
            Some(wanted) if wanted != found => Err(CertificateError::ApplicationVerificationFailure.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.fingerprint.is_none() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.fingerprint.is_none() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What a handshake has come to, for whoever watches.
pub(super) fn agreed(connection: &ClientConnection) -> Vec<String> {
    let version = connection.protocol_version().and_then(|version| version.as_str());
    let version = version.map_or("TLS".to_owned(), |word| word.replace("TLSv1_", "TLS 1."));
    let suite = connection.negotiated_cipher_suite();
    let suite = suite
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or("unknown cipher");
    let mut lines = vec![format!("{version}, {suite}")];
    if let Some(protocol) = connection.alpn_protocol() {
        lines.push(format!("ALPN: {}", String::from_utf8_lossy(protocol)));
    }
    lines
}

/// Whether it is the server's word against us, in an alert.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::AlertReceived(_)))
}

/// What became of a handshake, in words that lead to the remedy.
pub(super) fn explain(error: &io::Error) -> Outcome {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(tls) = tls else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Outcome::Fail("the connection was closed during the TLS handshake".to_owned())
            }
            _ => super::classify(error),
        };
    };
    let what = match tls {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not signed by `ca`".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet: is the appliance's clock right?".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name: see `server_name`".to_owned()
            }
            CertificateError::ApplicationVerificationFailure => {
                "its certificate has another fingerprint".to_owned()
            }
            other => format!("its certificate: {other:?}"),
        },
        rustls::Error::InvalidMessage(_) => "the answer is no TLS".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => NO_HTTP2.to_owned(),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants to know who asks: give `client_certificate` and `client_key`".to_owned()
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => "it does not accept `client_certificate`".to_owned(),
        other => format!("TLS: {other}"),
    };
    Outcome::Fail(what)
}
