//! Images for tests: busybox, Debian, or any layers, as archives that `load` and `import` read.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::tar::{Entry, Kind, Writer};

/// Layers and a configuration.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    layers: Vec<Vec<u8>>,
    /// The `config` object of the image configuration.
    config: Value,
    architecture: String,
}

impl Image {
    /// An image of that name without layers or settings.
    pub fn new(name: &str) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self {
            name: name.to_owned(),
            layers: Vec::new(),
            config: json!({}),
            architecture: architecture.to_owned(),
        }
    }

    /// Static busybox with a link for each of its commands, a user `app` (1000) in the groups
    /// `app` (1000) and `extra` (2000), and `sh` as its command.
    pub fn busybox(name: &str) -> Self {
        Self::new(name).layer(busybox_layer().clone()).config("Cmd", json!(["sh"])).config(
            "Env",
            json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]),
        )
    }

    /// Puts an uncompressed tar on top.
    pub fn layer(mut self, tar: Vec<u8>) -> Self {
        self.layers.push(tar);
        self
    }

    /// Sets a key of the configuration: `Entrypoint`, `User`, ...
    /// What it runs on, by Go's name of the processor; the machine's own if this is not called.
    pub fn architecture(mut self, name: &str) -> Self {
        self.architecture = name.to_owned();
        self
    }

    pub fn config(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    fn configuration(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| digest(layer)).collect();
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": self.layers.iter().map(|_| json!({"created_by": "testkit"})).collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes()
    }

    /// The image's id: the digest of its configuration.
    pub fn id(&self) -> String {
        digest(&self.configuration())
    }

    /// As `docker save` writes it since version 1.10: manifest.json, a configuration and a
    /// layer.tar in a folder for each layer.
    pub fn docker_archive(&self) -> Vec<u8> {
        let configuration = self.configuration();
        let name = format!("{}.json", hex(&configuration));
        let mut writer = Writer::new();
        let mut layers = Vec::new();
        let mut written = BTreeSet::new();
        for layer in &self.layers {
            let path = format!("{}/layer.tar", hex(layer));
            if written.insert(path.clone()) {
                writer.file(&path, 0o644, layer);
            }
            layers.push(path);
        }
        writer.file(&name, 0o644, &configuration);
        let manifest = json!([{"Config": name, "RepoTags": [self.tagged()], "Layers": layers}]);
        writer.file("manifest.json", 0o644, manifest.to_string().as_bytes());
        writer.finish()
    }

    /// An OCI layout in a tar, with uncompressed layers.
    pub fn oci_archive(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let mut written = BTreeSet::new();
        let mut blob = |media_type: &str, bytes: &[u8]| {
            let path = format!("blobs/sha256/{}", hex(bytes));
            if written.insert(path.clone()) {
                writer.file(&path, 0o644, bytes);
            }
            json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
        };
        let config = blob("application/vnd.oci.image.config.v1+json", &self.configuration());
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| blob("application/vnd.oci.image.layer.v1.tar", layer))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": layers,
        });
        let mut descriptor =
            blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        descriptor["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/library/{}", self.tagged()),
            "org.opencontainers.image.ref.name": self.tagged().rsplit(':').next(),
        });
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        writer.file("index.json", 0o644, index.to_string().as_bytes());
        writer.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
        writer.finish()
    }

    fn tagged(&self) -> String {
        if self.name.contains(':') { self.name.clone() } else { format!("{}:latest", self.name) }
    }
}

/// A tar of Debian's smallest variant, made once and kept in the target directory.
///
/// Needs [`Need::Debian`](crate::Need::Debian).
pub fn debian() -> Vec<u8> {
    debian_with("minbase", &[])
}

/// As [`debian`], with further packages, kept under a name of its own.
pub fn debian_with(name: &str, packages: &[&str]) -> Vec<u8> {
    let path = debian_path(name);
    let lock = fs::File::create(path.with_extension("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    if !path.exists() {
        let new = path.with_extension("new.tar");
        // Some packages ask for this host's full name, which not every host knows.
        let mut command = Command::new("unshare");
        let named = "hostname builder && exec \"$@\"";
        command.args(["--uts", "sh", "-c", named, "sh", "mmdebstrap"]);
        command.args(["--quiet", "--variant=minbase", "--mode=root"]);
        command.arg("--essential-hook=echo 127.0.0.1 localhost builder >>\"$1/etc/hosts\"");
        if !packages.is_empty() {
            command.arg(format!("--include={}", packages.join(",")));
        }
        let status = command.arg("bookworm").arg(&new).status().unwrap();
        assert!(status.success(), "mmdebstrap: {status}");
        fs::rename(&new, &path).unwrap();
    }
    fs::read(path).unwrap()
}

/// Where [`debian_with`] keeps its tar.
pub fn debian_path(name: &str) -> PathBuf {
    crate::kista::target_directory().join(format!("debian-{name}.tar"))
}

/// `sha256:` and the hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The root file system of [`Image::busybox`] as a tar.
pub fn busybox_layer() -> &'static Vec<u8> {
    static LAYER: OnceLock<Vec<u8>> = OnceLock::new();
    LAYER.get_or_init(|| {
        let busybox = fs::read("/bin/busybox").unwrap();
        let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
        let mut writer = Writer::new();
        for path in ["bin/", "dev/", "etc/", "home/", "proc/", "root/", "sys/", "usr/", "var/"] {
            writer.directory(path, 0o755);
        }
        writer.directory("tmp/", 0o1777);
        let app = Entry { uid: 1000, gid: 1000, ..Entry::new("home/app/", Kind::Directory) };
        writer.entry(&app);
        writer.file("bin/busybox", 0o755, &busybox);
        for command in String::from_utf8_lossy(&list.stdout).lines().filter(|c| *c != "busybox") {
            writer.symlink(&format!("bin/{command}"), "busybox");
        }
        writer.file(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n",
        );
        writer.file("etc/group", 0o644, b"root:x:0:\napp:x:1000:\nextra:x:2000:app\n");
        writer.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needs;

    #[test]
    fn skopeo_reads_what_is_written() {
        needs!(Busybox, Skopeo);
        let image = Image::busybox("busybox:test");
        let folder = tempfile::tempdir().unwrap();
        for (transport, bytes) in
            [("docker-archive", image.docker_archive()), ("oci-archive", image.oci_archive())]
        {
            let path = folder.path().join(transport);
            fs::write(&path, bytes).unwrap();
            let output = Command::new("skopeo")
                .arg("inspect")
                .arg("--config")
                .arg(format!("{transport}:{}", path.display()))
                .output()
                .unwrap();
            assert!(output.status.success(), "{transport}: {output:?}");
            let config: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(config["config"]["Cmd"], json!(["sh"]));
        }
    }
}
