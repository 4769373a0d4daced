//! Package URLs. package-url specification 1.0, "purl".

use oci::{Platform, Reference};

/// `pkg:KIND/NAMESPACE/NAME@VERSION?key=value`; `name` may hold a namespace. Qualifiers without a
/// value are left out; the others must be given in the order of their keys.
pub fn package_url(kind: &str, name: &str, version: &str, qualifiers: &[(&str, &str)]) -> String {
    let name: Vec<String> =
        name.split('/').filter(|part| !part.is_empty()).map(|part| encode(part, false)).collect();
    let mut text = format!("pkg:{kind}/{}", name.join("/"));
    if !version.is_empty() {
        text += &format!("@{}", encode(version, false));
    }
    let pairs: Vec<String> = qualifiers
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", encode(value, true)))
        .collect();
    if !pairs.is_empty() {
        text += &format!("?{}", pairs.join("&"));
    }
    text
}

/// An image by its name: `pkg:docker/debian@12?platform=linux%2Famd64`.
pub fn reference_url(kind: &str, name: &Reference, platform: Option<&Platform>) -> String {
    let digest = name.digest().map(ToString::to_string).unwrap_or_default();
    let tag = match (name.tag(), name.digest()) {
        (Some(tag), _) => tag,
        (None, Some(_)) => "",
        (None, None) => "latest",
    };
    let platform = platform.map(ToString::to_string).unwrap_or_default();
    let qualifiers = [("digest", digest.as_str()), ("platform", platform.as_str())];
    package_url(kind, &name.familiar_repository(), tag, &qualifiers)
}

/// Escapes what a component or, with `value`, a qualifier's value may not hold.
fn encode(text: &str, value: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b':' => out.push(':'),
            // A space would be a plus otherwise, which is itself one in a version.
            _ if value || byte != b'/' => out += &format!("%{byte:02X}"),
            _ => out.push('/'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_urls_as_buildkit_gives_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let platform = Platform::parse("linux/amd64").unwrap();
        for (name, want) in [
            ("alpine", "pkg:docker/alpine@latest?platform=linux%2Famd64".to_owned()),
            ("h:5000/a/b:1", "pkg:docker/h:5000/a/b@1?platform=linux%2Famd64".to_owned()),
            (
                &format!("x/y@{digest}"),
                format!("pkg:docker/x/y?digest={digest}&platform=linux%2Famd64"),
            ),
        ] {
            let reference = name.parse().unwrap();
            assert_eq!(reference_url("docker", &reference, Some(&platform)), want, "{name}");
        }
    }

    #[test]
    fn packages_are_escaped() {
        let url = package_url(
            "deb",
            "debian/libstdc++6",
            "1:2+b1",
            &[("arch", ""), ("distro", "debian-12")],
        );
        assert_eq!(url, "pkg:deb/debian/libstdc%2B%2B6@1:2%2Bb1?distro=debian-12");
        assert_eq!(package_url("npm", "@a/b", "1", &[]), "pkg:npm/%40a/b@1");
    }
}
