//! Indexes that are brought whole, and sent whole again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use transfer::{Platforms, PullRequest, PushNamedRequest, Silent};

use crate::fixture::{Content, House, client, reference};
use crate::registry::{FakeRegistry, Reply};

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": content::sha256(bytes), "size": bytes.len()})
}

/// A repository with an index of two images and what is said about each of them, under `all`.
fn repository() -> (Content, oci::Digest) {
    let mut content = Content::new(2000);
    let own = content.manifests["1"].1.clone();
    let mut foreign: Value = serde_json::from_slice(&own).unwrap();
    let config = &content.blobs[&content.config.as_ref().unwrap().to_string()];
    let config = String::from_utf8(config.clone()).unwrap();
    let config = config.replace(&oci::Platform::host().architecture, "s390x").into_bytes();
    foreign["config"] = descriptor(oci::media_type::OCI_CONFIG, &config);
    content.blobs.insert(content::sha256(&config).to_string(), config);
    let foreign = foreign.to_string().into_bytes();
    let mut entries = Vec::new();
    for (architecture, manifest) in
        [(oci::Platform::host().architecture.as_str(), own), ("s390x", foreign)]
    {
        let mut entry = descriptor(oci::media_type::OCI_MANIFEST, &manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        let statement = format!("{{\"about\": \"{architecture}\"}}").into_bytes();
        let empty = format!("{{\"of\": \"{architecture}\"}}").into_bytes();
        let said = json!({
            "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST,
            "config": descriptor(oci::media_type::OCI_CONFIG, &empty),
            "layers": [descriptor("application/vnd.in-toto+json", &statement)],
        })
        .to_string()
        .into_bytes();
        let mut about = descriptor(oci::media_type::OCI_MANIFEST, &said);
        about["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        about["annotations"] = json!({"vnd.docker.reference.digest": entry["digest"]});
        for blob in [statement, empty] {
            content.blobs.insert(content::sha256(&blob).to_string(), blob);
        }
        content.tag(architecture, oci::media_type::OCI_MANIFEST, manifest);
        content.tag(&format!("about-{architecture}"), oci::media_type::OCI_MANIFEST, said);
        entries.extend([entry, about]);
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX, "manifests": entries})
    .to_string()
    .into_bytes();
    let digest = content::sha256(&index);
    content.tag("all", oci::media_type::OCI_INDEX, index);
    (content, digest)
}

/// What a registry was given: blobs and manifests by their paths.
type Given = Arc<Mutex<HashMap<String, Vec<u8>>>>;

fn taking() -> (FakeRegistry, Given) {
    let given = Given::default();
    let inside = Arc::clone(&given);
    let registry = FakeRegistry::new(move |seen| {
        let path = seen.head.path().to_owned();
        match seen.head.method.as_str() {
            "HEAD" => Reply::new(404, ""),
            "POST" => Reply::new(202, "").with("Location", "/upload"),
            "PUT" => {
                let name = seen.head.parameter("digest").unwrap_or(path);
                inside.lock().unwrap().insert(name, seen.body.clone());
                Reply::new(201, "")
            }
            _ => Reply::new(200, ""),
        }
    });
    (registry, given)
}

#[test]
fn an_index_comes_whole_with_what_it_says_and_goes_as_it_came() {
    let (content, digest) = repository();
    let blobs: Vec<String> = content.blobs.keys().cloned().collect();
    let registry = content.registry();
    let house = House::new();
    let name = reference(&format!("{}/a:all", registry.host()));
    let pull = |platforms| {
        let request = PullRequest { reference: name.clone(), platforms };
        transfer::pull(&client(), &house.stores, &request, &Silent).unwrap()
    };
    let push = || {
        let named = house.stores.images.named(&name).unwrap().unwrap();
        let (target, given) = taking();
        let to = reference(&format!("{}/b:all", target.host()));
        let request = PushNamedRequest { name: to, named };
        let pushed = transfer::push_named(&client(), &house.stores, &request, &Silent).unwrap();
        let given = given.lock().unwrap().clone();
        (pushed, given)
    };
    pull(Platforms::Host);
    let (pushed, given) = push();
    assert!(pushed.is_partial && pushed.digest != digest);
    assert_eq!(given.keys().filter(|path| path.contains("/manifests/")).count(), 1);

    let pulled = pull(Platforms::All);
    assert_eq!((pulled.is_new, &pulled.digest), (true, &digest));
    assert!(!pull(Platforms::All).is_new);
    let named = house.stores.images.named(&name).unwrap().unwrap();
    assert_eq!((named.others.len(), named.id.clone()), (1, pulled.id));
    let (pushed, given) = push();
    assert_eq!((pushed.is_partial, &pushed.digest), (false, &digest));
    for blob in &blobs {
        assert!(given.contains_key(blob), "{blob} was not sent");
    }
    // Two images, two statements by their digests, and the index by its tag, which is the same.
    assert_eq!(given.keys().filter(|path| path.contains("/manifests/")).count(), 5);
    assert_eq!(content::sha256(&given["/v2/b/manifests/all"]), digest);
    // A collection takes nothing of it.
    let live = archive::list_blobs(&house.stores.content, &house.stores.images, &named).unwrap();
    assert_eq!(live.len(), 1 + 2 * 3, "the index, and of each statement three blobs");
    assert_eq!(house.leftovers(), 0);
}
