//! Curves for people: an SVG of its own, without anything to draw it with.

use std::{
    fmt::{self, Write},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result};

use crate::{report, stage::Surroundings};

/// Lines in one frame, which begins at zero on both sides.
#[derive(Debug)]
pub(crate) struct Plot {
    title: String,
    across: &'static str,
    up: &'static str,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

// === impl Plot ===

impl Plot {
    /// Without lines yet; `across` and `up` say what the two sides are in.
    pub(crate) fn new(title: impl Into<String>, across: &'static str, up: &'static str) -> Self {
        Self { title: title.into(), across, up, lines: Vec::new() }
    }

    pub(crate) fn line(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) {
        self.lines.push(Line { name: name.into(), points: points.into_iter().collect() });
    }

    /// Writes `<name>.svg` in the run's directory, and returns its path.
    pub(crate) fn write(&self, name: &str, surroundings: &Surroundings) -> Result<PathBuf> {
        let path = report::directory(surroundings)?.join(format!("{name}.svg"));
        fs::write(&path, self.to_string()).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn most(&self, side: fn(&(f64, f64)) -> f64) -> f64 {
        let all = self.lines.iter().flat_map(|line| line.points.iter().map(side));
        round(all.fold(0.0, f64::max))
    }
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most_across, most_up) = (self.most(|point| point.0), self.most(|point| point.1));
        let x = |value: f64| LEFT + value / most_across * WIDTH;
        let y = |value: f64| TOP + HEIGHT - value / most_up * HEIGHT;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" font-size="12">"#,
            LEFT + WIDTH + RIGHT,
            TOP + HEIGHT + BOTTOM,
        )?;
        writeln!(f, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
        writeln!(f, r#"<text x="{LEFT}" y="20" font-size="14">{}</text>"#, escaped(&self.title))?;
        for step in 0..=STEPS {
            let share = f64::from(step) / f64::from(STEPS);
            let (across, up) = (share * most_across, share * most_up);
            writeln!(
                f,
                r##"<path d="M{LEFT} {0:.1}h{WIDTH}" stroke="#ddd"/><text x="{1}" y="{2:.1}" text-anchor="end">{up}</text>"##,
                y(up),
                LEFT - 6.0,
                y(up) + 4.0,
            )?;
            let below = TOP + HEIGHT + 16.0;
            writeln!(f, r#"<text x="{:.1}" y="{below}" text-anchor="middle">{across}</text>"#, x(across))?;
        }
        let middle = LEFT + WIDTH / 2.0;
        let (below, up) = (TOP + HEIGHT + 34.0, escaped(self.up));
        writeln!(f, r#"<text x="{middle}" y="{below}" text-anchor="middle">{}</text>"#, escaped(self.across))?;
        writeln!(f, r#"<text x="{LEFT}" y="{}">{up}</text>"#, TOP - 8.0)?;
        for (number, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let mut path = String::new();
            for (at, (across, up)) in line.points.iter().enumerate() {
                let command = if at == 0 { 'M' } else { 'L' };
                write!(path, "{command}{:.1} {:.1}", x(*across), y(*up))?;
            }
            writeln!(f, r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#)?;
            let (beside, from_top) = (LEFT + WIDTH + 10.0, TOP + 14.0 + 18.0 * number as f64);
            let name = escaped(&line.name);
            writeln!(f, r#"<text x="{beside}" y="{from_top}" fill="{colour}">{name}</text>"#)?;
        }
        writeln!(f, "</svg>")
    }
}

/// The next of 1, 2, 5, 10, 20, …, so that a side's steps are numbers that people use.
fn round(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= most).unwrap_or(10.0 * power)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const LEFT: f64 = 70.0;
const TOP: f64 = 50.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 280.0;
const RIGHT: f64 = 180.0;
const BOTTOM: f64 = 46.0;
const STEPS: u8 = 5;

/// To be told apart by those, too, who see few colours (Okabe and Ito).
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_its_last_point_is() {
        let mut plot = Plot::new("a < b", "s", "agents");
        plot.line("1000 agents", [(0.0, 0.0), (2.0, 1000.0)]);
        let svg = plot.to_string();
        assert!(svg.contains(r#"d="M70.0 330.0L630.0 50.0""#), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn a_side_ends_at_a_number_that_people_use() {
        assert_eq!([0.3, 1.0, 7.0, 13.0, 47.7, 10_000.0].map(round), [0.5, 1.0, 10.0, 20.0, 50.0, 10_000.0]);
        assert_eq!(round(0.0), 1.0);
    }
}
