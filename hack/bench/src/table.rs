//! Plain tables: the first column to the left, figures to the right.

use std::fmt::{self, Display};

/// Rows under a heading; a row shorter than the heading ends in blanks.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    pub(crate) fn new(title: String, heading: &[&str]) -> Self {
        Self { title, rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let widths = self.widths();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line += &if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A figure that some rows do not have.
pub(crate) fn optional(figure: Option<f64>, render: impl Fn(f64) -> String) -> String {
    figure.map_or_else(|| "-".to_owned(), render)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_figures_right() {
        let mut table = Table::new("title".to_owned(), &["who", "ms"]);
        table.push(vec!["direct".to_owned(), "0.7".to_owned()]);
        table.push(vec!["é".to_owned(), "10.25".to_owned()]);
        assert_eq!(table.to_string(), "title\n  who        ms\n  direct    0.7\n  é       10.25\n");
    }
}
