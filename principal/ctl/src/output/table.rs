//! Text in columns.

/// Rows under a head, columns two spaces apart; no space at the end of a line.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        lines().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in lines() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `Label:  value` lines, the values one under the other.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(label, _)| label.chars().count() + 1).max().unwrap_or_default();
    let line = |(label, value): &(&str, String)| format!("{:width$}  {value}\n", format!("{label}:"));
    fields.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "x".into()], vec!["longer".into(), String::new()]];
        assert_eq!(table(&["NAME", "B"], &rows), "NAME    B\na       x\nlonger\n");
        assert_eq!(fields(&[("Key", "RSA".into()), ("Subject", "x".into())]), "Key:      RSA\nSubject:  x\n");
    }
}
