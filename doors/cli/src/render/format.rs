//! `--format`: tables, Go templates and JSON over rows of named texts.

use std::io::{self, Write};

use gotemplate::{Missing, Options, Template};
use serde_json::{Map, Value};

use super::Table;

/// What a list looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns with heads; the template of a line, with tabs between the columns.
    Table(String),
    /// A template for each line.
    Template(String),
    /// One JSON object to a line.
    Json,
}

/// One line's texts by the names of their placeholders, in alphabetical order.
pub(crate) type Row = Map<String, Value>;

impl Format {
    /// What `--format` says: `table`, `table TEMPLATE`, `json` or a template. The first of them,
    /// or nothing, is `default_table`.
    pub(crate) fn parse(text: &str, default_table: &str) -> Self {
        let unescape = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
        match text {
            "" | "table" => Self::Table(default_table.to_owned()),
            "json" => Self::Json,
            _ => match text.strip_prefix("table") {
                Some(rest) => Self::Table(unescape(rest.trim_matches(' '))),
                None => Self::Template(unescape(text.trim_matches(' '))),
            },
        }
    }

    /// The template's text.
    fn template(&self) -> &str {
        match self {
            Self::Table(text) | Self::Template(text) => text,
            Self::Json => "{{json .}}",
        }
    }
}

/// Prints rows. `heads` holds a column head for each placeholder; `type_name` is the name that
/// errors give the row. The error is for the user.
pub(crate) fn print_rows(
    format: &Format,
    type_name: &str,
    heads: &[(&str, &str)],
    mut rows: Vec<Row>,
    out: &mut impl Write,
) -> io::Result<Result<(), String>> {
    let (text, labels) = extract_labels(format.template());
    let template = match Template::parse(&text) {
        Ok(template) => template,
        Err(error) => return Ok(Err(format!("template parsing error: {error}"))),
    };
    let mut head: Row =
        heads.iter().map(|(name, head)| ((*name).to_owned(), Value::from(*head))).collect();
    for (at, label) in labels.iter().enumerate() {
        let title = label.rsplit('.').next().unwrap_or(label).replace(['-', '_'], " ");
        head.insert(format!("{LABEL_FIELD}{at}"), title.into());
        for row in &mut rows {
            let value = row.get(LABELS_BY_KEY).and_then(|labels| labels.get(label)).cloned();
            row.insert(format!("{LABEL_FIELD}{at}"), value.unwrap_or_else(|| "".into()));
        }
    }
    let missing = Missing::NoField { type_name };
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|mut row| {
            row.remove(LABELS_BY_KEY);
            Value::Object(row)
        })
        .collect();
    let options = Options { missing, header: false };
    let lines = sys::parallel::map(&rows, |row| template.execute_with(row, &options));
    let lines: Vec<String> = match lines.into_iter().collect() {
        Ok(lines) => lines,
        Err(error) => return Ok(Err(format!("template parsing error: {error}"))),
    };
    if let Format::Table(_) = format {
        let mut table = Table::new(10, 3);
        let options = Options { missing, header: true };
        if let Ok(line) = template.execute_with(&Value::Object(head), &options) {
            table.push(&line);
        }
        lines.iter().for_each(|line| table.push(line));
        table.print(out)?;
    } else {
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Ok(()))
}

/// Tries a template out before anything is asked of the engine. The error is for the user.
pub(crate) fn check(
    format: &Format,
    type_name: &str,
    heads: &[(&str, &str)],
) -> Result<(), String> {
    let (text, labels) = extract_labels(format.template());
    let template =
        Template::parse(&text).map_err(|error| format!("failed to parse template: {error}"))?;
    let mut row: Row = heads.iter().map(|(name, _)| ((*name).to_owned(), "".into())).collect();
    row.extend((0..labels.len()).map(|at| (format!("{LABEL_FIELD}{at}"), "".into())));
    let options = Options { missing: Missing::NoField { type_name }, header: false };
    match template.execute_with(&Value::Object(row), &options) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("failed to execute template: {error}")),
    }
}

/// Whether a template's text names the placeholder: what is costly is only asked for then.
pub(crate) fn uses_field(format: &Format, name: &str) -> bool {
    match format {
        Format::Json => true,
        _ => {
            let text = format.template();
            text.contains(&format!(".{name}"))
                || text.contains("json .}")
                || text.contains("json . ")
        }
    }
}

/// Whether a template may look at a row as a whole (`{{json .}}`, `{{range .}}`), so that all of
/// its placeholders are needed: whenever a dot is not followed by a name.
pub(crate) fn uses_whole(format: &Format) -> bool {
    let names = |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_alphabetic());
    match format {
        Format::Json => true,
        _ => format.template().split('.').skip(1).any(|rest| !names(rest)),
    }
}

/// Under this name a row carries its labels as an object, for `.Label "key"`.
pub(crate) const LABELS_BY_KEY: &str = "\0labels";
const LABEL_FIELD: &str = "Label__";

/// Turns `.Label "key"`, which is a method in Go, into fields of their own; returns the keys.
fn extract_labels(text: &str) -> (String, Vec<String>) {
    let mut out = String::with_capacity(text.len());
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(".Label") {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let after = found[".Label".len()..].trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '`'));
        let key = quote.and_then(|quote| after[1..].split_once(quote));
        match key {
            Some((key, tail)) if found.len() - ".Label".len() > after.len() => {
                out.push_str(&format!(".{LABEL_FIELD}{}", labels.len()));
                labels.push(key.to_owned());
                rest = tail;
            }
            _ => {
                out.push_str(".Label");
                rest = &found[".Label".len()..];
            }
        }
    }
    out.push_str(rest);
    (out, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: &str, rows: &[(&str, &str)]) -> Result<String, String> {
        let format = Format::parse(format, "{{.ID}}\t{{.Name}}");
        let rows = rows.iter().map(|(id, name)| {
            let mut row = Row::new();
            row.insert("ID".into(), (*id).into());
            row.insert("Name".into(), (*name).into());
            row.insert(LABELS_BY_KEY.into(), serde_json::json!({"com.x.some-key": id}));
            row
        });
        let mut out = Vec::new();
        let heads = [("ID", "THING ID"), ("Name", "NAME")];
        print_rows(&format, "*formatter.Thing", &heads, rows.collect(), &mut out).unwrap()?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_kind_of_format() {
        let rows = [("1", "one"), ("2", "two")];
        for (format, want) in [
            ("", "THING ID   NAME\n1          one\n2          two\n"),
            ("table", "THING ID   NAME\n1          one\n2          two\n"),
            ("table {{.Name}}\\t{{.ID}}", "NAME      THING ID\none       1\ntwo       2\n"),
            ("{{.Name}}:{{.ID}}", "one:1\ntwo:2\n"),
            ("json", "{\"ID\":\"1\",\"Name\":\"one\"}\n{\"ID\":\"2\",\"Name\":\"two\"}\n"),
            ("table {{.Label \"com.x.some-key\"}}", "some key\n1\n2\n"),
            ("{{.Label `nope`}}|{{.ID}}", "|1\n|2\n"),
        ] {
            assert_eq!(print(format, &rows).as_deref(), Ok(want), "{format}");
        }
        assert_eq!(print("table", &[]).as_deref(), Ok("THING ID   NAME\n"));
        assert_eq!(print("{{.ID}}", &[]).as_deref(), Ok(""));
    }

    #[test]
    fn mistakes_are_named_in_gos_words() {
        assert_eq!(
            print("{{.Foo}}", &[("1", "x")]).unwrap_err(),
            "template parsing error: template: :1:2: executing \"\" at <.Foo>: \
             can't evaluate field Foo in type *formatter.Thing"
        );
        assert_eq!(
            print("{{foo", &[]).unwrap_err(),
            "template parsing error: template: :1: function \"foo\" not defined"
        );
    }

    #[test]
    fn a_template_is_tried_out() {
        let check = |text| check(&Format::parse(text, ""), "*T", &[("ID", "ID")]);
        assert_eq!(check("{{.ID}} {{.Label \"x\"}}"), Ok(()));
        assert!(
            check("{{.Foo}}").unwrap_err().starts_with("failed to execute template: template:")
        );
        assert!(check("{{foo").unwrap_err().starts_with("failed to parse template: template:"));
    }

    #[test]
    fn fields_are_found_in_templates() {
        let format = |text| Format::parse(text, "");
        assert!(uses_field(&format("{{.Size}}"), "Size"));
        assert!(uses_field(&format("json"), "Size"));
        assert!(!uses_field(&format("{{.ID}}"), "Size"));
    }
}
