//! Platforms: what an image runs on. image-spec 1.1.1, image-index.md, "platform".

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operating system and a processor, by Go's names (`linux`, `amd64`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, `386`, `arm`...
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// The version of the operating system; Windows only.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system; Windows only.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The processor's variant, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The machine's own.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self { architecture: architecture.into(), os: "linux".into(), ..Self::default() }
    }

    /// Parses `os/arch[/variant]` as `--platform` takes it; `None` when it has another form.
    ///
    /// Common other names are folded: `x86_64` is `amd64`, `aarch64` is `arm64`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (os, arch) = (parts.next()?, parts.next()?);
        let variant = parts.next();
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if parts.next().is_some() || !word(os) || !word(arch) || !variant.is_none_or(word) {
            return None;
        }
        let arch = arch.to_ascii_lowercase();
        let (architecture, variant) = match (arch.as_str(), variant) {
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant.filter(|v| *v != "v1")),
            ("aarch64" | "arm64", variant) => ("arm64", variant.filter(|v| *v != "v8")),
            ("i386" | "i686", variant) => ("386", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            (other, variant) => (other, variant),
        };
        Some(Self {
            architecture: architecture.into(),
            os: os.to_ascii_lowercase(),
            variant: variant.map(str::to_owned),
            ..Self::default()
        })
    }

    /// Whether an image for `self` serves somebody who asked for `wanted`.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(out, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_parse_and_normalise() {
        for (text, want) in [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/x86_64", Some("linux/amd64")),
            ("Linux/aarch64/v8", Some("linux/arm64")),
            ("linux/arm/v7", Some("linux/arm/v7")),
            ("linux", None),
            ("linux/", None),
            ("a/b/c/d", None),
            ("linux/a b", None),
        ] {
            assert_eq!(Platform::parse(text).map(|p| p.to_string()).as_deref(), want, "{text}");
        }
    }
}
