//! Decompression: every stream ends within its limits.
#![no_main]

use std::io::Read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = unpack::Limits {
        bytes: 1 << 24,
        ratio_grace_bytes: 1 << 20,
        window_bytes: 8 << 20,
        ..Default::default()
    };
    let Ok(mut stream) = unpack::decompress(bytes, &limits) else { return };
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0_u64;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        total += u64::try_from(count).expect("a buffer's length");
        assert!(total <= limits.bytes + (1 << 17), "{total} bytes from {}", bytes.len());
    }
});
