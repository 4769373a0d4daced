//! BuildKit's status messages, for programs: one object of JSON a line.

use std::io::Write;

use engine::BuildOutcome;
use oci::Timestamp;
use serde_json::{Value, json};

use super::{Shown, View};
use crate::ui::Ui;

/// Prints each event at once.
#[derive(Debug)]
pub(super) struct Json;

/// A digest that names a step: BuildKit's clients want one, and nothing more of it.
fn vertex(number: usize) -> String {
    format!("sha256:{number:064x}")
}

fn print(value: &Value, ui: &mut Ui) {
    let _ = writeln!(ui.err(), "{value}");
}

impl View for Json {
    fn began(&mut self, shown: &Shown, ui: &mut Ui) {
        let started = Timestamp::now().to_string();
        let digest = vertex(shown.number);
        let vertex = json!({"digest": digest, "name": shown.name, "started": started});
        print(&json!({"vertexes": [vertex]}), ui);
    }

    fn line(&mut self, shown: &Shown, line: &str, error: bool, ui: &mut Ui) {
        let log = json!({
            "vertex": vertex(shown.number),
            "stream": if error { 2 } else { 1 },
            "data": base64(format!("{line}\n").as_bytes()),
            "timestamp": Timestamp::now().to_string(),
        });
        print(&json!({"logs": [log]}), ui);
    }

    fn ended(&mut self, shown: &Shown, ui: &mut Ui) {
        let Some((outcome, took)) = &shown.ended else { return };
        let now = std::time::SystemTime::now();
        let started = Timestamp::from_system(now.checked_sub(*took).unwrap_or(now));
        let mut vertex = json!({
            "digest": vertex(shown.number),
            "name": shown.name,
            "started": started.to_string(),
            "completed": Timestamp::from_system(now).to_string(),
        });
        match outcome {
            BuildOutcome::Cached => vertex["cached"] = true.into(),
            BuildOutcome::Failed(why) => vertex["error"] = why.clone().into(),
            BuildOutcome::Canceled => vertex["error"] = "context canceled".into(),
            BuildOutcome::Done => {}
        }
        print(&json!({"vertexes": [vertex]}), ui);
    }

    fn internal(&mut self, number: usize, name: &str, _lines: &str, ui: &mut Ui) {
        let now = Timestamp::now().to_string();
        let vertex =
            json!({"digest": vertex(number), "name": name, "started": now, "completed": now});
        print(&json!({"vertexes": [vertex]}), ui);
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let byte = |at: usize| u32::from(piece.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place > piece.len() {
                text.push('=');
            } else {
                text.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn bytes_are_encoded() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
