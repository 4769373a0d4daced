//! Registries, and ways to them, that fail.

use std::time::{Duration, Instant};

use transfer::TransferError;

use crate::fixture::{Content, House, client, failing, pull};
use crate::registry::{FakeRegistry, Reply};

const SIZE: usize = 400_000;

/// Pulls from a registry whose first `times` answers for the layer `at` are spoilt.
fn spoilt(
    at: usize,
    times: usize,
    spoil: impl Fn(Reply) -> Reply + Send + Sync + 'static,
) -> (FakeRegistry, House, Result<transfer::Pulled, TransferError>, Content) {
    let content = Content::new(SIZE);
    let start = format!("GET /v2/a/b/blobs/{}", content.layers[at]);
    let registry = failing(content.clone(), start, times, spoil);
    let house = House::new();
    let pulled = pull(&house, &client(), &format!("{}/a/b:1", registry.host()));
    (registry, house, pulled, content)
}

/// Nothing is left but what was complete, and the error says where, what and which.
fn check_refused(
    house: &House,
    registry: &FakeRegistry,
    error: &TransferError,
    digest: &oci::Digest,
) {
    let text = error.to_string();
    assert!(text.contains(&format!("{}/a/b", registry.host())), "{text}");
    assert!(text.contains(digest.hex()), "{text}");
    assert!(!house.stores.content.contains(digest).unwrap());
    assert!(house.stores.images.list().unwrap().is_empty());
    assert_eq!(house.leftovers(), 0);
}

#[test]
fn a_cut_transfer_goes_on_where_it_was_cut() {
    for at in 0..3 {
        let (registry, house, pulled, content) =
            spoilt(at, 3, |reply| Reply { cut_after: Some(70_000), ..reply });
        pulled.unwrap();
        house.stores.content.verify(&content.layers[at]).unwrap();
        let ranges: Vec<String> = registry
            .seen()
            .iter()
            .filter_map(|seen| seen.head.fields.get("range").map(str::to_owned))
            .collect();
        assert_eq!(ranges, ["bytes=70000-", "bytes=140000-", "bytes=210000-"]);
        assert_eq!(house.leftovers(), 0);
    }
}

#[test]
fn a_range_that_is_not_heeded_is_no_harm() {
    let content = Content::new(SIZE);
    let layer = format!("/v2/a/blobs/{}", content.layers[2]);
    let digest = content.layers[2].clone();
    let registry = FakeRegistry::new(move |seen| {
        let mut seen_whole = seen.clone();
        seen_whole.head.fields.remove("range");
        let reply = content.answer(&seen_whole);
        match seen.head.path() == layer && seen.head.fields.get("range").is_none() {
            true => Reply { cut_after: Some(100_000), ..reply },
            false => reply,
        }
    });
    let house = House::new();
    pull(&house, &client(), &format!("{}/a:1", registry.host())).unwrap();
    house.stores.content.verify(&digest).unwrap();
}

#[test]
fn silence_is_a_cut() {
    let began = Instant::now();
    let (_, house, pulled, _) = spoilt(0, 1, |reply| Reply { stall_after: Some(50_000), ..reply });
    pulled.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(house.leftovers(), 0);
}

#[test]
fn a_transfer_that_never_gets_on_is_given_up() {
    for at in 0..3 {
        let (registry, house, pulled, content) =
            spoilt(at, 1000, |reply| Reply { cut_after: Some(0), ..reply });
        let error = pulled.unwrap_err();
        assert!(matches!(error, TransferError::Broken { .. }), "{error}");
        check_refused(&house, &registry, &error, &content.layers[at]);
    }
}

#[test]
fn damage_is_told_from_a_bad_layer() {
    for at in 0..3 {
        let (registry, house, pulled, content) = spoilt(at, 1000, |mut reply| {
            let middle = reply.body.len() / 2;
            reply.body[middle] ^= 0x55;
            reply
        });
        let error = pulled.unwrap_err();
        assert!(matches!(error, TransferError::Mismatch { .. }), "layer {at}: {error}");
        check_refused(&house, &registry, &error, &content.layers[at]);
    }
}

#[test]
fn a_blob_of_another_size_is_refused() {
    for (at, more) in [(0, true), (0, false), (2, true), (2, false)] {
        let (registry, house, pulled, content) = spoilt(at, 1000, move |mut reply| {
            match more {
                true => reply.body.extend(b"more"),
                false => reply.body.truncate(reply.body.len() - 1),
            }
            reply
        });
        let error = pulled.unwrap_err();
        assert!(matches!(error, TransferError::Mismatch { .. }), "{error}");
        check_refused(&house, &registry, &error, &content.layers[at]);
    }
}

#[test]
fn html_is_no_blob_and_no_manifest() {
    let html = |reply: Reply| Reply {
        fields: vec![("Content-Type".into(), "text/html; charset=utf-8".into())],
        ..reply
    };
    let (registry, house, pulled, content) = spoilt(1, 1000, html);
    let error = pulled.unwrap_err();
    assert!(matches!(error, TransferError::Html { .. }), "{error}");
    check_refused(&house, &registry, &error, &content.layers[1]);

    let registry = failing(content, "GET /v2/a/b/manifests".into(), 1000, html);
    let error = pull(&house, &client(), &format!("{}/a/b:1", registry.host())).unwrap_err();
    assert!(matches!(error, TransferError::Html { .. }), "{error}");
}

#[test]
fn not_now_is_tried_again_later() {
    for status in [429, 500, 502, 503] {
        let (_, _, pulled, _) =
            spoilt(0, 3, move |_| Reply::new(status, "").with("Retry-After", "0"));
        pulled.unwrap();
    }
    let (_, _, pulled, _) = spoilt(0, 1000, |_| Reply::new(503, "").with("Retry-After", "0"));
    let error = pulled.unwrap_err();
    assert!(matches!(error, TransferError::Status { status: 503, .. }), "{error}");
}

#[test]
fn a_manifest_that_lies_is_refused() {
    let content = Content::new(10);
    let pulled = |spoil: fn(Reply) -> Reply| {
        let registry = failing(content.clone(), "GET /v2/a/b/manifests".into(), 1000, spoil);
        let house = House::new();
        let error = pull(&house, &client(), &format!("{}/a/b:1", registry.host())).unwrap_err();
        assert_eq!(house.leftovers(), 0);
        error
    };
    let error = pulled(|reply| Reply {
        fields: vec![("Content-Type".into(), oci::media_type::OCI_INDEX.into())],
        ..reply
    });
    assert!(matches!(error, TransferError::Document { .. }), "{error}");
    let error = pulled(|mut reply| {
        reply.body.push(b' ');
        reply
    });
    assert!(matches!(error, TransferError::Mismatch { .. }), "{error}");
    let error = pulled(|reply| Reply { body: vec![b' '; (4 << 20) + 1], ..reply });
    assert!(matches!(error, TransferError::Document { .. }), "{error}");
    let error = pulled(|reply| Reply { body: b"{".to_vec(), fields: vec![], ..reply });
    assert!(matches!(error, TransferError::Document { .. }), "{error}");
}

#[test]
fn redirects_are_followed_but_not_in_circles_nor_for_ever() {
    let content = Content::new(1000);
    let digest = content.layers[0].clone();
    let away = content.clone().registry();
    let location = format!("http://{}/v2/x/blobs/{digest}", away.host());
    let registry = failing(content.clone(), format!("GET /v2/a/blobs/{digest}"), 9, move |_| {
        Reply::new(307, "").with("Location", location.clone())
    });
    let house = House::new();
    pull(&house, &client(), &format!("{}/a:1", registry.host())).unwrap();
    assert_eq!(away.count("GET /v2/x/blobs"), 1);

    for location in ["/v2/a/manifests/1", "?round", "ftp://x/", ""] {
        let registry = FakeRegistry::new(move |seen| match seen.head.path() {
            "/v2/" => Reply::new(200, ""),
            _ => Reply::new(302, "").with("Location", location),
        });
        let error = pull(&house, &client(), &format!("{}/a:1", registry.host())).unwrap_err();
        assert!(matches!(error, TransferError::Redirect { .. }), "{location}: {error}");
    }
    let registry = FakeRegistry::new(|seen| match seen.head.path() {
        "/v2/" => Reply::new(200, ""),
        path => Reply::new(302, "").with("Location", format!("{path}x")),
    });
    let error = pull(&house, &client(), &format!("{}/a:1", registry.host())).unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
    assert!(registry.seen().len() <= 6);
}

#[test]
fn what_is_no_registry_is_called_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n");
        }
    });
    let house = House::new();
    let error = pull(&house, &client(), &format!("{host}/a:1")).unwrap_err();
    assert!(matches!(error, TransferError::Protocol { .. }), "{error}");
    drop(house);
}
