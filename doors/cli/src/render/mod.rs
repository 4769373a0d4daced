//! From values to text: sizes and times for people, tables, `--format`, and JSON.

mod format;
mod json;
mod table;
mod units;

pub(crate) use format::{Format, LABELS_BY_KEY, Row, check, print_rows, uses_field, uses_whole};
pub(crate) use json::{Inspector, pretty};
pub(crate) use table::Table;
pub(crate) use units::{ago, human_duration, human_size, local_time};
