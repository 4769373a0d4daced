//! Pushes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use transfer::{PushRequest, Silent, TransferError};

use crate::fixture::{Content, House, client, pull, reference};
use crate::registry::{FakeRegistry, Reply, Seen};

/// What was put into a registry.
#[derive(Default)]
struct Taken {
    blobs: HashSet<String>,
    manifest: Option<Vec<u8>>,
    sessions: usize,
}

/// A registry that takes blobs and one manifest. `spoil` may answer in its place.
fn taking(
    spoil: impl Fn(&Seen, &Taken) -> Option<Reply> + Send + Sync + 'static,
) -> (FakeRegistry, Arc<Mutex<Taken>>) {
    let taken = Arc::new(Mutex::new(Taken::default()));
    let inside = Arc::clone(&taken);
    let registry = FakeRegistry::new(move |seen| {
        let mut taken = inside.lock().unwrap();
        if let Some(reply) = spoil(seen, &taken) {
            taken.sessions += usize::from(seen.head.method == "POST");
            return reply;
        }
        let path = seen.head.path();
        let last = path.rsplit('/').next().unwrap();
        match seen.head.method.as_str() {
            "HEAD" if taken.blobs.contains(last) => Reply::new(200, ""),
            "HEAD" => Reply::new(404, ""),
            "POST" => {
                taken.sessions += 1;
                let location = format!("/upload/{}?state=a%20b", taken.sessions);
                Reply::new(202, "").with("Location", location)
            }
            "PUT" if path.starts_with("/upload/") => {
                let digest = seen.head.parameter("digest").unwrap();
                assert_eq!(content::sha256(&seen.body).to_string(), digest);
                assert_eq!(seen.head.parameter("state").as_deref(), Some("a b"));
                taken.blobs.insert(digest);
                Reply::new(201, "")
            }
            "PUT" => {
                taken.manifest = Some(seen.body.clone());
                Reply::new(201, "")
            }
            _ => Reply::new(200, ""),
        }
    });
    (registry, taken)
}

/// A house with an image, and its content.
fn house() -> (House, Content) {
    let content = Content::new(100_000);
    let registry = content.clone().registry();
    let house = House::new();
    pull(&house, &client(), &format!("{}/from/here:1", registry.host())).unwrap();
    (house, content)
}

fn push(house: &House, content: &Content, name: &str) -> Result<transfer::Pushed, TransferError> {
    let id = content.config.clone().unwrap();
    let name = reference(name);
    house.stores.images.tag(&name, &id).unwrap();
    let record = house.stores.images.get(&id).unwrap();
    let request = PushRequest { name, record, by_digest: false };
    transfer::push(&client(), &house.stores, &request, &Silent)
}

#[test]
fn an_image_goes_as_it_came() {
    let (house, content) = house();
    let (registry, taken) = taking(|_, _| None);
    let name = format!("{}/a/b:1", registry.host());

    let pushed = push(&house, &content, &name).unwrap();

    assert_eq!(Some(&pushed.digest), content.manifest.as_ref());
    let taken = taken.lock().unwrap();
    assert_eq!(taken.manifest.as_ref(), Some(&content.manifests["1"].1));
    assert_eq!(taken.blobs.len(), 4);
    let pinned = format!("{}/a/b@{}", registry.host(), pushed.digest);
    assert!(house.stores.images.resolve(&pinned).is_ok());
    drop(taken);
    // The manifest comes last.
    assert!(registry.seen().last().unwrap().line().starts_with("PUT /v2/a/b/manifests/1"));

    let before = registry.count("POST");
    push(&house, &content, &name).unwrap();
    assert_eq!(registry.count("POST"), before, "all was there");
}

#[test]
fn a_lost_session_is_begun_anew() {
    let (house, content) = house();
    let (registry, taken) = taking(|seen, taken| {
        let is_blob = seen.head.method == "PUT" && seen.head.path().starts_with("/upload/");
        (is_blob && taken.sessions <= 5).then(|| match taken.sessions % 2 {
            0 => Reply::new(404, ""),
            _ => Reply::new(0, ""),
        })
    });
    push(&house, &content, &format!("{}/a:1", registry.host())).unwrap();
    assert_eq!(taken.lock().unwrap().blobs.len(), 4);
}

#[test]
fn blobs_are_mounted_from_where_the_image_came() {
    let (house, content) = house();
    let (registry, _taken) = taking(|seen, _| {
        let from = seen.head.parameter("from")?;
        assert_eq!(from, "from/here");
        Some(Reply::new(201, ""))
    });
    // The same registry, as far as the names tell.
    let id = content.config.clone().unwrap();
    let source = format!("{}/from/here@{}", registry.host(), content.manifest.clone().unwrap());
    house.stores.images.tag(&reference(&source), &id).unwrap();

    push(&house, &content, &format!("{}/to:1", registry.host())).unwrap();

    // The configuration alone is sent.
    assert_eq!(registry.count("PUT /upload/"), 1);
}

#[test]
fn a_refusal_names_what_to_do() {
    let (house, content) = house();
    let (registry, _taken) = taking(|seen, _| {
        (seen.head.method == "POST")
            .then(|| Reply::new(403, r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#))
    });
    let error = push(&house, &content, &format!("{}/a:1", registry.host())).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("push access denied for"), "{text}");
    assert!(text.contains("kista login") && text.contains("not yours"), "{text}");
    assert_eq!(registry.count("PUT"), 0);
}
