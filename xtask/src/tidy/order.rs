//! Who may use whom: `sys, spec <- store | run <- flow <- engine <- doors`.

use crate::workspace::{Dependency, Package, Workspace, root};

/// The shelves that a crate on `shelf` may use besides its own.
fn below(shelf: &str) -> &'static [&'static str] {
    match shelf {
        "store" | "run" => &["sys", "spec"],
        "flow" => &["sys", "spec", "store", "run"],
        "engine" => &["sys", "spec", "store", "run", "flow"],
        // Doors decide nothing and reach nothing by themselves.
        // A door puts system calls to use (signals, terminals), and knows no shelf in between.
        "doors" => &["sys", "spec", "engine"],
        _ => &[],
    }
}

/// What single crates may use besides.
fn exceptions(folder: &str) -> &'static [&'static str] {
    match folder {
        // An OCI runtime is asked by other people's engines, and stands where ours does: on what
        // the kernel does. It has no images, no names and no policy for an engine to decide.
        "doors/oci" => &["run"],
        // A registry has blobs and no images, containers or policy for an engine to decide; as a
        // cache it asks another registry.
        "doors/registry" => &["store", "flow"],
        _ => &[],
    }
}

/// The dependencies that go against the order.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        for dependency in &package.dependencies {
            if !allowed(package, dependency) {
                let target = dependency_folder(dependency).unwrap_or_default();
                findings.push(format!(
                    "{}/Cargo.toml: {} is on the shelf {}, which may not use {target}",
                    package.folder(),
                    package.name,
                    shelf(&package.folder()),
                ));
            }
        }
    }
    findings
}

fn allowed(package: &Package, dependency: &Dependency) -> bool {
    let Some(target) = dependency_folder(dependency) else { return true };
    let folder = package.folder();
    let (from, to) = (shelf(&folder), shelf(&target));
    let for_tests = dependency.kind.as_deref() == Some("dev") && to == "tests";
    matches!(from, "tests" | "xtask" | "fuzz")
        || from == to
        || for_tests
        || below(from).contains(&to)
        || exceptions(&folder).contains(&to)
}

/// `None` for what is not in the tree.
fn dependency_folder(dependency: &Dependency) -> Option<String> {
    let path = dependency.path.as_ref()?;
    Some(path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned())
}

fn shelf(folder: &str) -> &str {
    folder.split('/').next().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_pair(from: &str, to: &str, kind: Option<&str>, expected: bool) {
        let package = Package {
            name: from.replace('/', "-"),
            version: String::new(),
            license: None,
            manifest_path: root().join(from).join("Cargo.toml"),
            dependencies: Vec::new(),
            source: None,
        };
        let dependency = Dependency { kind: kind.map(str::to_owned), path: Some(root().join(to)) };
        assert_eq!(allowed(&package, &dependency), expected, "{from} -> {to}");
    }

    #[test]
    fn a_crate_uses_its_own_shelf_and_those_below() {
        for (from, to, expected) in [
            ("store/images", "store/content", true),
            ("store/images", "spec/oci", true),
            ("store/images", "run/cgroups", false),
            ("run/shim", "store/content", false),
            ("flow/unpack", "store/snapshots", true),
            ("flow/unpack", "engine", false),
            ("engine", "flow/bundle", true),
            ("doors/cli", "engine", true),
            ("doors/cli", "store/content", false),
            ("doors/cli", "sys", true),
            ("doors/cli", "run/shim", false),
            ("doors/cli", "doors/oci", true),
            ("doors/oci", "run/runtime", true),
            ("doors/registry", "store/content", true),
            ("doors/registry", "engine", true),
            ("doors/registry", "run/shim", false),
            ("doors/oci", "store/content", false),
            ("spec/oci", "sys", false),
            ("tests/e2e", "store/content", true),
        ] {
            check_pair(from, to, None, expected);
        }
        check_pair("store/content", "tests/testkit", Some("dev"), true);
        check_pair("store/content", "tests/testkit", None, false);
    }
}
