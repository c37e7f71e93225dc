//! What is told: tables on standard output, the same as JSON, and curves as SVG.

use serde_json::{Map, Value, json};

use crate::numbers::Ratio;
use crate::svg::Chart;

/// Everything that was measured.
#[derive(Default)]
pub struct Report {
    parts: Map<String, Value>,
    charts: Vec<(String, Chart)>,
}

impl Report {
    /// Prints a table and keeps it under `part`.
    pub fn table(&mut self, part: &str, title: &str, columns: &[&str], rows: &[(String, Vec<Cell>)]) {
        println!("\n{title}");
        let cells: Vec<Vec<String>> =
            rows.iter().map(|(_, row)| row.iter().map(Cell::text).collect()).collect();
        let first = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let width = |column: usize| {
            let widest =
                cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(columns[column].chars().count())
        };
        print!("{:first$}", "");
        for (column, name) in columns.iter().enumerate() {
            print!("  {name:>width$}", width = width(column));
        }
        println!();
        for ((name, _), row) in rows.iter().zip(&cells) {
            print!("{name:first$}");
            for (column, cell) in row.iter().enumerate() {
                print!("  {cell:>width$}", width = width(column));
            }
            println!();
        }
        let rows: Map<String, Value> = rows
            .iter()
            .map(|(name, row)| {
                let row: Map<String, Value> =
                    columns.iter().map(|name| (*name).to_owned()).zip(row.iter().map(Cell::json)).collect();
                (name.clone(), Value::Object(row))
            })
            .collect();
        self.keep(part, title, Value::Object(rows));
    }

    /// Prints a line and keeps it.
    pub fn line(&mut self, part: &str, text: &str) {
        println!("{text}");
        let kept = self.part(part).entry("notes").or_insert_with(|| json!([]));
        if let Value::Array(notes) = kept {
            notes.push(json!(text));
        }
    }

    /// Keeps a chart, and its numbers.
    pub fn chart(&mut self, part: &str, name: &str, chart: Chart) {
        self.keep(part, &format!("{name}.svg"), chart.json());
        self.charts.push((name.to_owned(), chart));
    }

    pub fn json(&self, machine: &Value) -> Value {
        json!({ "machine": machine, "parts": self.parts })
    }

    /// Every chart by name.
    pub fn charts(&self) -> impl Iterator<Item = (&str, &Chart)> {
        self.charts.iter().map(|(name, chart)| (name.as_str(), chart))
    }

    fn keep(&mut self, part: &str, title: &str, value: Value) {
        self.part(part).insert(title.to_owned(), value);
    }

    fn part(&mut self, part: &str) -> &mut Map<String, Value> {
        let part = self.parts.entry(part).or_insert_with(|| json!({}));
        part.as_object_mut().expect("parts are objects")
    }
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// A number with so many decimals.
    Number(f64, usize),
    /// A ratio, with what two equal contestants differ by in the same run.
    Ratio { ratio: Ratio, twin: Option<Ratio> },
    /// Nothing to say.
    Empty,
}

impl Cell {
    /// A ratio that is told only where it claims more than the twins differ by.
    pub fn ratio(ratio: Option<Ratio>, twin: Option<Ratio>) -> Self {
        ratio.map_or(Self::Empty, |ratio| Self::Ratio { ratio, twin })
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number, decimals) => format!("{number:.decimals$}"),
            Self::Ratio { ratio, twin: Some(twin) } if twin.claim() >= ratio.claim() => {
                format!("refused: the twin has {:.2}", twin.value)
            }
            Self::Ratio { ratio, .. } => format!("{:.2} ({:.2}-{:.2})", ratio.value, ratio.low, ratio.high),
            Self::Empty => "-".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Number(number, _) => json!(number),
            Self::Ratio { ratio, twin } => {
                let refused = twin.is_some_and(|twin| twin.claim() >= ratio.claim());
                let value = if refused { Value::Null } else { json!(ratio.value) };
                json!({ "ratio": value, "low": ratio.low, "high": ratio.high, "refused": refused,
                        "twin": twin.map(|twin| twin.value) })
            }
            Self::Empty => Value::Null,
        }
    }
}
