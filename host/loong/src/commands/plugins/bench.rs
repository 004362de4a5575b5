//! `loong plugins bench`: what the operations of a component use, held against what they used before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loong_manifest::{Code, OperationName, Risk};
use loong_runtime::Arguments;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{bytes_text, counted};
use crate::error::CommandError;
use crate::grant::LoadArgs;
use crate::host::{Host, Session};
use crate::locate;
use crate::places::Places;
use crate::ui::Ui;

/// Largest baseline that is read, in bytes.
const BASELINE_BYTES_MAX: u64 = 4 << 20;
/// Most calls of one operation.
const CALLS_MAX: u32 = 10_000;

/// Measure what the operations of a component use: fuel, time and memory
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins bench my-tool.wasm
  loong plugins bench my-tool.wasm --save bench.json          record what is used now
  loong plugins bench my-tool.wasm --baseline bench.json      fail where more is used

Each operation is called with every example of its arguments that the manifest gives. Those that change something are
only called with `--all`. Fuel counts instructions: it is the same on every machine, so fuel and memory are held against
the baseline, and time is not.")]
pub struct BenchArgs {
    /// A component file, or the id of an installed one
    #[arg(value_name = "FILE|ID")]
    plugin: String,
    /// Only this function
    #[arg(long, value_name = "FUNCTION")]
    only: Option<String>,
    /// Operations that change something too
    #[arg(long)]
    all: bool,
    /// How often each example is called
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(CALLS_MAX)))]
    calls: u32,
    /// Fail where more is used than this file says
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// How much more may be used, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    tolerance: u32,
    /// Write what is used to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
}

/// What one operation used, over all its examples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Used {
    /// Calls that were measured.
    calls: u64,
    /// The most fuel of one call.
    fuel: u64,
    /// The largest sum of all memories in one call, in bytes.
    memory_bytes: u64,
    /// The shortest call, in microseconds.
    time_us_min: u64,
    /// The median of the calls, in microseconds.
    time_us_median: u64,
    /// The median of their CPU time, in microseconds.
    cpu_us_median: u64,
}

/// What `--save` writes and `--baseline` reads.
#[derive(Debug, Serialize, Deserialize)]
struct Baseline {
    operations: BTreeMap<String, Used>,
}

pub(super) fn run(ui: &mut Ui, places: &Places, mut args: BenchArgs) -> Result<(), CommandError> {
    args.load.grant.count_fuel = true;
    let baseline = args.baseline.as_deref().map(read).transpose()?;
    let mut host = Host::open(ui, places, &args.load)?;
    let path = host.path().find(&args.plugin)?;
    host.path_mut().beside(&path);
    let session = host.start(&format!("plugins bench {}", args.plugin))?;
    let measured = measure(ui, &host, &session, &path, &args);
    let result = measured.and_then(|operations| {
        show(ui, &operations);
        if let Some(path) = &args.save {
            save(path, &operations)?;
        }
        baseline.map_or(Ok(()), |mut baseline| {
            if args.only.is_some() {
                baseline.operations.retain(|name, _| operations.contains_key(name));
            }
            compare(&baseline, &operations, args.tolerance)
        })
    });
    host.finish(&session, result)
}

fn measure(
    ui: &Ui,
    host: &Host,
    session: &Session,
    path: &Path,
    args: &BenchArgs,
) -> Result<BTreeMap<String, Used>, CommandError> {
    let examples = examples(&host.side(path)?.verified, args)?;
    let plugin = host.load(ui, path, session)?;
    let mut operations = BTreeMap::new();
    // What loading used is not what is measured.
    host.kernel().take_peaks();
    for (name, arguments) in examples {
        let (mut used, mut times, mut cpu) = (Used::default(), Vec::new(), Vec::new());
        for _ in 0..args.calls {
            for arguments in &arguments {
                host.call(session, &name.to_string(), Arguments::Json(arguments.clone()))
                    .map_err(|error| error.detail(format!("{name} with {arguments}")))?;
                let peaks = host.kernel().take_peaks();
                let Some(peak) = peaks.get(&plugin.digest).and_then(|peaks| peaks.get(&name)) else {
                    continue;
                };
                used.calls += 1;
                used.fuel = used.fuel.max(peak.most.fuel);
                used.memory_bytes = used.memory_bytes.max(peak.most.memory_peak_bytes);
                times.push(peak.most.duration_us);
                cpu.push(peak.most.cpu_us);
            }
        }
        used.time_us_min = times.iter().copied().min().unwrap_or(0);
        used.time_us_median = median(times);
        used.cpu_us_median = median(cpu);
        operations.insert(name.to_string(), used);
    }
    Ok(operations)
}

/// The operations that are called, with the arguments that the manifest gives as examples.
fn examples(
    verified: &loong_trust::Verified,
    args: &BenchArgs,
) -> Result<Vec<(OperationName, Vec<Value>)>, CommandError> {
    let wanted = |operation: &&loong_trust::Operation| match &args.only {
        Some(function) => operation.name.function == *function,
        None => args.all || operation.risk == Risk::Read,
    };
    let found: Vec<_> = verified
        .operations()
        .iter()
        .filter(wanted)
        .map(|operation| (operation.name.clone(), operation.examples.clone()))
        .filter(|(_, examples)| !examples.is_empty())
        .collect();
    if found.is_empty() {
        return Err(CommandError::new(
            Code::ArgumentsInvalid,
            "no operation has an example to be called with",
        )
        .hint(
            "give `examples` of arguments in loong.plugin.json; `--all` calls what changes something too",
        ));
    }
    Ok(found)
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

/// What is used more than it was, and what is no longer measured.
fn compare(
    baseline: &Baseline,
    operations: &BTreeMap<String, Used>,
    tolerance: u32,
) -> Result<(), CommandError> {
    let most = |before: u64| {
        let more = u128::from(before) * u128::from(100 + tolerance.min(100_000)) / 100;
        u64::try_from(more).unwrap_or(u64::MAX)
    };
    let mut wrong = Vec::new();
    for (name, before) in &baseline.operations {
        let Some(now) = operations.get(name) else {
            wrong.push(format!("{name} was not measured"));
            continue;
        };
        for (what, before, now) in
            [("fuel", before.fuel, now.fuel), ("bytes of memory", before.memory_bytes, now.memory_bytes)]
        {
            if now > most(before) {
                wrong.push(format!("{name}: {now} {what}, {before} before"));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let headline =
        format!("{} used than the baseline allows", counted(wrong.len(), "thing is more", "things are more"));
    let error = CommandError::new(Code::BenchExceeded, headline)
        .hint("mend it, or record what is used now with `--save`");
    Err(wrong.into_iter().fold(error, CommandError::detail))
}

fn show(ui: &mut Ui, operations: &BTreeMap<String, Used>) {
    if ui.json() {
        ui.document("loong.plugins.bench/1", &serde_json::json!({ "operations": operations }));
        return;
    }
    let mut table =
        vec![["OPERATION", "CALLS", "FUEL", "MEMORY", "TIME", "FASTEST", "CPU"].map(str::to_owned).to_vec()];
    table.extend(operations.iter().map(|(name, used)| {
        vec![
            name.clone(),
            used.calls.to_string(),
            used.fuel.to_string(),
            bytes_text(used.memory_bytes),
            format!("{} µs", used.time_us_median),
            format!("{} µs", used.time_us_min),
            format!("{} µs", used.cpu_us_median),
        ]
    }));
    ui.table(0, &table);
}

fn read(path: &Path) -> Result<Baseline, CommandError> {
    let bytes = locate::read_bounded(path, BASELINE_BYTES_MAX)?;
    loong_manifest::strict::read(&bytes).map_err(|error| {
        CommandError::new(Code::FileUnreadable, format!("`{}` is no baseline", path.display()))
            .detail(error.to_string())
    })
}

fn save(path: &Path, operations: &BTreeMap<String, Used>) -> Result<(), CommandError> {
    let baseline = Baseline { operations: operations.clone() };
    let text = serde_json::to_string_pretty(&baseline)
        .map_err(|error| CommandError::new(Code::HostFailed, error.to_string()))?;
    std::fs::write(path, format!("{text}\n"))
        .map_err(|error| CommandError::file(Code::FileUnwritable, "write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_tolerance_is_too_much() {
        let operations = |fuel: u64, memory_bytes: u64| -> BTreeMap<String, Used> {
            [("a:b/c#d".to_owned(), Used { fuel, memory_bytes, ..Used::default() })].into()
        };
        let check = |now: &BTreeMap<String, Used>, wrong: &[&str]| {
            let baseline = Baseline { operations: operations(1_000, 65_536) };
            let found = compare(&baseline, now, 5).err().map(|error| error.details).unwrap_or_default();
            assert_eq!(found, wrong);
        };
        check(&operations(1_000, 65_536), &[]);
        check(&operations(1_050, 0), &[]);
        check(&operations(1_051, 65_536), &["a:b/c#d: 1051 fuel, 1000 before"]);
        check(&operations(0, 131_072), &["a:b/c#d: 131072 bytes of memory, 65536 before"]);
        check(&BTreeMap::new(), &["a:b/c#d was not measured"]);
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!((median(vec![]), median(vec![3]), median(vec![9, 1, 5])), (0, 3, 5));
    }
}
