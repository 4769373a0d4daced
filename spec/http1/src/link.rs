//! `Link`: where the next page is; entity tags without their quotes.

use crate::Fields;

/// The target of the first link with `rel="next"`, as it stands there: absolute or relative.
///
/// RFC 8288, section 3; distribution-spec 1.1.1, "Listing Tags".
pub fn next_link(fields: &Fields) -> Option<&str> {
    for value in fields.all("link") {
        let mut rest = value;
        while let Some((target, behind)) =
            rest.split_once('<').and_then(|(_, text)| text.split_once('>'))
        {
            let parameters = behind.split('<').next().unwrap_or_default();
            let is_next = parameters.split(';').any(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                let value = value.trim().trim_end_matches([',', ' ']).trim_matches('"');
                name.trim().eq_ignore_ascii_case("rel") && value.eq_ignore_ascii_case("next")
            });
            if is_next {
                return Some(target);
            }
            rest = behind;
        }
    }
    None
}

/// An entity tag without its quotes and without the mark of a weak one.
pub fn unquote(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (value, want) in [
            (r#"</v2/a/tags/list?n=2&last=b>; rel="next""#, Some("/v2/a/tags/list?n=2&last=b")),
            (r#"<a>; rel=prev, <b>; rel=next"#, Some("b")),
            (r#"<a>; title="x"; rel="next", <b>"#, Some("a")),
            ("<a>", None),
            ("a; rel=next", None),
            ("<a; rel=next", None),
        ] {
            let mut fields = Fields::new();
            fields.append("Link", value);
            assert_eq!(next_link(&fields), want, "{value}");
        }
    }
}
