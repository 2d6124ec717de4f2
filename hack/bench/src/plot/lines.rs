//! Lines: how one figure follows another.

use std::fmt::{self, Write};

use super::{
    frame::{Frame, Scale},
    legend::Colour,
};
use crate::contestants::Kind;

/// Lines in one frame, which begins at zero on both sides.
#[derive(Debug)]
pub(crate) struct Lines {
    title: String,
    across: &'static str,
    up: &'static str,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: String,
    colour: Colour,
    points: Vec<(f64, f64)>,
}

// === impl Lines ===

impl Lines {
    /// Without lines yet; `across` and `up` say what the two sides are in.
    pub(crate) fn new(title: impl Into<String>, across: &'static str, up: &'static str) -> Self {
        Self { title: title.into(), across, up, lines: Vec::new() }
    }

    /// Adds a contestant's line.
    pub(crate) fn of(&mut self, kind: Kind, points: impl IntoIterator<Item = (f64, f64)>) {
        self.push(kind.to_string(), Colour::of(kind), points);
    }

    /// Adds a line of another name.
    pub(crate) fn named(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) {
        self.push(name.into(), Colour::numbered(self.lines.len()), points);
    }

    fn push(&mut self, name: String, colour: Colour, points: impl IntoIterator<Item = (f64, f64)>) {
        let points = points.into_iter().filter(|(across, up)| across.is_finite() && up.is_finite());
        self.lines.push(Line { name, colour, points: points.collect() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.is_empty())
    }

    pub(super) fn names(&self) -> Vec<(String, Colour)> {
        self.lines.iter().map(|line| (line.name.clone(), line.colour)).collect()
    }

    fn scale(&self, side: fn(&(f64, f64)) -> f64) -> Scale {
        Scale::up_to(self.lines.iter().flat_map(|line| line.points.iter().map(side)).fold(0.0, f64::max))
    }

    pub(super) fn draw(&self, f: &mut fmt::Formatter<'_>, frame: Frame) -> fmt::Result {
        let (across, up) = (self.scale(|point| point.0), self.scale(|point| point.1));
        frame.up(f, &self.title, self.up, up)?;
        frame.across(f, self.across, across)?;
        for Line { colour, points, .. } in &self.lines {
            let places = points.iter().map(|point| (frame.x(across.share(point.0)), frame.y(up.share(point.1))));
            let mut path = String::new();
            for (number, (x, y)) in places.clone().enumerate() {
                let command = if number == 0 { 'M' } else { 'L' };
                write!(path, "{command}{x:.1} {y:.1}")?;
            }
            writeln!(f, r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#)?;
            if points.len() <= FEW {
                for (x, y) in places {
                    writeln!(f, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"/>"#)?;
                }
            }
        }
        Ok(())
    }
}

/// So few points are measurements, each to be seen; more are a curve.
const FEW: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Plot;

    fn drawn(lines: Lines) -> String {
        let mut plot = Plot::new("", "");
        plot.section("", [lines.into()]);
        plot.to_string()
    }

    #[test]
    fn a_line_ends_where_its_last_point_is() {
        let mut lines = Lines::new("attached", "s", "agents");
        lines.named("1000 < 10000", [(0.0, 0.0), (2.0, 1000.0)]);
        let svg = drawn(lines);
        // From the frame's one corner to the other.
        assert!(svg.contains(r#"d="M62.0 304.0L312.0 134.0""#), "{svg}");
        assert!(svg.contains("1000 &lt; 10000") && svg.contains(">s<") && svg.contains(">agents<"), "{svg}");
    }

    #[test]
    fn few_points_are_seen_and_many_are_a_curve() {
        let dots = |count: u32| {
            let mut lines = Lines::new("", "", "");
            lines.of(Kind::Ours, (0..count).map(|number| (f64::from(number), 1.0)));
            drawn(lines).matches("<circle").count()
        };
        assert_eq!((dots(3), dots(100)), (3, 0));
    }
}
