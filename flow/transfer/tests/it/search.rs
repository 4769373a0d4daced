//! What registries have: searches, what is said about manifests, and layers that are elsewhere.

use serde_json::json;
use transfer::{FoundRepository, TransferError};

use crate::fixture::{Content, House, client, pull, reference};
use crate::registry::{FakeRegistry, Reply};

#[test]
fn a_search_is_docker_hubs_or_none() {
    let registry = FakeRegistry::new(|seen| match seen.head.path() {
        "/v1/search" => {
            assert_eq!(seen.head.parameter("q").as_deref(), Some("a b"));
            assert_eq!(seen.head.parameter("n").as_deref(), Some("2"));
            assert_eq!(seen.authorization(), None);
            let one = |name: &str, stars: u64| json!({"name": name, "description": "d", "star_count": stars, "is_official": true});
            let list =
                json!({"num_results": 3, "results": [one("x", 1), one("y", 2), one("z", 3)]});
            Reply::new(200, list.to_string())
        }
        _ => Reply::new(200, ""),
    });
    let found = client().search(&registry.host(), "a b", 2).unwrap();
    let want = FoundRepository {
        name: "x".into(),
        description: "d".into(),
        stars: 1,
        is_official: true,
        is_automated: false,
    };
    assert_eq!((found.len(), &found[0]), (2, &want));

    for reply in [
        Reply::new(404, "404 page not found"),
        Reply::new(401, "{}"),
        Reply::new(200, "<html>").with("Content-Type", "text/html"),
        Reply::new(200, "{}"),
        Reply::new(200, "nonsense"),
    ] {
        let registry = FakeRegistry::new(move |seen| match seen.head.path() {
            "/v1/search" => reply.clone(),
            _ => Reply::new(200, ""),
        });
        let error = client().search(&registry.host(), "x", 25).unwrap_err();
        assert!(matches!(error, TransferError::NoSearch { .. }), "{error}");
        assert!(error.to_string().contains(&registry.host()), "{error}");
    }
}

#[test]
fn what_is_said_is_found_by_tag_where_there_is_no_better_way() {
    let mut content = Content::new(10);
    let subject = content.manifest.clone().unwrap();
    let entry = |kind: &str, bytes: &[u8]| {
        json!({"mediaType": oci::media_type::OCI_MANIFEST, "digest": content::sha256(bytes),
            "size": 3, "artifactType": kind})
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX,
        "manifests": [entry("a/sbom", b"1"), entry("a/signature", b"2")]})
    .to_string()
    .into_bytes();
    content.tag(&format!("sha256-{}", subject.hex()), oci::media_type::OCI_INDEX, index);
    let registry = content.registry();
    let repository = client().repository(&reference(&format!("{}/a", registry.host()))).unwrap();
    assert_eq!(repository.referrers(&subject, None).unwrap().len(), 2);
    let found = repository.referrers(&subject, Some("a/sbom")).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, content::sha256(b"1"));
    assert_eq!(repository.referrers(&content::sha256(b"other"), None).unwrap(), []);
}

#[test]
fn what_is_said_comes_page_by_page_and_never_in_a_circle() {
    let subject = content::sha256(b"subject");
    let listing = |last: &'static str| {
        let path = format!("/v2/a/referrers/{subject}");
        let registry = FakeRegistry::new(move |seen| {
            if seen.head.path() != path {
                return Reply::new(200, "");
            }
            let page = seen.head.parameter("p").unwrap_or_default();
            let entry = json!({"mediaType": oci::media_type::OCI_MANIFEST,
                "digest": content::sha256(page.as_bytes()), "size": 1, "artifactType": "t"});
            let index = json!({"schemaVersion": 2, "manifests": [entry]});
            let reply = Reply::new(200, index.to_string());
            let next = match page.as_str() {
                "" => "2",
                "2" => "3",
                _ => last,
            };
            match next {
                "" => reply,
                next => reply.with("Link", format!("<?p={next}>; rel=\"next\"")),
            }
        });
        let repository =
            client().repository(&reference(&format!("{}/a", registry.host()))).unwrap();
        repository.referrers(&subject, Some("t"))
    };
    assert_eq!(listing("").unwrap().len(), 3);
    assert!(listing("2").unwrap_err().to_string().contains("circle"));
}

#[test]
fn a_layer_that_may_not_be_distributed_is_fetched_from_its_own_place() {
    let honest = Content::new(5000);
    let layer = honest.layers[2].clone();
    let elsewhere = honest.clone().registry();
    let pulled = |urls: Vec<String>, spoil: bool| {
        let mut content = honest.clone();
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&content.manifests["1"].1).unwrap();
        manifest["layers"][2]["mediaType"] =
            "application/vnd.oci.image.layer.nondistributable.v1.tar".into();
        manifest["layers"][2]["urls"] = json!(urls);
        content.blobs.remove(&layer.to_string());
        if spoil {
            // What has the name of another layer is refused wherever it is from.
            manifest["layers"][2]["digest"] = json!(content::sha256(b"other"));
        }
        content.tag("1", oci::media_type::OCI_MANIFEST, manifest.to_string().into_bytes());
        let registry = content.registry();
        let house = House::new();
        let outcome = pull(&house, &client(), &format!("{}/a:1", registry.host()));
        assert_eq!(house.leftovers(), 0);
        outcome
    };
    let good = format!("http://{}/v2/x/blobs/{layer}", elsewhere.host());
    pulled(vec!["ftp://x/y".into(), good.clone()], false).unwrap();
    let seen = elsewhere.seen();
    assert!(seen.iter().all(|seen| seen.authorization().is_none()));
    assert_eq!(seen.len(), 1);
    assert!(matches!(pulled(vec![], false).unwrap_err(), TransferError::NoBlob { .. }));
    let error = pulled(vec![good], true).unwrap_err();
    assert!(matches!(error, TransferError::Mismatch { .. }), "{error}");
}
