//! Samples, ratios and the table.

use std::time::Duration;

use serde_json::{Value, json};

/// Times of one variant.
pub struct Samples(Vec<Duration>);

impl Samples {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds those of others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// These without the median of others.
    pub fn without(&self, others: &Self) -> Self {
        let others = others.sorted();
        let middle = others[others.len() / 2];
        Self(self.0.iter().map(|time| time.saturating_sub(middle)).collect())
    }

    fn sorted(&self) -> Vec<Duration> {
        let mut times = self.0.clone();
        times.sort();
        times
    }
}

/// One figure.
pub struct Row {
    /// Which of the goals it is, if one.
    id: &'static str,
    what: &'static str,
    against: &'static str,
    figure: Figure,
    goal: Option<f64>,
}

enum Figure {
    /// A variant against the limit it is compared with.
    Ratio { median: [Duration; 2], minimum: [Duration; 2] },
    /// A number that is none of time, or of the slowest in a hundred.
    Number { value: f64, unit: &'static str },
}

/// The median and the minimum of both.
pub fn compare(
    id: &'static str,
    what: &'static str,
    against: &'static str,
    variant: &Samples,
    limit: &Samples,
    goal: Option<f64>,
) -> Row {
    let (variant, limit) = (variant.sorted(), limit.sorted());
    let middle = |times: &[Duration]| times[times.len() / 2];
    let median = [middle(&variant), middle(&limit)];
    Row { id, what, against, figure: Figure::Ratio { median, minimum: [variant[0], limit[0]] }, goal }
}

/// A number.
pub const fn number(
    id: &'static str,
    what: &'static str,
    against: &'static str,
    value: f64,
    unit: &'static str,
    goal: Option<f64>,
) -> Row {
    Row { id, what, against, figure: Figure::Number { value, unit }, goal }
}

impl Samples {
    /// The one in the middle.
    pub fn median(&self) -> Duration {
        let sorted = self.sorted();
        sorted[sorted.len() / 2]
    }

    /// The time that 99 of 100 are not longer than.
    pub fn p99(&self) -> Duration {
        let sorted = self.sorted();
        sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
    }
}

fn ratio([variant, limit]: [Duration; 2]) -> f64 {
    variant.as_secs_f64() / limit.as_secs_f64()
}

impl Row {
    /// Whether the goal is met; for ratios by the median and by the minimum.
    fn met(&self) -> Option<bool> {
        let goal = self.goal?;
        Some(match &self.figure {
            Figure::Ratio { median, minimum } => ratio(*median) <= goal && ratio(*minimum) <= goal,
            Figure::Number { value, .. } => *value <= goal,
        })
    }
}

pub fn print(rows: &[Row]) {
    println!(
        "{:4} {:50} {:>11} {:>11} {:>8} {:>8} {:>7}     against",
        "", "", "median", "minimum", "x med", "x min", "goal"
    );
    for row in rows {
        let [median, minimum, first, second] = match &row.figure {
            Figure::Ratio { median, minimum } => [
                format!("{:.1?}", median[0]),
                format!("{:.1?}", minimum[0]),
                format!("{:.4}", ratio(*median)),
                format!("{:.4}", ratio(*minimum)),
            ]
            .map(|text| text.chars().take(9).collect()),
            Figure::Number { value, unit } => {
                [format!("{value:.2}{unit}"), String::new(), String::new(), String::new()]
            }
        };
        let goal = row.goal.map_or_else(String::new, |goal| format!("<={goal}"));
        let met = row.met().map_or("", |met| if met { "ok" } else { "no" });
        println!(
            "{:4} {:50} {median:>11} {minimum:>11} {first:>8} {second:>8} {goal:>7} {met:3} {}",
            row.id, row.what, row.against
        );
    }
    println!(
        "\nRatios are to the variant in the last column, measured in turns in this run; both should meet the goal."
    );
}

pub fn json(rows: &[Row]) -> Vec<Value> {
    let nanoseconds = |times: [Duration; 2]| times.map(|time| u64::try_from(time.as_nanos()).unwrap());
    let figure = |row: &Row| match &row.figure {
        Figure::Ratio { median, minimum } => json!({
            "median_ns": nanoseconds(*median), "minimum_ns": nanoseconds(*minimum),
            "ratio_median": ratio(*median), "ratio_minimum": ratio(*minimum),
        }),
        Figure::Number { value, unit } => json!({ "value": value, "unit": unit.trim() }),
    };
    rows.iter()
        .map(|row| {
            json!({
                "id": row.id, "what": row.what, "against": row.against, "goal": row.goal, "met": row.met(),
                "figure": figure(row),
            })
        })
        .collect()
}

/// What was measured on: nothing of it names the machine.
pub fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned())
    };
    let load = read("/proc/loadavg");
    json!({
        "cpu": line(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map(std::num::NonZero::get).ok(),
        "memory": line(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim().split('-').next(),
        "load": load.split_whitespace().take(3).collect::<Vec<_>>(),
    })
}
