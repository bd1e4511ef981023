//! The disk around its partitions: protective MBR, both GPTs, and finding a partition of this layout in an image.
//! Must not: know what the partitions hold.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use gptman::{GPT, GPTPartitionEntry};

use crate::file::FileError;
use crate::layout::{DISK_UUID, PARTITIONS, Partition, SECTOR};

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("write the partition table")]
    Write(#[source] gptman::Error),
    #[error("{} is not a disk image of this appliance: it has no GPT; make one with: make image", path.display())]
    NoTable {
        path: PathBuf,
        #[source]
        source: gptman::Error,
    },
    #[error(
        "{} is not a disk image of this appliance: partition {number} is not {label:?} with its UUID at its place; \
         make one with: make image", path.display()
    )]
    NotOurs {
        path: PathBuf,
        number: u32,
        label: &'static str,
    },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Writes the partition tables of [`PARTITIONS`] into an empty disk.
pub fn write_tables(disk: &mut File) -> Result<(), DiskError> {
    // gptman takes GUIDs as they lie on disk: the first three fields little-endian.
    let mut gpt = GPT::new_from(disk, SECTOR, DISK_UUID.to_bytes_le()).map_err(DiskError::Write)?;
    for partition in PARTITIONS {
        gpt[partition.number] = GPTPartitionEntry {
            partition_type_guid: partition.kind.to_bytes_le(),
            unique_partition_guid: partition.uuid.to_bytes_le(),
            starting_lba: partition.first_lba(),
            ending_lba: partition.last_lba(),
            attribute_bits: 0,
            partition_name: partition.label.into(),
        };
    }
    gpt.write_into(disk).map_err(DiskError::Write)?;
    GPT::write_protective_mbr_into(disk, SECTOR).map_err(DiskError::Write)
}

/// The size in bytes of `partition`. Refuses a file in which it is not where the layout has it, so that nothing is ever written to a foreign
/// disk. The last one may have been made larger or smaller.
pub fn expect_partition(disk: &mut File, path: &Path, partition: &Partition) -> Result<u64, DiskError> {
    let gpt = GPT::find_from(disk).map_err(|source| DiskError::NoTable {
        path: path.to_owned(),
        source,
    })?;
    let entry = gpt
        .iter()
        .find(|(number, _)| *number == partition.number)
        .map(|(_, entry)| entry);
    let is_last = PARTITIONS.last() == Some(partition);
    let ours = entry.filter(|entry| {
        gpt.sector_size == SECTOR
            && entry.unique_partition_guid == partition.uuid.to_bytes_le()
            && entry.partition_name.as_str() == partition.label
            && entry.starting_lba == partition.first_lba()
            && (is_last || entry.ending_lba == partition.last_lba())
    });
    let size = ours.and_then(|entry| entry.size().ok());
    size.map(|sectors| sectors * SECTOR)
        .ok_or_else(|| DiskError::NotOurs {
            path: path.to_owned(),
            number: partition.number,
            label: partition.label,
        })
}

/// Opens an image, for reading alone or for writing too.
pub fn open(path: &Path, write: bool) -> Result<File, FileError> {
    File::options()
        .read(true)
        .write(write)
        .open(path)
        .and_then(|file| {
            let kind = file.metadata()?.file_type();
            if kind.is_file() {
                Ok(file)
            } else {
                Err(io::Error::other("it is not a regular file"))
            }
        })
        .map_err(|source| FileError {
            verb: "open",
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::create_sparse;
    use crate::layout::{CONFIG, DISK_SIZE, SLOT_A};
    use crate::tool::Tool;

    #[test]
    fn sfdisk_reads_the_tables_that_were_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        write_tables(&mut create_sparse(&path, DISK_SIZE).unwrap()).unwrap();
        let verified = Tool::new("sfdisk").arg("--verify").path(&path).run().unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(said.contains("No errors detected"), "{said}");
        let output = Tool::new("sfdisk").arg("-J").path(&path).run().unwrap();
        let table: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let table = &table["partitiontable"];
        assert_eq!(table["label"], "gpt");
        assert_eq!(table["id"], DISK_UUID.to_string().to_uppercase());
        let listed = table["partitions"].as_array().unwrap();
        assert_eq!(listed.len(), PARTITIONS.len());
        for (entry, partition) in listed.iter().zip(PARTITIONS) {
            assert_eq!(entry["start"], partition.first_lba());
            assert_eq!(entry["size"], partition.size / SECTOR);
            assert_eq!(entry["name"], partition.label);
            assert_eq!(entry["uuid"], partition.uuid.to_string().to_uppercase());
            assert_eq!(entry["type"], partition.kind.to_string().to_uppercase());
        }
    }

    #[test]
    fn a_foreign_disk_is_refused_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let mut disk = create_sparse(&path, DISK_SIZE).unwrap();
        let error = expect_partition(&mut disk, &path, &CONFIG)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no GPT") && error.contains("make image"),
            "{error}"
        );
        let mut gpt = GPT::new_from(&mut disk, SECTOR, [9; 16]).unwrap();
        gpt.write_into(&mut disk).unwrap();
        let error = expect_partition(&mut disk, &path, &CONFIG)
            .unwrap_err()
            .to_string();
        assert!(error.contains("partition 6 is not \"config\""), "{error}");
        write_tables(&mut disk).unwrap();
        assert_eq!(expect_partition(&mut disk, &path, &CONFIG).unwrap(), CONFIG.size);
        // What somebody has done to the last partition is his; the others are as they were made.
        let mut resize = |partition: &Partition| {
            let mut gpt = GPT::find_from(&mut disk).unwrap();
            gpt[partition.number].ending_lba = partition.last_lba() - 7;
            gpt.write_into(&mut disk).unwrap();
            expect_partition(&mut disk, &path, partition)
        };
        assert_eq!(resize(&CONFIG).unwrap(), CONFIG.size - 7 * SECTOR);
        assert!(resize(&SLOT_A).is_err());
    }
}
