//! The keys of a check over TLS: who may answer, as whom it asks, and when an end is near.
//! Must not: read the files that they name.

use std::ops::RangeInclusive;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use toml::Spanned;

use super::super::fault::quoted;
use super::super::reader::{Reader, Section, Value};
use super::super::time;
use super::values::text;
use super::{inner, or};
use crate::check::{Identity, Pem, TlsCheck, Verify};
use crate::seed::is_plain_name;

const FINGERPRINT_HELP: &str = "the SHA-256 of the certificate: 64 hexadecimal digits, colons between them are fine; \
                                `openssl x509 -in FILE -noout -fingerprint -sha256` prints it";
const CA_HELP: &str = "give the certificate itself, ca = \"\"\"-----BEGIN CERTIFICATE-----...\"\"\", or the name of a \
                       file beside lb.toml, such as ca = \"ca.pem\"";
const CERTIFICATE_HELP: &str = "give the certificate, and those between it and its authority, in PEM between \"\"\", or the name \
                                of a file beside lb.toml, such as client_certificate = \"client.pem\"";
const KEY_HELP: &str = "give the key in PEM, between \"\"\", without a password; or the name of a file beside lb.toml, such as \
                        client_key = \"client.key\"";
/// The keys that say who may answer.
const TRUST: [&str; 3] = ["ca", "fingerprint", "verify"];
pub(in crate::config) const EXPIRY_WARNING: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_hours(366 * 24);

#[derive(Debug, Clone, Default)]
pub(super) struct TlsKeys {
    server_name: Option<Spanned<String>>,
    trust: Option<Spanned<Verify>>,
    certificate: Option<Spanned<Pem>>,
    key: Option<Spanned<Pem>>,
    expiry_warning: Option<Spanned<Duration>>,
    /// Whether the file says who may answer, be it with a fault.
    names_trust: bool,
    /// A certificate or key that could not be read: it is not missing as well.
    broken: bool,
}

impl TlsKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> TlsKeys {
        let certificate = section.value("client_certificate");
        let key = section.value("client_key");
        let mut keys = TlsKeys {
            server_name: section
                .value("server_name")
                .and_then(|value| server_name(reader, value)),
            trust: trust(reader, section),
            certificate: certificate
                .and_then(|value| text(reader, value, CERTIFICATE_HELP, |text| pem(text, certificates))),
            key: key.and_then(|value| text(reader, value, KEY_HELP, |text| pem(text, private_key))),
            expiry_warning: section
                .value("expiry_warning")
                .and_then(|value| time::read(reader, value, &EXPIRY_WARNING)),
            names_trust: TRUST.iter().any(|key| section.key_span(key).is_some()),
            broken: false,
        };
        keys.broken =
            certificate.is_some() != keys.certificate.is_some() || key.is_some() != keys.key.is_some();
        keys
    }

    pub fn over(self, base: &TlsKeys) -> TlsKeys {
        TlsKeys {
            server_name: or(self.server_name, &base.server_name),
            trust: or(self.trust, &base.trust),
            certificate: or(self.certificate, &base.certificate),
            key: or(self.key, &base.key),
            expiry_warning: or(self.expiry_warning, &base.expiry_warning),
            names_trust: self.names_trust || base.names_trust,
            broken: self.broken || base.broken,
        }
    }

    pub fn names_trust(&self) -> bool {
        self.names_trust
    }

    /// One is of no use without the other.
    pub fn judge(&self, reader: &mut Reader<'_>) {
        let (span, is, lacks) = match (&self.certificate, &self.key) {
            (Some(certificate), None) => (certificate.span(), "client_certificate", "client_key"),
            (None, Some(key)) => (key.span(), "client_key", "client_certificate"),
            _ => return,
        };
        if !self.broken {
            let help = "a check shows who it is by both; add the other, or remove this one";
            reader.fault(span, format!("`{is}` without `{lacks}`"), help);
        }
    }

    pub fn check(&self) -> TlsCheck {
        let identity = inner(&self.certificate).zip(inner(&self.key));
        TlsCheck {
            server_name: inner(&self.server_name),
            verify: inner(&self.trust).unwrap_or(Verify::Nobody),
            identity: identity.map(|(certificate, key)| Identity { certificate, key }),
            expiry_warning: inner(&self.expiry_warning).unwrap_or(TlsCheck::EXPIRY_WARNING),
        }
    }
}

fn server_name(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<String>> {
    let help = "the name in the server's certificate, such as \"www.example.com\"";
    text(reader, value, help, |text| {
        rustls_pki_types::DnsName::try_from(text)
            .map(|name| name.as_ref().to_owned())
            .map_err(|_| format!("{} is no name of a host", quoted(text)))
    })
}

/// `ca`, `fingerprint` or `verify = false`.
fn trust(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Spanned<Verify>> {
    let values: Vec<Value<'_, '_>> = TRUST.iter().filter_map(|key| section.value(key)).collect();
    let [value] = values.as_slice() else {
        if let Some(second) = values.get(1) {
            let message = format!("`{}` beside `{}`", second.key, values[0].key);
            reader.fault(
                second.span(),
                message,
                "one of `ca`, `fingerprint` and `verify` says who may answer",
            );
        }
        return None;
    };
    match value.key {
        "ca" => text(reader, *value, CA_HELP, |text| {
            pem(text, certificates).map(Verify::Ca)
        }),
        "fingerprint" => text(reader, *value, FINGERPRINT_HELP, fingerprint),
        _ => {
            if reader.flag(*value)? {
                let help = "name who may answer: `ca` or `fingerprint`; there is no list of authorities on the appliance";
                reader.fault(value.span(), "`verify = true` needs somebody to trust", help);
                return None;
            }
            Some(Spanned::new(value.span(), Verify::Nobody))
        }
    }
}

/// The name of a file, or a PEM with what `read` looks for.
fn pem(text: &str, read: impl FnOnce(&[u8]) -> Result<(), String>) -> Result<Pem, String> {
    if text.contains("-----BEGIN") {
        return read(text.as_bytes()).map(|()| Pem::Text(text.to_owned()));
    }
    if !is_plain_name(text) {
        return Err(format!(
            "{} is neither a PEM nor the name of a file",
            quoted(text)
        ));
    }
    Ok(Pem::File(text.to_owned()))
}

fn certificates(pem: &[u8]) -> Result<(), String> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|_| "the PEM cannot be read".to_owned())?;
        count += 1;
    }
    match count {
        0 => Err("there is no certificate in this PEM".to_owned()),
        _ => Ok(()),
    }
}

fn private_key(pem: &[u8]) -> Result<(), String> {
    let key = PrivateKeyDer::from_pem_slice(pem);
    key.map(drop).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => {
            "there is no private key in this PEM that can be read without a password".to_owned()
        }
        _ => "the PEM cannot be read".to_owned(),
    })
}

fn fingerprint(text: &str) -> Result<Verify, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let wrong = || format!("{} is no fingerprint", quoted(text));
    let mut print = [0; 32];
    if digits.len() != 64 {
        return Err(wrong());
    }
    for (byte, pair) in print.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(Verify::Fingerprint(print))
}
