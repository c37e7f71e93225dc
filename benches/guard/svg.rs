//! A chart with lines, as SVG text: a logarithmic axis where the values span more than two powers of ten.

use std::fmt::Write;

use serde_json::{Value, json};

/// Lines over one axis.
pub struct Chart {
    pub title: String,
    pub x: String,
    pub y: String,
    pub lines: Vec<Line>,
}

/// One line.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Chart {
    pub fn json(&self) -> Value {
        let lines: Vec<Value> =
            self.lines.iter().map(|line| json!({ "name": line.name, "points": line.points })).collect();
        json!({ "x": self.x, "y": self.y, "lines": lines })
    }

    /// The picture. `machine` is told below it.
    pub fn svg(&self, machine: &str) -> String {
        let all = || self.lines.iter().flat_map(|line| line.points.iter());
        let x = Axis::over(all().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::over(all().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let mut text = |at: (f64, f64), anchor: &str, more: &str, text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\"{more}>{text}</text>",
                at.0, at.1
            )
            .expect("a string");
        };
        text((WIDTH / 2.0, 20.0), "middle", " font-size=\"15\"", &self.title);
        text((WIDTH / 2.0, HEIGHT - 28.0), "middle", "", &self.x);
        let turned = format!(" transform=\"rotate(-90 16 {})\"", HEIGHT / 2.0);
        text((16.0, HEIGHT / 2.0), "middle", &turned, &self.y);
        text((WIDTH / 2.0, HEIGHT - 8.0), "middle", " font-size=\"10\" fill=\"#666\"", machine);
        for tick in x.ticks() {
            text((x.place(tick), HEIGHT - BOTTOM + 16.0), "middle", "", &number(tick));
        }
        for tick in y.ticks() {
            text((LEFT - 6.0, y.place(tick) + 4.0), "end", "", &number(tick));
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            if let Some((_, last)) = line.points.last() {
                let style = format!(" fill=\"{colour}\"");
                text((WIDTH - RIGHT + 8.0, y.place(*last) + 4.0), "start", &style, &line.name);
            }
        }
        for tick in y.ticks() {
            let at = y.place(tick);
            writeln!(out, "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/>", WIDTH - RIGHT)
                .expect("a string");
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let points: Vec<String> =
                line.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x.place(*a), y.place(*b))).collect();
            let points = points.join(" ");
            writeln!(
                out,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )
            .expect("a string");
            for point in points.split(' ').filter_map(|point| point.split_once(',')) {
                writeln!(out, "<circle cx=\"{}\" cy=\"{}\" r=\"3\" fill=\"{colour}\"/>", point.0, point.1)
                    .expect("a string");
            }
        }
        out.push_str("</svg>\n");
        out
    }
}

struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let logarithmic = low > 0.0 && high / low > 40.0;
        let (low, high) =
            if logarithmic { (low, high * 1.1) } else { (low.min(0.0), (high * 1.1).max(f64::MIN_POSITIVE)) };
        Self { low, high, logarithmic, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.max(self.low).ln() } else { value };
        let part =
            (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low)).max(f64::MIN_POSITIVE);
        self.from + part * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let mut tick = 10_f64.powf(self.low.log10().floor());
            let mut ticks = Vec::new();
            while tick <= self.high {
                ticks.extend(Some(tick).filter(|tick| *tick >= self.low * 0.999));
                tick *= 10.0;
            }
            return ticks;
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|step| step * power)
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(power);
        let mut ticks = vec![self.low];
        while let Some(next) = ticks.last().map(|last| last + step).filter(|next| *next <= self.high) {
            ticks.push(next);
        }
        ticks
    }
}

fn number(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 64.0;
const COLOURS: [&str; 7] = ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#5d6d7e", "#117a65"];
