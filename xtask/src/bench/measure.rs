//! Samples, what they say together, and how that is printed.

use std::error::Error;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a command took from outside; it must succeed.
pub(crate) fn time(command: &mut Command) -> Result<Duration, Box<dyn Error>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let output = command.spawn()?.wait_with_output()?;
    let taken = start.elapsed();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {stderr}", output.status).into());
    }
    Ok(taken)
}

/// What one contender's turns of one operation took, in the order of the turns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The value below which this part of the samples lies.
    fn quantile(&self, part: f64) -> f64 {
        let sorted = self.sorted();
        let last = sorted.len().saturating_sub(1);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let at = (part * last as f64).round() as usize;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn p90(&self) -> f64 {
        self.quantile(0.9)
    }

    /// The middle of the ratios to another contender, turn by turn.
    fn ratio_to(&self, other: &Self) -> f64 {
        let ratios = self.0.iter().zip(&other.0).map(|(own, other)| own / other);
        Self(ratios.collect()).median()
    }
}

/// Operations down, contenders across; the first contender is Kista.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) contenders: Vec<String>,
    /// Why others are not among them.
    pub(crate) absent: Vec<String>,
    rows: Vec<(String, Vec<Option<Samples>>)>,
}

impl Table {
    pub(crate) fn new(title: &str, unit: &'static str, contenders: Vec<String>) -> Self {
        Self { title: title.to_owned(), unit, contenders, absent: Vec::new(), rows: Vec::new() }
    }

    /// Adds an operation; `None` for a contender that does not have it.
    pub(crate) fn add(&mut self, operation: &str, samples: Vec<Option<Samples>>) {
        eprintln!("bench:   {operation}");
        self.rows.push((operation.to_owned(), samples));
    }

    /// Runs each contender's turn, over and over, and adds what the turns took in ms.
    pub(crate) fn turns(
        &mut self,
        operation: &str,
        count: usize,
        mut turn: impl FnMut(usize) -> Result<Option<Duration>, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let mut samples: Vec<Option<Samples>> =
            vec![Some(Samples::default()); self.contenders.len()];
        // One turn that is not counted, for all to be warm.
        for round in 0..=count {
            for (index, own) in samples.iter_mut().enumerate() {
                match (turn(index)?, own.as_mut()) {
                    (None, _) => *own = None,
                    (Some(taken), Some(own)) if round > 0 => own.0.push(taken.as_secs_f64() * 1e3),
                    _ => {}
                }
            }
        }
        self.add(operation, samples);
        Ok(())
    }

    /// `min / median / p90` of each, and for peers how many times Kista's that is.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("## {}\n\n", self.title);
        let _ = writeln!(
            out,
            "{}: min / median / p90, and the ratio to Kista turn by turn.\n",
            self.unit
        );
        let _ = writeln!(out, "| | {} |", self.contenders.join(" | "));
        let _ = writeln!(out, "|---|{}", "---|".repeat(self.contenders.len()));
        for (operation, samples) in &self.rows {
            let first = samples.first().and_then(Option::as_ref);
            let _ = write!(out, "| {operation} ");
            for (index, own) in samples.iter().enumerate() {
                let Some(own) = own else {
                    out.push_str("| - ");
                    continue;
                };
                let _ = write!(out, "| {}", figures(own));
                let ratio = first.map_or(f64::NAN, |first| own.ratio_to(first));
                if index > 0 && ratio.is_finite() {
                    let _ = write!(out, " (x{ratio:.1})");
                }
                out.push(' ');
            }
            out.push_str("|\n");
        }
        for line in &self.absent {
            let _ = writeln!(out, "\nAbsent: {line}");
        }
        out
    }

    /// All samples, for whoever wants to look closer.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(operation, samples)| {
            let each = self.contenders.iter().zip(samples).map(|(name, own)| {
                let Some(own) = own else { return (name.clone(), Value::Null) };
                let ratio = samples[0].as_ref().map(|first| own.ratio_to(first));
                let value = json!({"min": own.min(), "median": own.median(), "p90": own.p90(),
                    "ratio": ratio, "samples": own.0});
                (name.clone(), value)
            });
            json!({"operation": operation, "contenders": serde_json::Map::from_iter(each)})
        });
        json!({"title": self.title, "unit": self.unit, "absent": self.absent, "rows": Value::from_iter(rows)})
    }
}

fn figures(samples: &Samples) -> String {
    let shown = |value: f64| match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    };
    match samples.0.len() {
        1 => shown(samples.median()),
        _ => format!(
            "{} / **{}** / {}",
            shown(samples.min()),
            shown(samples.median()),
            shown(samples.p90())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_turn_by_turn() {
        let mut table = Table::new("t", "ms", vec!["kista".into(), "other".into(), "none".into()]);
        let own = Samples(vec![1.0, 2.0, 4.0]);
        let other = Samples(vec![10.0, 40.0, 40.0]);
        assert!((other.ratio_to(&own) - 10.0).abs() < 1e-9);
        table.add("run", vec![Some(own), Some(other), None]);
        let text = table.markdown();
        assert!(
            text.contains("| run | 1.00 / **2.00** / 4.00 | 10.0 / **40.0** / 40.0 (x10.0) | - |"),
            "{text}"
        );
    }
}
