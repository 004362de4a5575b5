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

    fn sorted(&self) -> Vec<Duration> {
        let mut times = self.0.clone();
        times.sort();
        times
    }
}

/// One figure: a variant against the limit it is compared with.
pub struct Row {
    what: &'static str,
    against: &'static str,
    median: [Duration; 2],
    minimum: [Duration; 2],
    goal: Option<f64>,
}

/// The median and the minimum of both.
pub fn compare(
    what: &'static str,
    against: &'static str,
    variant: &Samples,
    limit: &Samples,
    goal: Option<f64>,
) -> Row {
    let (variant, limit) = (variant.sorted(), limit.sorted());
    let middle = |times: &[Duration]| times[times.len() / 2];
    Row { what, against, median: [middle(&variant), middle(&limit)], minimum: [variant[0], limit[0]], goal }
}

impl Row {
    fn ratio([variant, limit]: [Duration; 2]) -> f64 {
        variant.as_secs_f64() / limit.as_secs_f64()
    }
}

pub fn print(rows: &[Row]) {
    println!(
        "{:44} {:>11} {:>11} {:>7} {:>7} {:>6}  against",
        "", "median", "minimum", "x med", "x min", "goal"
    );
    for row in rows {
        println!(
            "{:44} {:>11} {:>11} {:>7.2} {:>7.2} {:>6}  {}",
            row.what,
            format!("{:.1?}", row.median[0]),
            format!("{:.1?}", row.minimum[0]),
            Row::ratio(row.median),
            Row::ratio(row.minimum),
            row.goal.map_or_else(String::new, |goal| format!("<={goal}")),
            row.against,
        );
    }
    println!(
        "\nRatios are to the variant in the last column, measured in turns in this run; both should meet the goal."
    );
}

pub fn json(rows: &[Row]) -> Vec<Value> {
    let nanoseconds = |times: [Duration; 2]| times.map(|time| u64::try_from(time.as_nanos()).unwrap());
    rows.iter()
        .map(|row| {
            json!({
                "what": row.what, "against": row.against, "goal": row.goal,
                "median_ns": nanoseconds(row.median), "minimum_ns": nanoseconds(row.minimum),
                "ratio_median": Row::ratio(row.median), "ratio_minimum": Row::ratio(row.minimum),
            })
        })
        .collect()
}
