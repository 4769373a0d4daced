//! Heads, challenges, links, ranges and URLs: no panic, and what is written reads the same again.
#![no_main]

use http1::{ByteRange, Challenge, RequestHead, ResponseHead, Url};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(head)) = http1::read_head(&mut &data[..]) {
        if let Ok(parsed) = RequestHead::parse(&head) {
            let _ = (parsed.body().is_ok(), parsed.keeps_alive(), parsed.parameter("n"));
            let again = RequestHead::parse(&parsed.to_bytes()).unwrap();
            assert_eq!((again.method, again.target), (parsed.method, parsed.target));
            assert_eq!(again.fields, parsed.fields);
        }
        if let Ok(parsed) = ResponseHead::parse(&head) {
            let challenges = Challenge::all(&parsed.fields);
            assert!(challenges.iter().all(|challenge| !challenge.scheme.is_empty()));
            let _ = http1::next_link(&parsed.fields);
            if let Ok(mut body) = parsed.body("GET") {
                let mut rest = data.get(head.len()..).unwrap_or_default();
                let mut buffer = [0; 256];
                while body.read(&mut rest, &mut buffer).is_ok_and(|count| count > 0) {}
            }
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    for challenge in Challenge::parse(text) {
        let _ = challenge.get("realm");
    }
    if let Some(range) = ByteRange::parse(text) {
        let _ = range.of(1000);
    }
    let _ = http1::content_range(text);
    if let Ok(url) = Url::parse(text) {
        let again = format!("{}{}", url.origin, url.target);
        assert_eq!(Url::parse(&again).unwrap(), url);
        let _ = url.resolve(text);
    }
    let escaped = http1::encode_component(text);
    assert_eq!(http1::decode_component(&escaped).as_deref(), Some(text));
});
