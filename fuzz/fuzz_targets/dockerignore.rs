//! Ignore files: a walk from the root and a question about one path come to the same answer.
#![no_main]

use dockerfile::ignore::{Above, Patterns};

libfuzzer_sys::fuzz_target!(|input: (&[u8], &str)| {
    let (file, path) = input;
    let Ok(patterns) = Patterns::read(file) else { return };
    let asked = patterns.matches(path);
    let mut above = Above::default();
    let mut walked = false;
    for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]).filter(|at| *at > 0) {
        (walked, above) = patterns.matches_below(&path[..end], &above);
    }
    // With exceptions a walk and a question may differ, as they do in moby.
    if !patterns.has_exceptions() && !path.is_empty() {
        assert_eq!(asked, walked, "{file:?} {path:?}");
    }
});
