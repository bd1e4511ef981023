//! Over TLS: who may answer, and as whom the check itself appears.
//! Must not: read certificates.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsCheck {
    /// The name in the server's certificate, sent as SNI (RFC 6066, section 3); without one the certificate has to have the
    /// server's address.
    pub server_name: Option<String>,
    pub verify: Verify,
    /// For servers that want to know who asks.
    pub identity: Option<Identity>,
    /// So long before its end a server's certificate is worth a warning; zero: never.
    pub expiry_warning: Duration,
}

impl TlsCheck {
    /// Two weeks: certificates that renew themselves do so earlier, and others leave time to act.
    pub const EXPIRY_WARNING: Duration = Duration::from_hours(14 * 24);
}

/// Who may answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Who has a certificate that leads to one of these.
    Ca(Pem),
    /// Whose certificate has this SHA-256.
    Fingerprint([u8; 32]),
    /// Anybody.
    Nobody,
}

/// A certificate of the check's own, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub certificate: Pem,
    pub key: Pem,
}

/// Where something in PEM is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pem {
    /// The PEM itself.
    Text(String),
    /// Name of a file beside lb.toml.
    File(String),
}
