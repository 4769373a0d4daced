//! How much space a tree takes on disk.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The bytes that the blocks of all files at and below `path` take, each file once however many
/// names it has. Links are not followed and mounts not entered; what goes away meanwhile is not
/// counted.
pub fn of(path: &Path) -> io::Result<u64> {
    let top = std::fs::symlink_metadata(path)?;
    let mut seen = HashSet::new();
    let mut bytes = top.blocks() * 512;
    let mut pending: Vec<PathBuf> = if top.is_dir() { vec![path.to_owned()] } else { Vec::new() };
    while let Some(directory) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(facts) = entry.metadata() else { continue };
            if facts.is_dir() {
                if facts.dev() == top.dev() {
                    pending.push(entry.path());
                }
            } else if facts.nlink() > 1 && !seen.insert(facts.ino()) {
                continue;
            }
            bytes += facts.blocks() * 512;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("a"), vec![1; 100_000]).unwrap();
        let once = of(temp.path()).unwrap();
        std::fs::hard_link(temp.path().join("a"), temp.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/", temp.path().join("c")).unwrap();
        assert!((100_000..200_000).contains(&once));
        assert!(of(temp.path()).unwrap() < 2 * 100_000);
        assert!(of(&temp.path().join("missing")).is_err());
    }
}
