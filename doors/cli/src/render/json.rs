//! What `inspect` prints: JSON with four blanks, or a template over it.

use std::io::{self, Write};

use gotemplate::{Missing, Options, Template};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// JSON with four blanks to a level.
pub(crate) fn pretty(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(
        &mut bytes,
        PrettyFormatter::with_indent(b"    "),
    ))?;
    Ok(bytes)
}

/// Fields that hold maps of any keys: one that is not there is no value, and no mistake.
const MAPS: [&str; 17] = [
    "Annotations",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Null",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
    "EndpointsConfig",
    "Status",
    "UsageData",
];

/// Fields that are left out where they are empty.
const OPTIONAL: [&str; 16] = [
    "Author",
    "Comment",
    "ContainerIDFile",
    "ExecIDs",
    "Health",
    "Healthcheck",
    "Init",
    "Mounts",
    "Profile",
    "Shell",
    "SizeRootFs",
    "SizeRw",
    "StopSignal",
    "StopTimeout",
    "Subpath",
    "Variant",
];

/// Collects what is inspected, and prints it at the end.
#[derive(Debug)]
pub(crate) struct Inspector {
    form: Form,
    found: Vec<Value>,
    printed: String,
}

#[derive(Debug)]
enum Form {
    Pretty,
    Compact,
    Template(Box<Template>),
}

impl Inspector {
    /// For what `--format` says. The error is for the user, who gets exit code 64.
    pub(crate) fn new(format: &str) -> Result<Self, String> {
        let form = match format {
            "" => Form::Pretty,
            "json" => Form::Compact,
            text => Form::Template(Box::new(
                Template::parse(text)
                    .map_err(|error| format!("template parsing error: {error}"))?,
            )),
        };
        Ok(Self { form, found: Vec::new(), printed: String::new() })
    }

    /// Takes one thing. The error is for the user.
    pub(crate) fn add(&mut self, thing: &impl Serialize) -> Result<(), String> {
        let value = serde_json::to_value(thing).map_err(|error| error.to_string())?;
        let Form::Template(template) = &self.form else {
            self.found.push(value);
            return Ok(());
        };
        let missing = Missing::NoEntry { maps: &MAPS, optional: &OPTIONAL };
        let text = template
            .execute_with(&value, &Options { missing, header: false })
            .map_err(|error| format!("template parsing error: {error}"))?;
        self.printed.push_str(&text);
        self.printed.push('\n');
        Ok(())
    }

    /// Prints what was taken; nothing at all is an empty list, or an empty line of a template.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.form {
            Form::Template(_) if self.printed.is_empty() => writeln!(out),
            Form::Template(_) => write!(out, "{}", self.printed),
            Form::Pretty => {
                out.write_all(&pretty(&self.found)?)?;
                writeln!(out)
            }
            Form::Compact => {
                serde_json::to_writer(&mut *out, &self.found)?;
                writeln!(out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(format: &str, things: &[Value]) -> String {
        let mut inspector = Inspector::new(format).unwrap();
        for thing in things {
            if let Err(error) = inspector.add(thing) {
                return error;
            }
        }
        let mut out = Vec::new();
        inspector.print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lists_are_indented_by_four() {
        let thing = serde_json::json!({"Id": "x", "List": [], "Map": {}, "Deep": {"a": [1]}});
        assert_eq!(
            inspect("", &[thing]),
            "[\n    {\n        \"Id\": \"x\",\n        \"List\": [],\n        \"Map\": {},\n        \
             \"Deep\": {\n            \"a\": [\n                1\n            ]\n        }\n    }\n]\n"
        );
        assert_eq!(inspect("", &[]), "[]\n");
        assert_eq!(inspect("json", &[serde_json::json!({"a": 1})]), "[{\"a\":1}]\n");
    }

    #[test]
    fn templates_print_a_line_each() {
        let thing = |id: &str| serde_json::json!({"Id": id, "Labels": {"a": "1"}});
        assert_eq!(inspect("{{.Id}}", &[thing("x"), thing("y")]), "x\ny\n");
        assert_eq!(inspect("{{.Id}}", &[]), "\n");
        assert_eq!(inspect("{{.Labels.nope}}", &[thing("x")]), "<no value>\n");
        assert_eq!(
            inspect("{{.Foo}}", &[thing("x")]),
            "template parsing error: template: :1:2: executing \"\" at <.Foo>: \
             map has no entry for key \"Foo\""
        );
        assert_eq!(
            Inspector::new("{{foo").unwrap_err(),
            "template parsing error: template: :1: function \"foo\" not defined"
        );
    }
}
