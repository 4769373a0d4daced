//! Who a process runs as.

use testkit::oci::{Bundle, Runtime};

/// CVE-2026-30892 (crun), CVE-2024-40635, CVE-2026-46680: a number that is written oddly, or is
/// too large, becomes root.
///
/// Seen to bite on crun 1.8.1, where some of these are root.
#[test]
fn numbers_are_exact_or_refused() {
    needs!(Root);
    let bundle = Bundle::idle();
    // Every text is also a name for root in the image.
    let texts = [
        "1",
        "2147483647",
        "2147483648",
        "4294967294",
        "4294967295",
        "4294967296",
        "9223372036854775808",
        "-1",
        "0x1",
        "1e3",
        "1:",
        "1:2",
        "99999999999999999999",
    ];
    let names: String = texts.iter().map(|name| format!("{name}:x:0:0::/:/bin/sh\n")).collect();
    bundle.file("etc/passwd", format!("root:x:0:0:root:/:/bin/sh\n{names}"));
    let container = Runtime::under_test().create(&bundle);
    container.start();
    for text in texts {
        let flag = format!("--user={text}");
        let out = container.exec_with(&[&flag], &["id", "-u"]);
        let number = text.split(':').next().unwrap();
        assert!(out.code != 0 || out.stdout.trim() == number, "{text}: {out:?}");
    }
}
