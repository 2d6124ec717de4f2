//! The frame around what is drawn: where it stands, its two sides, and the grid behind it.

use std::fmt;

/// How the figures of one side become places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From zero on, in so many steps.
    Steps { step: f64, steps: f64 },
    /// From one power of ten to a higher one: for what would else be too small to be seen.
    Powers { least: f64, most: f64 },
}

/// The place of one panel on its plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) width: f64,
    top: f64,
}

// === impl Scale ===

impl Scale {
    /// From zero to a number that people use, which is at least this one.
    pub(super) fn up_to(most: f64) -> Self {
        if !most.is_finite() || most <= 0.0 {
            return Self::Steps { step: 1.0, steps: 1.0 };
        }
        let power = 10_f64.powf(most.log10().floor());
        let steps = |digit: f64| (most / (digit * power)).ceil();
        let digit = [0.1, 0.2, 0.5, 1.0, 2.0].into_iter().find(|digit| steps(*digit) <= MOST_STEPS).unwrap_or(5.0);
        Self::Steps { step: digit * power, steps: steps(digit) }
    }

    /// Both are above zero.
    pub(super) fn powers(least: f64, most: f64) -> Self {
        // What is smallest must still be seen.
        let least = (least * 0.7).log10().floor();
        Self::Powers { least, most: most.log10().ceil().max(least + 1.0) }
    }

    /// Where a figure stands, as a share of the side.
    pub(super) fn share(self, figure: f64) -> f64 {
        let share = match self {
            Self::Steps { step, steps } => figure / (step * steps),
            Self::Powers { .. } if figure <= 0.0 => 0.0,
            Self::Powers { least, most } => (figure.log10() - least) / (most - least),
        };
        share.clamp(0.0, 1.0)
    }

    /// The figures that are written beside it.
    pub(super) fn marks(self) -> impl Iterator<Item = f64> {
        let (first, last) = match self {
            Self::Steps { steps, .. } => (0.0, steps),
            Self::Powers { least, most } => (least, most),
        };
        let numbers = std::iter::successors(Some(first), |number| Some(number + 1.0));
        numbers.take_while(move |number| *number <= last).map(move |number| match self {
            Self::Steps { step, .. } => number * step,
            Self::Powers { .. } => 10_f64.powf(number),
        })
    }
}

// === impl Frame ===

impl Frame {
    /// That of a panel whose corner is there, and which is so wide.
    pub(super) fn of_panel(left: f64, top: f64, width: f64) -> Self {
        Self { left: left + LEFT, width: width - LEFT - RIGHT, top: top + TOP }
    }

    pub(super) fn x(self, share: f64) -> f64 {
        self.left + share * self.width
    }

    pub(super) fn y(self, share: f64) -> f64 {
        self.bottom() - share * HEIGHT
    }

    pub(super) fn bottom(self) -> f64 {
        self.top + HEIGHT
    }

    /// The title, and the side that goes up with its grid.
    pub(super) fn up(self, f: &mut fmt::Formatter<'_>, title: &str, unit: &str, scale: Scale) -> fmt::Result {
        let Self { left, width, top } = self;
        let powers = if matches!(scale, Scale::Powers { .. }) { ", logarithmic" } else { "" };
        let (title, unit) = (escaped(title), escaped(unit));
        writeln!(f, r#"<text x="{left}" y="{:.1}" font-size="13">{title}</text>"#, top - 26.0)?;
        writeln!(f, r##"<text x="{left}" y="{:.1}" font-size="11" fill="#555">{unit}{powers}</text>"##, top - 10.0)?;
        for mark in scale.marks() {
            let (y, told) = (self.y(scale.share(mark)), Figure(mark));
            writeln!(
                f,
                r##"<path d="M{left} {y:.1}h{width}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{told}</text>"##,
                left - 6.0,
                y + 4.0,
            )?;
        }
        Ok(())
    }

    /// The side that goes across, where it is one of figures.
    pub(super) fn across(self, f: &mut fmt::Formatter<'_>, unit: &str, scale: Scale) -> fmt::Result {
        for mark in scale.marks() {
            self.below(f, self.x(scale.share(mark)), 16.0, &Figure(mark).to_string())?;
        }
        self.below(f, self.x(0.5), 32.0, unit)
    }

    /// A word below the frame.
    pub(super) fn below(self, f: &mut fmt::Formatter<'_>, x: f64, by: f64, word: &str) -> fmt::Result {
        let y = self.bottom() + by;
        writeln!(f, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle">{}</text>"#, escaped(word))
    }
}

/// A figure with as many digits as one can take in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure(pub(super) f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == f64::INFINITY {
            return f.write_str("never");
        }
        let (figure, thousands) = if self.0.abs() >= 10_000.0 { (self.0 / 1000.0, "k") } else { (self.0, "") };
        let digits = match figure.abs() {
            size if size >= 99.95 => 0,
            size if size >= 9.995 => 1,
            size if size >= 0.0995 => 2,
            _ => 3,
        };
        let told = format!("{figure:.digits$}");
        let told = if digits > 0 { told.trim_end_matches('0').trim_end_matches('.') } else { &told };
        // Nothing is less than nothing.
        write!(f, "{}{thousands}", if told == "-0" { "0" } else { told })
    }
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const HEIGHT: f64 = 170.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;

/// A panel is its frame and what stands around it.
pub(super) const PANEL_HEIGHT: f64 = TOP + HEIGHT + 48.0;

const MOST_STEPS: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_ends_at_a_number_that_people_use() {
        let end = |most| Scale::up_to(most).marks().last().unwrap();
        let close = |left: f64, right: f64| (left - right).abs() < 1e-9 * right.abs();
        for (most, expected) in
            [(0.3, 0.3), (1.0, 1.0), (7.0, 8.0), (13.0, 15.0), (47.7, 50.0), (366.0, 400.0), (10_000.0, 10_000.0)]
        {
            assert!(close(end(most), expected), "{most}: {}", end(most));
        }
        assert_eq!([0.0, -1.0, f64::NAN, f64::INFINITY].map(end), [1.0; 4]);
    }

    #[test]
    fn on_a_side_of_powers_a_tenth_is_always_as_far() {
        let scale = Scale::powers(0.7, 201.0);
        assert_eq!(scale.marks().collect::<Vec<_>>(), [0.1, 1.0, 10.0, 100.0, 1000.0]);
        assert!((scale.share(10.0) - 0.5).abs() < 1e-9);
        assert_eq!(scale.share(0.0), 0.0);
        assert_eq!(scale.share(1e9), 1.0);
        assert!(Scale::powers(0.1, 0.1).share(0.1) > 0.0);
    }

    #[test]
    fn a_figure_has_three_digits() {
        let told =
            [0.0, -0.0001, 0.05, 0.7559, 9.999, 99.96, 12.34, 4389.2, 137_000.0].map(|one| Figure(one).to_string());
        assert_eq!(told, ["0", "0", "0.05", "0.76", "10", "100", "12.3", "4389", "137k"]);
    }
}
