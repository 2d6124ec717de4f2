//! Bars: one for each contestant, side by side, in groups.

use std::fmt;

use super::{
    frame::{Figure, Frame, Scale, escaped},
    legend::Colour,
};
use crate::contestants::Kind;

/// Groups of bars in one frame.
#[derive(Debug)]
pub(crate) struct Bars {
    title: String,
    unit: &'static str,
    groups: Vec<Group>,
}

/// What is compared.
#[derive(Debug)]
struct Group {
    name: String,
    bars: Vec<(Kind, f64)>,
}

// === impl Bars ===

impl Bars {
    /// Without groups yet; `unit` is what the bars are in.
    pub(crate) fn new(title: impl Into<String>, unit: &'static str) -> Self {
        Self { title: title.into(), unit, groups: Vec::new() }
    }

    /// Adds a group; who has no figure is not in it, and a group of nobody is none. What never came took for ever: it is
    /// above all else, and pale.
    pub(crate) fn group(&mut self, name: impl Into<String>, bars: impl IntoIterator<Item = (Kind, f64)>) {
        let bars = bars.into_iter().filter(|(_, figure)| !figure.is_nan()).collect::<Vec<_>>();
        if !bars.is_empty() {
            self.groups.push(Group { name: name.into(), bars });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn names(&self) -> Vec<(String, Colour)> {
        let bars = self.groups.iter().flat_map(|group| &group.bars);
        bars.map(|(kind, _)| (kind.to_string(), Colour::of(*kind))).collect()
    }

    /// Powers of ten where else bars could not be compared by eye: all of a group, or all but one of many.
    fn scale(&self) -> Scale {
        let figures = |group: &Group| {
            let figures = group.bars.iter().map(|(_, figure)| *figure);
            figures.filter(|figure| figure.is_finite()).collect::<Vec<_>>()
        };
        let all = || self.groups.iter().flat_map(figures);
        let most = all().fold(0.0, f64::max);
        let least = all().filter(|figure| *figure > 0.0).fold(f64::INFINITY, f64::min);
        let lost = |group: &Group| {
            let mut figures = figures(group);
            figures.sort_by(f64::total_cmp);
            let highest = figures.iter().rev().nth(usize::from(figures.len() > 2)).copied().unwrap_or_default();
            highest > 0.0 && highest < most * LEAST_SHARE
        };
        if self.groups.iter().any(lost) { Scale::powers(least, most) } else { Scale::up_to(most * HEADROOM) }
    }

    pub(super) fn draw(&self, f: &mut fmt::Formatter<'_>, frame: Frame) -> fmt::Result {
        let scale = self.scale();
        frame.up(f, &self.title, self.unit, scale)?;
        let slot = frame.width / self.groups.len().max(1) as f64;
        let most = self.groups.iter().map(|group| group.bars.len()).max().unwrap_or(1);
        let width = (slot * FILLED / most.max(1) as f64).min(WIDEST);
        for (number, group) in self.groups.iter().enumerate() {
            let middle = frame.left + slot * (number as f64 + 0.5);
            let mut left = middle - width * group.bars.len() as f64 / 2.0;
            for (kind, figure) in &group.bars {
                let (top, colour) = (frame.y(scale.share(*figure)), Colour::of(*kind));
                let pale = if figure.is_finite() { "" } else { r#" fill-opacity="0.3""# };
                let (name, told) = (escaped(&format!("{kind}, {}", group.name)), Figure(*figure));
                writeln!(
                    f,
                    r#"<rect x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="{colour}"{pale}><title>{name}: {told} {}</title></rect>"#,
                    width - 1.0,
                    frame.bottom() - top,
                    escaped(self.unit),
                )?;
                above(f, left + (width - 1.0) / 2.0, top - 3.0, width, &told.to_string())?;
                left += width;
            }
            frame.below(f, middle, 16.0, &group.name)?;
        }
        Ok(())
    }
}

/// A figure above its bar, upright where the bar is narrow.
fn above(f: &mut fmt::Formatter<'_>, x: f64, y: f64, width: f64, told: &str) -> fmt::Result {
    if told.chars().count() as f64 * DIGIT <= width {
        writeln!(f, r#"<text x="{x:.1}" y="{y:.1}" font-size="10" text-anchor="middle">{told}</text>"#)
    } else {
        let x = x + 3.5;
        writeln!(f, r#"<text transform="translate({x:.1} {y:.1}) rotate(-90)" font-size="10">{told}</text>"#)
    }
}

/// A bar that is less high cannot be compared with another by eye.
const LEAST_SHARE: f64 = 1.0 / 15.0;

/// So that a figure above the highest bar is no figure above the frame.
const HEADROOM: f64 = 1.08;

/// How much of a group's place its bars take.
const FILLED: f64 = 0.86;
const WIDEST: f64 = 56.0;

/// A digit's width, roughly.
const DIGIT: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Plot;

    fn drawn(groups: &[(&str, &[(Kind, f64)])]) -> String {
        let mut bars = Bars::new("p50", "ms");
        for (name, group) in groups {
            bars.group(*name, group.iter().copied());
        }
        let mut plot = Plot::new("", "");
        plot.section("", [bars.into()]);
        plot.to_string()
    }

    #[test]
    fn a_bar_is_as_high_as_its_figure_and_has_it_above() {
        let svg = drawn(&[("1 client", &[(Kind::Chain, 2.0), (Kind::Ours, 1.0)])]);
        assert!(svg.contains(r##"height="136.0" fill="#e69f00"><title>chain, 1 client: 2 ms</title>"##), "{svg}");
        assert!(svg.contains(r##"height="68.0" fill="#0072b2"><title>ours, 1 client: 1 ms</title>"##), "{svg}");
        assert!(svg.contains(r#"text-anchor="middle">2</text>"#) && !svg.contains("logarithmic"), "{svg}");
    }

    #[test]
    fn one_that_is_far_above_all_others_does_not_hide_them() {
        let svg = drawn(&[("", &[(Kind::Direct, 0.7), (Kind::Chain, 1.0), (Kind::Ours, 201.0)])]);
        assert!(svg.contains("ms, logarithmic"), "{svg}");
        // One that is far below does not, nor one of two.
        let svg = drawn(&[("", &[(Kind::Chain, 0.01), (Kind::Ours, 1.0)])]);
        assert!(!svg.contains("logarithmic"), "{svg}");
        let svg = drawn(&[("", &[(Kind::Direct, 0.01), (Kind::Chain, 1.0), (Kind::Ours, 1.1)])]);
        assert!(!svg.contains("logarithmic"), "{svg}");
    }

    #[test]
    fn a_group_that_is_far_above_the_others_does_not_hide_them() {
        let svg = drawn(&[("1", &[(Kind::Chain, 0.5), (Kind::Ours, 1.0)]), ("2", &[(Kind::Ours, 100.0)])]);
        assert!(svg.contains("ms, logarithmic"), "{svg}");
    }

    #[test]
    fn what_is_below_zero_or_no_number_is_no_bar_upside_down() {
        let svg = drawn(&[("", &[(Kind::Direct, -0.5), (Kind::Chain, f64::NAN), (Kind::Ours, 1.0)])]);
        assert!(svg.contains(r##"height="0.0" fill="#999999"><title>direct, : -0.5 ms</title>"##), "{svg}");
        assert!(!svg.contains("chain") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn what_never_came_is_above_all_that_did() {
        let svg = drawn(&[("", &[(Kind::Chain, 1.0), (Kind::Ours, f64::INFINITY)])]);
        let bar = r##"height="170.0" fill="#0072b2" fill-opacity="0.3"><title>ours, : never ms</title>"##;
        assert!(svg.contains(bar) && svg.contains(">never</text>"), "{svg}");
    }

    #[test]
    fn figures_of_narrow_bars_stand_upright() {
        let group = [(Kind::Direct, 0.755), (Kind::Chain, 1.23), (Kind::Ours, 1.45), (Kind::OursNoFilter, 1.4)];
        let groups = ["1", "2", "3", "4", "5"].map(|name| (name, &group[..]));
        let svg = drawn(&groups);
        assert_eq!(svg.matches("rotate(-90)").count(), 20, "{svg}");
    }
}
