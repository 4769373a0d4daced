//! `--help`: usage lines, options, lists of commands, in the layout of Docker's.

use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::command::Leaf;
use crate::dispatch;
use crate::flags::Flag;
use crate::tree::{self, Body, Category, Node};
use crate::ui::Ui;

/// `Usage:  kista run [OPTIONS] IMAGE`.
pub(crate) fn usage_line(path: &str, usage: &str) -> String {
    format!("Usage:  kista {path} {usage}").trim_end().to_owned()
}

/// The help of one command.
pub(crate) fn command(path: &str, about: &str, leaf: &Leaf, ui: &mut Ui) -> io::Result<()> {
    let width = terminal_width();
    let mut out = ui.out();
    writeln!(out, "{}\n\n{about}", usage_line(path, leaf.usage))?;
    let paths = tree::paths_of(leaf.path);
    if paths.len() > 1 {
        writeln!(out, "\nAliases:\n  {}", paths.join(", "))?;
    }
    options(leaf.flags, width, &mut out)
}

fn options(flags: &[Flag], width: usize, out: &mut impl Write) -> io::Result<()> {
    let mut shown: Vec<&Flag> =
        flags.iter().filter(|flag| !flag.hidden && is_usable(flag)).collect();
    shown.sort_by_key(|flag| flag.long);
    if !shown.is_empty() {
        writeln!(out, "\nOptions:")?;
        let titles: Vec<String> = shown.iter().map(|flag| title(flag)).collect();
        two_columns(
            titles.iter().map(String::as_str).zip(shown.iter().map(|f| f.help)),
            width,
            out,
        )?;
    }
    let mut refused: Vec<&Flag> =
        flags.iter().filter(|flag| !flag.hidden && !is_usable(flag)).collect();
    refused.sort_by_key(|flag| flag.long);
    if !refused.is_empty() {
        writeln!(out, "\nKnown, but not supported:")?;
        let names: Vec<String> = refused.iter().map(|flag| format!("--{}", flag.long)).collect();
        for line in wrap(&names.join(", "), width.saturating_sub(2)) {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// A refused flag counts as usable if some value of it does something.
fn is_usable(flag: &Flag) -> bool {
    let says_something = |value: &&str| !matches!(*value, "" | "0" | "0s" | "false");
    flag.refused.is_none_or(|refusal| refusal.harmless.iter().any(says_something))
}

fn title(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    format!("{short}--{} {}", flag.long, flag.kind).trim_end().to_owned()
}

/// The help of a group, such as `kista container`.
pub(crate) fn group(node: &Node, children: &[Node], out: &mut impl Write) -> io::Result<()> {
    let name = node.name;
    writeln!(out, "Usage:  kista {name} COMMAND\n\n{}\n\nCommands:", node.about)?;
    list(children.iter(), out)?;
    writeln!(out, "\nRun 'kista {name} COMMAND --help' for more information on a command.")
}

/// The help of the whole program.
pub(crate) fn root(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "Usage:  kista [OPTIONS] COMMAND\n\n\
         Builds, ships and runs containers, without a daemon"
    )?;
    for (category, heading) in [
        (Category::Common, "Common Commands"),
        (Category::Management, "Management Commands"),
        (Category::Other, "Commands"),
    ] {
        writeln!(out, "\n{heading}:")?;
        list(tree::ROOT.iter().filter(|node| node.category == category), out)?;
    }
    writeln!(out, "\nGlobal Options:")?;
    let flags = dispatch::global_flags();
    let mut shown: Vec<&Flag> = flags.iter().filter(|f| is_usable(f) && !f.hidden).collect();
    shown.sort_by_key(|flag| flag.long);
    let titles: Vec<String> = shown.iter().map(|flag| title(flag)).collect();
    let rows = titles.iter().map(String::as_str).zip(shown.iter().map(|flag| flag.help));
    two_columns(rows, terminal_width(), out)?;
    writeln!(out, "\nRun 'kista COMMAND --help' for more information on a command.")
}

/// The commands that are there, by name.
fn list<'a>(nodes: impl Iterator<Item = &'a Node>, out: &mut impl Write) -> io::Result<()> {
    let mut nodes: Vec<&Node> = nodes.filter(|node| !matches!(node.body, Body::Later(_))).collect();
    nodes.sort_by_key(|node| node.name);
    let rows = nodes.iter().map(|node| (node.name, node.about));
    two_columns(rows, terminal_width(), out)
}

fn two_columns<'a>(
    rows: impl Iterator<Item = (&'a str, &'a str)>,
    width: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let rows: Vec<(&str, &str)> = rows.collect();
    let left = rows.iter().map(|(title, _)| title.len()).max().unwrap_or(0).max(9);
    for (title, text) in rows {
        let mut lines = wrap(text, width.saturating_sub(left + 5).max(24)).into_iter();
        writeln!(out, "  {title:left$}   {}", lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(out, "  {:left$}   {line}", "")?;
        }
    }
    Ok(())
}

/// Breaks a text between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn terminal_width() -> usize {
    match rustix::termios::tcgetwinsize(io::stdout().as_fd()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_break_between_words() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaaa b", 3), ["aaaaaaaa", "b"]);
    }

    #[test]
    fn every_flag_and_command_has_a_help_text() {
        tree::walk(&mut |path, node| {
            assert!(!node.about.is_empty(), "{path}");
            assert!(!node.about.ends_with('.'), "{path}");
            if let Body::Leaf(leaf) = &node.body {
                for flag in leaf.flags {
                    assert!(!flag.help.is_empty(), "{path} --{}", flag.long);
                    assert!(!flag.help.ends_with('.'), "{path} --{}", flag.long);
                }
            }
        });
    }

    #[test]
    fn a_group_lists_its_commands() {
        let (node, children) = tree::ROOT
            .iter()
            .find_map(|node| match node.body {
                Body::Group(children) if node.name == "volume" => Some((node, children)),
                _ => None,
            })
            .unwrap();
        let mut out = Vec::new();
        group(node, children, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("Usage:  kista volume COMMAND\n\n"), "{text}");
        assert!(text.contains("\n  create      "), "{text}");
    }
}
