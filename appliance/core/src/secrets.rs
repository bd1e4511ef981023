//! What must not leave the box: which header fields let somebody in, and lb.toml without its secrets. Must not: read files.

/// In the place of a secret.
pub const HIDDEN: &str = "(not shown)";

/// Parts of names: what lets somebody in is called so.
const SECRET_NAMES: [&str; 10] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "api-key",
    "apikey",
    "x-auth",
    "credential",
];

/// Whether a header field's value lets whoever knows it in.
pub fn is_secret_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_let_somebody_in_are_known() {
        for secret in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "X_API_KEY",
            "X-Vault-Token",
        ] {
            assert!(is_secret_field(secret), "{secret}");
        }
        for open in [
            "Host",
            "Accept",
            "Content-Type",
            "X-Load-Balancing-Endpoint-Weight",
        ] {
            assert!(!is_secret_field(open), "{open}");
        }
    }
}
