//! Asking before something is removed.

use std::io::{self, BufRead, Write};

use engine::Filters;

use crate::config_file::ConfigFile;
use crate::ui::Ui;

/// Asks whether to go on; anything but `y` is no.
pub(crate) fn confirm(warning: &str, ui: &mut Ui) -> io::Result<bool> {
    write!(ui.out(), "{warning}\nAre you sure you want to continue? [y/N] ")?;
    ui.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Asks for a line.
pub(crate) fn ask(question: &str, ui: &mut Ui) -> io::Result<String> {
    write!(ui.out(), "{question}")?;
    ui.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Asks for a line that the terminal does not show.
pub(crate) fn secret(question: &str, ui: &mut Ui) -> io::Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let answer = ask(question, ui);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    // The end of the line was not shown either.
    writeln!(ui.out())?;
    answer
}

/// The filters of the command line, and those that the user's configuration adds to every prune.
pub(crate) fn prune_filters(mut filters: Filters, config: &ConfigFile) -> Filters {
    for filter in &config.prune_filters {
        let Some((key, value)) = filter.split_once('=') else { continue };
        let has = |key: &str| {
            filters.0.get(key).is_some_and(|values| values.iter().any(|other| other == value))
        };
        let opposite = match key {
            "label" => "label!",
            "label!" => "label",
            _ => key,
        };
        // The command line has the last word where the two say opposite things.
        if !has(opposite) && !has(key) {
            // Without `=` there is nothing to add, and that is known to be there.
            let _ = filters.add(filter);
        }
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_the_last_word() {
        let config: ConfigFile =
            serde_json::from_str(r#"{"pruneFilters": ["label=keep", "until=10m", "nonsense"]}"#)
                .unwrap();
        let mut given = Filters::default();
        given.add("label!=keep").unwrap();
        let filters = prune_filters(given, &config);
        assert_eq!(filters.0.keys().collect::<Vec<_>>(), ["label!", "until"]);
    }
}
