//! Values over time as SVG: axes, one line a series, and every fault as a band with a number on the axis.
//!
//! What always holds: nothing is drawn outside of its frame; what others wrote is escaped; colours are the page's own
//! (CSS variables), so a plot is right in light and dark.

use std::fmt::Write as _;

use super::page::escape;
use crate::observation::{Fault, Quantity, Series};

/// The size of the drawing, in its own units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 230.0;
/// What is left around the frame for the axes' words.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 34.0;
/// How many colours there are.
const COLOURS: usize = 6;

/// A plot of these series, which are of one quantity. Nothing if they have no points.
pub(super) fn plot(quantity: Quantity, series: &[&Series], faults: &[Fault], length_ms: u64) -> Option<String> {
    let points = || series.iter().flat_map(|it| &it.points);
    points().next()?;
    let last = points().map(|it| it.at_ms).chain(faults.iter().map(|it| it.to_ms)).max().unwrap_or(0);
    let highest = points().map(|it| it.value).fold(0.0, f64::max);
    let bottom = points().map(|it| it.value).fold(0.0, f64::min);
    // Of what lies farther from nothing, so that there are few marks on either side.
    let step = nice(highest.max(-bottom));
    let top = ((highest / step).ceil() * step).max(step);
    let frame = Frame { end_ms: length_ms.max(last).max(1) as f64, step, top, bottom };
    let unit = series.first().map_or("", |it| it.unit.as_str());
    let title = format!("{} ({unit})", name(quantity));
    let mut svg = format!(
        "<figure class=\"plot\"><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{} over time\">",
        escape(&title),
        escape(&title)
    );
    draw_faults(&mut svg, &frame, faults);
    draw_axes(&mut svg, &frame);
    for (index, series) in series.iter().enumerate() {
        draw_series(&mut svg, &frame, series, index % COLOURS + 1);
    }
    svg.push_str("</svg>");
    draw_legend(&mut svg, series, faults);
    svg.push_str("</figure>");
    Some(svg)
}

/// What a quantity is called.
const fn name(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Latency => "Latency",
        Quantity::Lag => "Lag",
        Quantity::Recovery => "Recovery",
        Quantity::Rate => "Rate",
    }
}

struct Frame {
    end_ms: f64,
    /// From mark to mark of the upright axis.
    step: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, at_ms: u64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (at_ms as f64 / self.end_ms).min(1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.bottom) / (self.top - self.bottom);
        (HEIGHT - BOTTOM) - (HEIGHT - TOP - BOTTOM) * part.clamp(0.0, 1.0)
    }
}

/// The distance of marks such that at most five reach the value: 1, 2, 2.5 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 0.25;
    }
    let power = 10_f64.powf((value / 5.0).log10().floor());
    // What is a mark's multiple but for the last bit is one.
    let suffices = |step: &f64| value / step <= 5.0 + 1e-9;
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|it| it * power).find(suffices).unwrap_or(value)
}

fn draw_axes(svg: &mut String, frame: &Frame) {
    let bottom = HEIGHT - BOTTOM;
    let first = (frame.bottom / frame.step).ceil() as i32;
    let last = (frame.top / frame.step).round() as i32;
    for tick in first..=last {
        let value = f64::from(tick) * frame.step;
        let y = frame.y(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            short(value)
        );
    }
    let step = time_step(frame.end_ms);
    let mut at = 0.0;
    while at <= frame.end_ms {
        let x = frame.x(at as u64);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 5.0,
            bottom + 20.0,
            time(at, step)
        );
        at += step;
    }
    let _ =
        write!(svg, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bottom}\" y2=\"{bottom}\"/>", WIDTH - RIGHT);
}

/// A step, in milliseconds, that gives at most ten marks.
fn time_step(end_ms: f64) -> f64 {
    let steps =
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];
    let longer = [600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000];
    let all = steps.into_iter().chain(longer).map(f64::from);
    all.into_iter().find(|step| end_ms / step <= 9.0).unwrap_or(end_ms / 8.0)
}

/// A time on the axis, in the unit of its marks.
fn time(at_ms: f64, step_ms: f64) -> String {
    if step_ms < 100.0 { format!("{at_ms:.0} ms") } else { format!("{} s", short(at_ms / 1_000.0)) }
}

fn short(value: f64) -> String {
    let text = match value.abs() {
        it if it >= 1_000_000.0 => format!("{:.1}M", value / 1_000_000.0),
        it if it >= 10_000.0 => format!("{:.0}k", value / 1_000.0),
        it if it >= 100.0 || it == 0.0 => format!("{value:.0}"),
        it if it >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    // 5.0 is 5.
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn draw_faults(svg: &mut String, frame: &Frame, faults: &[Fault]) {
    let bottom = HEIGHT - BOTTOM;
    for (index, fault) in faults.iter().enumerate() {
        let (from, to) = (frame.x(fault.from_ms), frame.x(fault.to_ms));
        let width = (to - from).max(2.0);
        let middle = from + width / 2.0;
        let _ = write!(
            svg,
            "<g class=\"fault\"><title>{}</title><rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
             height=\"{:.1}\"/><path d=\"M{middle:.1} {bottom} l-5 8 h10 z\"/><circle cx=\"{middle:.1}\" cy=\"11\" \
             r=\"8\"/><text x=\"{middle:.1}\" y=\"14.5\" text-anchor=\"middle\">{}</text></g>",
            escape(&words(fault)),
            bottom - TOP,
            index + 1
        );
    }
}

fn words(fault: &Fault) -> String {
    let s = |ms: u64| short(ms as f64 / 1_000.0);
    match fault.from_ms == fault.to_ms {
        true => format!("{} at {} s", fault.name, s(fault.from_ms)),
        false => format!("{} from {} to {} s", fault.name, s(fault.from_ms), s(fault.to_ms)),
    }
}

fn draw_series(svg: &mut String, frame: &Frame, series: &Series, colour: usize) {
    let at: Vec<(f64, f64)> = series.points.iter().map(|it| (frame.x(it.at_ms), frame.y(it.value))).collect();
    // How long something took has no values in between.
    let takes_time = series.points.first().map(|it| it.at_ms) != series.points.last().map(|it| it.at_ms);
    if series.quantity != Quantity::Recovery && takes_time {
        let line = at.iter().fold(String::new(), |mut line, (x, y)| {
            let _ = write!(line, "{x:.1},{y:.1} ");
            line
        });
        let _ = write!(svg, "<polyline class=\"line c{colour}\" points=\"{}\"/>", line.trim_end());
    }
    if series.quantity == Quantity::Recovery || at.len() <= 60 {
        for ((x, y), point) in at.iter().zip(&series.points) {
            let told = format!("{}: {} {} at {} s", series.name, short(point.value), series.unit, point.at_ms / 1_000);
            if series.quantity == Quantity::Recovery {
                let foot = HEIGHT - BOTTOM;
                let _ = write!(
                    svg,
                    "<line class=\"line c{colour}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{foot}\" y2=\"{y:.1}\"/>"
                );
            }
            let _ = write!(
                svg,
                "<circle class=\"dot c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{}</title></circle>",
                escape(&told)
            );
        }
    }
}

fn draw_legend(svg: &mut String, series: &[&Series], faults: &[Fault]) {
    svg.push_str("<ul class=\"legend\">");
    for (index, series) in series.iter().enumerate() {
        let colour = index % COLOURS + 1;
        let _ = write!(svg, "<li><span class=\"swatch c{colour}\"></span>{}</li>", escape(&series.name));
    }
    for (index, fault) in faults.iter().enumerate() {
        let _ = write!(svg, "<li><span class=\"number\">{}</span>{}</li>", index + 1, escape(&words(fault)));
    }
    svg.push_str("</ul>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_break_out_and_every_fault_is_on_the_axis() {
        let mut series = Series::new("<script>alert(1)</script>", Quantity::Lag, "events\"");
        series.push(0, 5.0);
        series.push(10_000, 17.0);
        let faults = [
            Fault { name: "cut & <b>".into(), from_ms: 2_000, to_ms: 4_000 },
            Fault { name: "kill".into(), from_ms: 9_000, to_ms: 9_000 },
        ];
        let svg = plot(Quantity::Lag, &[&series], &faults, 10_000).expect("drawn");
        assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
        assert_eq!(svg.matches("class=\"fault\"").count(), 2);
        // 2 s of 10 s, between the margins of 62 and 12 of 760 units: 62 + 686 * 0.2.
        assert!(svg.contains("<rect x=\"199.2\""), "{svg}");
        assert!(plot(Quantity::Lag, &[&Series::new("none", Quantity::Lag, "ms")], &faults, 1).is_none());
    }

    #[test]
    fn axes_have_round_marks() {
        for (value, step) in
            [(0.0, 0.25), (7.3, 2.0), (5.0, 1.0), (12.0, 2.5), (201.0, 50.0), (0.03, 0.01), (f64::NAN, 0.25)]
        {
            assert!((nice(value) - step).abs() < 1e-9, "{value}: {}", nice(value));
        }
        assert_eq!((time_step(48.0), time(20.0, 10.0)), (10.0, "20 ms".into()));
        assert_eq!((time_step(60_000.0), time(30_000.0, 10_000.0)), (10_000.0, "30 s".into()));
    }
}
