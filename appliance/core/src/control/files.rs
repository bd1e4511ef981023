//! The files of the config volume. Must not: say which are whose.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FilesReport {
    /// By their names.
    pub files: Vec<FileReport>,
    /// The one that was removed just now.
    pub removed: Option<String>,
    /// Why it is not known what lb.toml names, if so.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    pub name: String,
    pub bytes: u64,
    /// Seconds since 1970 (UTC), by the appliance's clock; `null`: before.
    pub modified_unix_s: Option<u64>,
    /// What it is, of a file that the appliance writes by itself; `null`: somebody has put it there.
    pub own: Option<String>,
    /// `lb.toml: ca of service web (line 12)`.
    pub used_by: Vec<String>,
}

impl FileReport {
    /// Whether `config remove` takes it.
    pub fn is_removable(&self) -> bool {
        self.own.is_none() && self.used_by.is_empty()
    }
}
