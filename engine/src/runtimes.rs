//! `--runtime`: the OCI runtime that makes a container, our own or another.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use metadata::Container;
use oci::runtime::Spec;
use shim::Foreign;

use crate::{Engine, EngineError};

/// The names of our own.
const OWN: [&str; 3] = ["", "kista", "io.containerd.kista.v1"];
/// Where runtimes are, if `PATH` (of a service, say) does not name the place.
const PLACES: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The executable of the runtime called `name`; `None` for our own.
///
/// A name is looked up in `PATH` and where runtimes are as a rule; an absolute path stands for
/// itself. Docker's error if there is none.
pub(crate) fn find(name: &str) -> Result<Option<PathBuf>, EngineError> {
    if OWN.contains(&name) {
        return Ok(None);
    }
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let unknown = || EngineError::Invalid {
        message: format!(
            "unknown or invalid runtime name: {name} (neither \"kista\" nor a program in PATH)"
        ),
    };
    if Path::new(name).is_absolute() {
        return Some(PathBuf::from(name)).filter(is_program).map(Some).ok_or_else(unknown);
    }
    if name.contains('/') {
        return Err(unknown());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(std::env::split_paths(PLACES));
    let found = folders.find_map(|folder| {
        Some(folder.join(name)).filter(|path| path.is_absolute()).filter(is_program)
    });
    found.map(Some).ok_or_else(unknown)
}

impl Engine {
    /// Whose container it is, for the shim.
    pub(crate) fn foreign(
        &self,
        container: &Container,
        name: &str,
    ) -> Result<Option<Foreign>, EngineError> {
        let program = find(name)?;
        Ok(program.map(|program| Foreign {
            program,
            dir: container.path().join("oci"),
            container: container.id().to_owned(),
        }))
    }
}

/// Gives the specification a built-in filter in words: others compile for themselves.
pub(crate) fn spell_out_filter(spec: &mut Spec, built_in: Option<seccomp::Profile>) {
    let Some(profile) = built_in else { return };
    let sets = spec.process.as_ref().and_then(|process| process.capabilities.as_ref());
    let names = sets.map_or(&[][..], |sets| &sets.bounding);
    let capabilities = seccomp::Capabilities::from_names(names);
    if let Some(linux) = &mut spec.linux {
        linux.seccomp = Some(profile.portable_filter(capabilities, seccomp::Arch::NATIVE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_found_by_name_and_by_path() {
        for own in ["", "kista"] {
            assert_eq!(find(own).unwrap(), None);
        }
        assert_eq!(find("sh").unwrap().unwrap().file_name().unwrap(), "sh");
        assert_eq!(find("/bin/sh").unwrap(), Some("/bin/sh".into()));
        for absent in
            ["absent-runtime", "/bin/absent", "/etc/passwd", "/bin", "../bin/sh", "bin/sh"]
        {
            let error = find(absent).unwrap_err().to_string();
            let start = format!("unknown or invalid runtime name: {absent} ");
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
