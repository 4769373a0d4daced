//! How an image came to be. SLSA provenance 1.0 and 0.2, with BuildKit's parameters and metadata.

use std::collections::BTreeMap;

use oci::{Descriptor, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::DigestSet;

/// The predicate type of version 1.
pub const PREDICATE_1: &str = "https://slsa.dev/provenance/v1";
/// The predicate type of version 0.2.
pub const PREDICATE_02: &str = "https://slsa.dev/provenance/v0.2";
/// What the parameters of version 1 mean.
pub const BUILD_TYPE_1: &str =
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
/// What those of version 0.2 mean.
pub const BUILD_TYPE_02: &str = "https://mobyproject.org/buildkit@v1";

/// A version of the document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// 1.
    #[default]
    V1,
    /// 0.2.
    V02,
}

/// How an image came to be, in no version yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provenance {
    /// Where the Dockerfile is.
    pub source: ConfigSource,
    /// What was asked for.
    pub request: Parameters,
    /// What the builder ran on: `linux/amd64`.
    pub platform: String,
    /// The steps; `None` if they are not told.
    pub steps: Option<Vec<Step>>,
    /// What went into the image.
    pub materials: Vec<Material>,
    /// Who built.
    pub builder_id: String,
    /// Tells this build from others.
    pub invocation_id: Option<String>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The sources of the steps and their layers.
    pub details: Details,
    /// Whether all parameters are told.
    pub has_all_parameters: bool,
    /// Whether all materials are told.
    pub has_all_materials: bool,
    /// Whether nothing came from anywhere but the materials.
    pub is_hermetic: bool,
    /// Whether the builder says that another build would give the same.
    pub is_reproducible: bool,
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConfigSource {
    /// The context, if it is not local.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Its content.
    #[serde(skip_serializing_if = "DigestSet::is_empty")]
    pub digest: DigestSet,
    /// The file in it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// `dockerfile.v0`
    pub frontend: String,
    /// `build-arg:NAME`, `label:NAME`, `target`...
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// The secrets that steps asked for: their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Wanted>,
    /// The agents that steps asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<Wanted>,
    /// Directories of the machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locals: Vec<Local>,
}

/// A secret or an agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Wanted {
    /// Its name.
    pub id: String,
    /// Whether the step goes on without.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A directory of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Local {
    /// What the build calls it.
    pub name: String,
}

/// Something that went into an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Material {
    /// Which.
    pub uri: String,
    /// Its content.
    #[serde(skip_serializing_if = "DigestSet::is_empty")]
    pub digest: DigestSet,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// `step3`
    pub id: String,
    /// What it does, in the words of BuildKit's operations.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub op: Value,
    /// `step2:0`: what it starts from and looks at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

/// The sources of the steps and their layers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Details {
    /// Where steps stand in the Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// `step3:0`: the layers of its result, in each way in which they are written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, Vec<Vec<Descriptor>>>,
}

/// Where steps stand in the Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Source {
    /// By step: `{"locations": [{"ranges": [{"start": {"line": 1}, "end": {"line": 1}}]}]}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub locations: BTreeMap<String, Value>,
    /// The files.
    pub infos: Vec<SourceInfo>,
}

/// A file that steps stand in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceInfo {
    /// Its name.
    pub filename: String,
    /// `Dockerfile`
    pub language: String,
    /// Its bytes, in base64.
    pub data: String,
}

impl Provenance {
    /// The predicate's type and the predicate.
    pub fn predicate(&self, version: Version) -> (&'static str, Value) {
        match version {
            Version::V1 => (PREDICATE_1, self.version_1()),
            Version::V02 => (PREDICATE_02, self.version_02()),
        }
    }

    fn build_config(&self) -> Option<Value> {
        self.steps.as_ref().map(|steps| json!({ "llbDefinition": steps }))
    }

    fn version_1(&self) -> Value {
        let mut internal = json!({ "builderPlatform": self.platform });
        if let Some(steps) = self.build_config() {
            internal["buildConfig"] = steps;
        }
        let mut definition = json!({
            "buildType": BUILD_TYPE_1,
            "externalParameters": { "configSource": self.source, "request": self.request },
            "internalParameters": internal,
        });
        if !self.materials.is_empty() {
            definition["resolvedDependencies"] = json!(self.materials);
        }
        let mut metadata = json!({});
        set(&mut metadata, "invocationId", &self.invocation_id);
        set(&mut metadata, "startedOn", &self.started);
        set(&mut metadata, "finishedOn", &self.finished);
        metadata["buildkit_metadata"] = json!(self.details);
        set(&mut metadata, "buildkit_hermetic", &self.is_hermetic.then_some(true));
        metadata["buildkit_completeness"] = json!({
            "request": self.has_all_parameters,
            "resolvedDependencies": self.has_all_materials,
        });
        set(&mut metadata, "buildkit_reproducible", &self.is_reproducible.then_some(true));
        json!({
            "buildDefinition": definition,
            "runDetails": { "builder": { "id": self.builder_id }, "metadata": metadata },
        })
    }

    fn version_02(&self) -> Value {
        let mut source = json!(self.source);
        if let Some(path) = source.as_object_mut().and_then(|source| source.remove("path")) {
            source["entryPoint"] = path;
        }
        let mut predicate = json!({
            "builder": { "id": self.builder_id },
            "buildType": BUILD_TYPE_02,
            "invocation": {
                "configSource": source,
                "parameters": self.request,
                "environment": { "platform": self.platform },
            },
        });
        if !self.materials.is_empty() {
            predicate["materials"] = json!(self.materials);
        }
        if let Some(steps) = self.build_config() {
            predicate["buildConfig"] = steps;
        }
        let mut metadata = json!({});
        set(&mut metadata, "buildInvocationID", &self.invocation_id);
        set(&mut metadata, "buildStartedOn", &self.started);
        set(&mut metadata, "buildFinishedOn", &self.finished);
        metadata["completeness"] = json!({
            "parameters": self.has_all_parameters,
            "environment": true,
            "materials": self.has_all_materials,
        });
        metadata["reproducible"] = json!(self.is_reproducible);
        metadata["https://mobyproject.org/buildkit@v1#metadata"] = json!(self.details);
        let hermetic = "https://mobyproject.org/buildkit@v1#hermetic";
        set(&mut metadata, hermetic, &self.is_hermetic.then_some(true));
        predicate["metadata"] = metadata;
        predicate
    }
}

fn set(object: &mut Value, key: &str, value: &Option<impl Serialize>) {
    if let Some(value) = value {
        object[key] = json!(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Provenance {
        Provenance {
            source: ConfigSource { path: "Dockerfile".into(), ..ConfigSource::default() },
            request: Parameters { frontend: "dockerfile.v0".into(), ..Parameters::default() },
            platform: "linux/amd64".into(),
            materials: vec![Material {
                uri: "pkg:docker/alpine@latest".into(),
                digest: DigestSet::from([("sha256".into(), "00".into())]),
            }],
            builder_id: "https://b".into(),
            started: Some(Timestamp::from_unix(0, 0)),
            has_all_parameters: true,
            ..Provenance::default()
        }
    }

    #[test]
    fn version_1_is_written_as_buildkit_does() {
        let (kind, predicate) = example().predicate(Version::V1);
        assert_eq!(kind, PREDICATE_1);
        let definition = &predicate["buildDefinition"];
        assert_eq!(definition["buildType"], BUILD_TYPE_1);
        assert_eq!(definition["externalParameters"]["configSource"]["path"], "Dockerfile");
        assert_eq!(definition["externalParameters"]["request"]["frontend"], "dockerfile.v0");
        assert_eq!(definition["internalParameters"], json!({"builderPlatform": "linux/amd64"}));
        assert_eq!(definition["resolvedDependencies"][0]["digest"]["sha256"], "00");
        assert_eq!(
            predicate["runDetails"],
            json!({
                "builder": {"id": "https://b"},
                "metadata": {
                    "startedOn": "1970-01-01T00:00:00Z",
                    "buildkit_metadata": {},
                    "buildkit_completeness": {"request": true, "resolvedDependencies": false},
                },
            })
        );
    }

    #[test]
    fn version_02_has_the_same_in_its_own_words() {
        let (kind, predicate) = example().predicate(Version::V02);
        assert_eq!(kind, PREDICATE_02);
        assert_eq!(predicate["buildType"], BUILD_TYPE_02);
        assert_eq!(predicate["builder"]["id"], "https://b");
        assert_eq!(predicate["invocation"]["configSource"], json!({"entryPoint": "Dockerfile"}));
        assert_eq!(predicate["invocation"]["environment"], json!({"platform": "linux/amd64"}));
        assert_eq!(predicate["materials"][0]["uri"], "pkg:docker/alpine@latest");
        assert_eq!(predicate["metadata"]["buildStartedOn"], "1970-01-01T00:00:00Z");
        assert_eq!(predicate["metadata"]["completeness"]["materials"], false);
        assert_eq!(predicate["metadata"]["reproducible"], false);
    }
}
