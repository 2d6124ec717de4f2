//! Who has which colour.

use std::fmt;

use super::frame::escaped;
use crate::contestants::Kind;

/// One of the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(usize);

/// Names and their colours, in as many lines as they take.
#[derive(Debug)]
pub(super) struct Legend {
    lines: Vec<Vec<(f64, String, Colour)>>,
}

// === impl Colour ===

impl Colour {
    /// The same in every plot, whoever else takes part.
    pub(super) fn of(kind: Kind) -> Self {
        Self(kind as usize)
    }

    /// Of what is no contestant: those first that contestants seldom have.
    pub(super) fn numbered(number: usize) -> Self {
        Self(number + COMMON)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PALETTE.iter().cycle().nth(self.0).copied().unwrap_or_default())
    }
}

// === impl Legend ===

impl Legend {
    /// Each name once, in the order of their first appearance.
    pub(super) fn new(names: impl Iterator<Item = (String, Colour)>, width: f64) -> Self {
        let (mut seen, mut lines, mut line, mut left) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        for (name, colour) in names {
            if seen.contains(&name) {
                continue;
            }
            let taken = SQUARE + 6.0 + LETTER * name.chars().count() as f64 + GAP;
            if left + taken > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                left = 0.0;
            }
            seen.push(name.clone());
            line.push((left, name, colour));
            left += taken;
        }
        lines.push(line);
        Self { lines }
    }

    pub(super) fn height(&self) -> f64 {
        self.lines.len() as f64 * LINE
    }

    pub(super) fn draw(&self, f: &mut fmt::Formatter<'_>, left: f64, top: f64) -> fmt::Result {
        let mut top = top;
        for line in &self.lines {
            for (from_left, name, colour) in line {
                let (x, name) = (left + from_left, escaped(name));
                writeln!(
                    f,
                    r#"<rect x="{x:.1}" y="{top:.1}" width="{SQUARE}" height="{SQUARE}" fill="{colour}"/><text x="{:.1}" y="{:.1}">{name}</text>"#,
                    x + SQUARE + 6.0,
                    top + SQUARE - 1.0,
                )?;
            }
            top += LINE;
        }
        Ok(())
    }
}

/// To be told apart by those, too, who see few colours (Okabe and Ito); the first, for the yardstick, is none.
const PALETTE: [&str; 8] = ["#999999", "#e69f00", "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#000000"];

/// Contestants that are always there.
const COMMON: usize = 4;

const SQUARE: f64 = 12.0;
const LINE: f64 = 20.0;
const GAP: f64 = 22.0;

/// A letter's width, roughly: nothing here knows the reader's font.
const LETTER: f64 = 7.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contestants_have_different_colours() {
        let colours =
            [Kind::Direct, Kind::Chain, Kind::Ours, Kind::OursNoFilter].map(|kind| Colour::of(kind).to_string());
        assert_eq!(colours, ["#999999", "#e69f00", "#0072b2", "#56b4e9"]);
    }

    #[test]
    fn many_names_take_several_lines() {
        let names = || (0..20).map(|number| (format!("name {number}"), Colour::numbered(number)));
        let one = Legend::new(names().take(2), 400.0);
        let many = Legend::new(names(), 400.0);
        assert!(one.lines.len() == 1 && many.lines.len() > 3, "{many:?}");
        assert!(many.lines.iter().flatten().all(|(left, ..)| *left < 400.0), "{many:?}");
    }
}
