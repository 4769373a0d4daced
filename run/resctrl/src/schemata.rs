//! The lines of `schemata`: what a class has of each resource, by domain.
//!
//! `L3:0=7f0;1=1f` is a mask of the cache's ways, in hexadecimal digits; `MB:0=20;1=70` is a share
//! of the memory bandwidth in percent (or MB/s), in decimal ones, which the kernel rounds up.

use std::path::Path;

use oci::runtime::IntelRdt;

/// What is asked for, in the order in which it is written: one line each.
pub(crate) fn lines(wanted: &IntelRdt) -> Vec<&str> {
    let texts = [wanted.l3_cache_schema.as_deref(), wanted.mem_bw_schema.as_deref()];
    let texts = texts.into_iter().flatten().chain(wanted.schemata.iter().map(String::as_str));
    texts.flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// The first line of `asked` that does not hold in a class whose file reads `text`, and what is
/// there instead. Domains and resources that are not asked for may be anything.
pub(crate) fn difference(asked: &[&str], text: &str, root: &Path) -> Option<(String, String)> {
    asked.iter().find_map(|line| {
        let (name, domains) = parse(line)?;
        let found = text.lines().find(|line| parse(line).is_some_and(|(found, _)| found == name));
        let there = found.and_then(parse).map(|(_, domains)| domains).unwrap_or_default();
        let holds = |(domain, value): &(&str, &str)| {
            let value = rounded(name, value, root);
            there.iter().any(|(id, have)| {
                same_number(id, domain) && number(name, have) == value && value.is_some()
            })
        };
        match domains.iter().all(holds) {
            true => None,
            false => {
                let found = found.map_or("none of it", str::trim);
                Some(((*line).to_owned(), found.to_owned()))
            }
        }
    })
}

/// A resource, and its domains with their values. `None` if it is no such line: the kernel says
/// what is wrong with it.
pub(crate) fn parse(line: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let (name, rest) = line.split_once(':')?;
    let domains = rest.split(';').map(str::trim).filter(|part| !part.is_empty());
    let domains = domains.map(|part| part.split_once('=')).collect::<Option<Vec<_>>>()?;
    Some((name.trim(), domains.into_iter().map(|(id, value)| (id.trim(), value.trim())).collect()))
}

fn same_number(one: &str, other: &str) -> bool {
    one.parse::<u64>().ok().is_some_and(|one| other.parse() == Ok(one))
}

/// Whether a resource is counted and not masked: `MB`, AMD's `SMBA`.
fn is_counted(name: &str) -> bool {
    matches!(name, "MB" | "SMBA")
}

fn number(name: &str, value: &str) -> Option<u64> {
    match is_counted(name) {
        true => value.parse().ok(),
        false => {
            let digits = value.strip_prefix("0x").or(value.strip_prefix("0X")).unwrap_or(value);
            u64::from_str_radix(digits, 16).ok()
        }
    }
}

/// The value as the kernel has it after it was written.
fn rounded(name: &str, value: &str, root: &Path) -> Option<u64> {
    let value = number(name, value)?;
    let step = std::fs::read_to_string(root.join("info").join(name).join("bandwidth_gran"));
    let step = step.ok().and_then(|text| text.trim().parse().ok()).filter(|step| *step > 0);
    match step {
        Some(step) if is_counted(name) => value.checked_next_multiple_of(step),
        _ => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_the_order_of_the_specification() {
        let wanted = IntelRdt {
            schemata: vec!["L2:0=f".into(), String::new()],
            mem_bw_schema: Some("MB:0=20".into()),
            l3_cache_schema: Some("L3:0=7f\nL3:1=f".into()),
            ..IntelRdt::default()
        };
        assert_eq!(lines(&wanted), ["L3:0=7f", "L3:1=f", "MB:0=20", "L2:0=f"]);
    }

    #[test]
    fn values_are_compared_and_not_their_digits() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("info/MB")).unwrap();
        std::fs::write(root.path().join("info/MB/bandwidth_gran"), "10\n").unwrap();
        let text = "    L3:0=007f0;1=fffff\n    MB:0= 20;1=100\n";
        let holds = |line| difference(&[line], text, root.path()).is_none();
        for line in ["L3:0=7F0", "L3:1=fffff;0=7f0", "MB:0=15", "MB:00=20", "MB:1=100;0=11;"] {
            assert!(holds(line), "{line}");
        }
        for line in ["L3:0=7f", "L3:2=1", "MB:0=21", "MB:0=f", "L2:0=1", "L3:0=0x7f0,1"] {
            assert!(!holds(line), "{line}");
        }
        let (asked, found) = difference(&["L3:0=7f0", "MB:0=70"], text, root.path()).unwrap();
        assert_eq!((asked.as_str(), found.as_str()), ("MB:0=70", "MB:0= 20;1=100"));
    }
}
