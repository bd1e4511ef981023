//! lb.toml: text in, [`Config`] or every fault at once out.
//! Must not: read files, know the kernel, or decide anything about forwarding.

mod model;

pub use model::{
    CheckKind, CheckParams, Config, HostName, Interface, LinkSelector, Masquerade, RealServer,
    Route, VirtualServer, WhenDown,
};

/// One fault of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Byte range in the text that the caret points at.
    pub span: std::ops::Range<usize>,
    pub message: String,
    /// What is allowed here.
    pub help: String,
}

/// Every fault of one file, in the order of their places; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// Parses and validates the text of lb.toml.
pub fn parse(_text: &str) -> Result<Config, Faults> {
    Ok(Config {
        hostname: HostName::default(),
        interfaces: vec![],
        masquerades: vec![],
        virtual_servers: vec![],
    })
}
