//! `tidy`: the rules of the tree that a machine can see.
//!
//! The order of the shelves, the code map naming every crate, `unsafe` staying in `sys/`, no
//! file that has grown too long, no test that is left out without a reason, nothing unfinished.

mod order;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::workspace::{self, Workspace};

pub(crate) fn run() -> Outcome {
    let workspace = Workspace::load(false)?;
    let mut findings = order::check(&workspace);
    findings.extend(code_map(&workspace)?);
    let mut files = Vec::new();
    rust_files(workspace::root(), &mut files)?;
    for file in &files {
        let name = file.strip_prefix(workspace::root())?.to_string_lossy().into_owned();
        findings.extend(source::check(&name, &fs::read_to_string(file)?));
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} crates, {} files", workspace.packages.len(), files.len());
            Ok(())
        }
        count => Err(format!("tidy: {count} findings").into()),
    }
}

/// Every crate has its paragraph in ARCHITECTURE.md and takes the workspace's lints.
fn code_map(workspace: &Workspace) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let map = fs::read_to_string(workspace::root().join("ARCHITECTURE.md"))
        .map_err(|err| format!("ARCHITECTURE.md: {err}"))?;
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let folder = package.folder();
        if !map.contains(&format!("`{folder}`")) && !map.contains(&format!("`{folder}/`")) {
            findings.push(format!("ARCHITECTURE.md: the code map does not name `{folder}`"));
        }
        if !fs::read_to_string(&package.manifest_path)?.contains("[lints]\nworkspace = true") {
            findings.push(format!("{folder}/Cargo.toml: does not take the workspace's lints"));
        }
    }
    Ok(findings)
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() {
            let built = path.ends_with("target") || path.ends_with("fuzz/corpus");
            if !hidden && !built {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
