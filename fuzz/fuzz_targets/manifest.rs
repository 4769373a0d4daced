//! Manifests and indexes: one thing or refused, and what is taken reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transfer::Document;

fuzz_target!(|data: &[u8]| {
    let Ok((document, kind)) = Document::parse(data, None) else { return };
    let is_index = matches!(document, Document::Index(_));
    assert_eq!(is_index, oci::media_type::is_index(&kind));
    // Under its own type it is the same, and under the other kind's it is nothing.
    assert_eq!(Document::parse(data, Some(&kind)).unwrap().0, document);
    let other = match is_index {
        true => oci::media_type::OCI_MANIFEST,
        false => oci::media_type::OCI_INDEX,
    };
    assert!(Document::parse(data, Some(other)).is_err());
});
