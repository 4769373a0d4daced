//! References: what is accepted is written so that it reads back as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(reference) = text.parse::<oci::Reference>() else { return };
    for written in [reference.to_string(), reference.familiar()] {
        assert_eq!(written.parse().as_ref(), Ok(&reference), "{text:?} written as {written:?}");
    }
});
