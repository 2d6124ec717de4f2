//! Plots for people: what a scenario found, at a glance, as an SVG of its own without anything to draw it with.
//!
//! A plot has sections, a section has panels. A contestant has one colour in all plots, so that one legend serves all.

mod bars;
mod frame;
mod legend;
mod lines;

use std::fmt;

pub(crate) use bars::Bars;
pub(crate) use lines::Lines;

use self::{
    frame::{Frame, PANEL_HEIGHT, escaped},
    legend::{Colour, Legend},
};

/// All panels of a scenario, under a title.
#[derive(Debug)]
pub(crate) struct Plot {
    title: String,
    sections: Vec<Section>,
    footer: String,
}

/// Panels about the same work.
#[derive(Debug)]
struct Section {
    title: String,
    panels: Vec<Panel>,
}

/// One frame, and what is in it.
#[derive(Debug)]
pub(crate) enum Panel {
    Bars(Bars),
    Lines(Lines),
}

// === impl Plot ===

impl Plot {
    /// Without panels yet; the footer says on what machine this was found.
    pub(crate) fn new(title: impl Into<String>, footer: impl Into<String>) -> Self {
        Self { title: title.into(), sections: Vec::new(), footer: footer.into() }
    }

    /// Adds a section; panels in which nothing is are left out.
    pub(crate) fn section(&mut self, title: impl Into<String>, panels: impl IntoIterator<Item = Panel>) {
        let panels = panels.into_iter().filter(|panel| !panel.is_empty()).collect::<Vec<_>>();
        if !panels.is_empty() {
            self.sections.push(Section { title: title.into(), panels });
        }
    }

    fn legend(&self) -> Legend {
        let panels = self.sections.iter().flat_map(|section| &section.panels);
        Legend::new(panels.flat_map(Panel::names), WIDTH - 2.0 * MARGIN)
    }
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let legend = self.legend();
        let below_legend = HEAD + legend.height();
        let height = self.sections.iter().map(Section::height).sum::<f64>() + below_legend + FOOT;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="black">"#,
        )?;
        // A viewer's dark ground would leave black letters on black.
        writeln!(f, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
        let title = escaped(&self.title);
        writeln!(f, r#"<text x="{MARGIN}" y="26" font-size="17" font-weight="bold">{title}</text>"#)?;
        legend.draw(f, MARGIN, HEAD)?;
        let mut top = below_legend;
        for section in &self.sections {
            section.draw(f, top)?;
            top += section.height();
        }
        let footer = escaped(&self.footer);
        writeln!(f, r##"<text x="{MARGIN}" y="{:.0}" font-size="10" fill="#555">{footer}</text>"##, height - 10.0)?;
        writeln!(f, "</svg>")
    }
}

// === impl Section ===

impl Section {
    fn height(&self) -> f64 {
        SECTION_HEAD + self.panels.len().div_ceil(self.per_line()) as f64 * PANEL_HEIGHT
    }

    /// Panels side by side: no more than can be read where a page is narrower than a screen.
    fn per_line(&self) -> usize {
        if self.panels.len().is_multiple_of(2) { 2 } else { 3 }
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, top: f64) -> fmt::Result {
        let title = escaped(&self.title);
        writeln!(f, r#"<text x="{MARGIN}" y="{:.0}" font-size="14" font-weight="bold">{title}</text>"#, top + 20.0)?;
        let mut top = top + SECTION_HEAD;
        let width = (WIDTH - 2.0 * MARGIN) / self.per_line() as f64;
        for line in self.panels.chunks(self.per_line()) {
            let mut left = MARGIN;
            for panel in line {
                panel.draw(f, Frame::of_panel(left, top, width))?;
                left += width;
            }
            top += PANEL_HEIGHT;
        }
        Ok(())
    }
}

// === impl Panel ===

impl Panel {
    fn is_empty(&self) -> bool {
        match self {
            Self::Bars(bars) => bars.is_empty(),
            Self::Lines(lines) => lines.is_empty(),
        }
    }

    fn names(&self) -> Vec<(String, Colour)> {
        match self {
            Self::Bars(bars) => bars.names(),
            Self::Lines(lines) => lines.names(),
        }
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, frame: Frame) -> fmt::Result {
        match self {
            Self::Bars(bars) => bars.draw(f, frame),
            Self::Lines(lines) => lines.draw(f, frame),
        }
    }
}

impl From<Bars> for Panel {
    fn from(bars: Bars) -> Self {
        Self::Bars(bars)
    }
}

impl From<Lines> for Panel {
    fn from(lines: Lines) -> Self {
        Self::Lines(lines)
    }
}

const WIDTH: f64 = 992.0;
const MARGIN: f64 = 16.0;

/// What the title takes.
const HEAD: f64 = 40.0;
const SECTION_HEAD: f64 = 30.0;
const FOOT: f64 = 26.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestants::Kind;

    fn bars(unit: &'static str, kinds: &[Kind]) -> Panel {
        let mut bars = Bars::new("p50", unit);
        bars.group("1 client", kinds.iter().map(|kind| (*kind, 1.0)));
        bars.into()
    }

    #[test]
    fn a_plot_tells_its_title_its_sections_and_the_machine() {
        let mut plot = Plot::new("GET, a < b", "2 cores");
        plot.section("1 KiB", [bars("ms", &[Kind::Direct, Kind::Ours]), bars("µs", &[Kind::Ours])]);
        plot.section("1 MiB", [bars("ms", &[Kind::Direct, Kind::Ours])]);
        let svg = plot.to_string();
        for told in ["GET, a &lt; b", ">1 KiB<", ">1 MiB<", ">2 cores<", ">ms<", ">µs<", ">1 client<"] {
            assert!(svg.contains(told), "no {told} in {svg}");
        }
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn who_is_in_several_panels_is_in_the_legend_once() {
        let mut plot = Plot::new("GET", "");
        plot.section("", [bars("ms", &[Kind::Chain, Kind::Ours]), bars("µs", &[Kind::Chain, Kind::Ours])]);
        assert_eq!(plot.to_string().matches(">chain<").count(), 1);
    }

    #[test]
    fn what_nobody_has_a_figure_of_has_no_panel() {
        let mut plot = Plot::new("GET", "");
        plot.section("CPU", [bars("µs", &[])]);
        let svg = plot.to_string();
        assert!(!svg.contains("CPU") && !svg.contains("µs"), "{svg}");
    }
}
