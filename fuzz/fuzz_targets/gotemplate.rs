//! Templates: no text breaks the parser, and what it accepts ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(template) = gotemplate::Template::parse(text) else { return };
    let data = serde_json::json!({"A": [1, "b", null], "B": {"c": 1.5}, "C": "text"});
    let _ = template.execute(&data);
});
