//! Who may answer over TLS, by rustls: one client configuration for each kind of trust of the file, made when it is first
//! asked for. TLS 1.2 and 1.3, with what ring offers. Must not: know what is said over the connection.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use lb_core::check::{CaSource, TlsCheck, Verify};
use lb_core::health::Outcome;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;

use crate::store::Store;

/// All client configurations that the file needs; a new one for each configuration of the box.
#[derive(Debug)]
pub struct Trust {
    /// Where files are that the configuration names.
    store: Store,
    provider: Arc<CryptoProvider>,
    made: Mutex<HashMap<Verify, Arc<ClientConfig>>>,
}

impl Trust {
    pub fn new(store: Store) -> Trust {
        Trust {
            store,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            made: Mutex::default(),
        }
    }

    /// Files may have become others, or configurations useless.
    pub fn forget(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub fn connector(&self, check: &TlsCheck) -> Result<TlsConnector, Outcome> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(&check.verify) {
            return Ok(TlsConnector::from(known.clone()));
        }
        let config = Arc::new(self.config(&check.verify).map_err(Outcome::CannotCheck)?);
        made.insert(check.verify.clone(), config.clone());
        Ok(TlsConnector::from(config))
    }

    fn config(&self, verify: &Verify) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = match verify {
            Verify::Ca(source) => builder
                .with_root_certificates(self.roots(source)?)
                .with_no_client_auth(),
            Verify::Fingerprint(_) | Verify::Nobody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned {
                    provider: self.provider.clone(),
                    fingerprint: match verify {
                        Verify::Fingerprint(print) => Some(*print),
                        _ => None,
                    },
                }))
                .with_no_client_auth(),
        };
        // A check wants to see the whole handshake each time.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn roots(&self, source: &CaSource) -> Result<RootCertStore, String> {
        let (pem, from) = match source {
            CaSource::Text(text) => (text.clone().into_bytes(), "`ca`".to_owned()),
            CaSource::File(name) => {
                let shown = self.store.path(name).display().to_string();
                let read = self
                    .store
                    .read(name)
                    .map_err(|error| format!("cannot read {shown}: {error}"))?;
                (read.ok_or_else(|| format!("there is no {shown}"))?, shown)
            }
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| format!("{from} is no PEM: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("a certificate in {from} cannot be used: {error}"))?;
        }
        match roots.is_empty() {
            true => Err(format!("there is no certificate in {from}")),
            false => Ok(roots),
        }
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

/// A certificate that is taken for what it is, whoever signed it: the one with this SHA-256, or any. That the server has its
/// key is proved all the same.
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
        other => format!("TLS: {other}"),
    };
    Outcome::Fail(what)
}
