//! Measures the road of a call. Every figure is a ratio to a limit that is measured interleaved in the same
//! process and the same minute: the median and the minimum of both, never an absolute goal.
//!
//! `loong-bench [--json] [tool-text.wasm]` prints the table, `loong-bench --audit [--json]` that of questions about a
//! million audit records; `loong-bench --minimal FILE` is the smallest program that makes one
//! call of a compiled component, to compare the start of `loong tools call` with; `loong-bench --plugins [--json]`
//! prints what ten thousand installed plugins cost, and `loong-bench --rows FILE [WORD]` is what that compares with.

#![expect(clippy::print_stdout, reason = "a program whose answer is a table")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program stops at the first surprise"
)]
#![allow(unreachable_pub, reason = "a program has no public interface")]

mod audit;
mod bench;
mod plugins;
mod raw;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::{Row, Samples, compare};
use loong_kernel::{Active, Call, Caller, Durability, Event, Kernel, Ledger, RunId};
use loong_manifest::{Meter, Tier};
use loong_policy::{Offer, PolicySet, Preset};
use loong_runtime::artifact::Artifacts;
use loong_runtime::{Arguments, Output, Runtime};
use loong_store::{Store, StoreOptions};
use loong_trust::{Candidate, SigningKey, TrustRoot, UtcTime};
use serde_json::json;
use wasmtime::component::Val;

const ECHO: &str = include_str!("echo.wat");
const PACK: &str = include_str!("pack.wat");
/// Calls of one variant before the next has its turn.
const BATCH: usize = 50;
const ROUNDS: usize = 60;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, file] = arguments.as_slice()
        && flag == "--minimal"
    {
        println!("{}", raw::minimal(Path::new(file)));
        return;
    }
    if let [flag, file, word @ ..] = arguments.as_slice()
        && flag == "--rows"
    {
        println!("{}", plugins::rows(file, word.first().map(String::as_str)));
        return;
    }
    let before = bench::machine();
    let component = arguments.iter().find(|argument| argument.ends_with(".wasm"));
    let rows = if arguments.iter().any(|argument| argument == "--audit") {
        audit::measure()
    } else if arguments.iter().any(|argument| argument == "--plugins") {
        plugins::measure(&Host::new())
    } else {
        measure(component.map(Path::new))
    };
    if arguments.iter().any(|argument| argument == "--json") {
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({
                "schema": "loong.bench/2", "machine": { "before": before, "after": bench::machine() },
                "rows": bench::json(&rows),
            }))
            .unwrap()
        );
    } else {
        bench::print(&rows);
    }
}

/// The folder of this program, where the host's programs are too.
fn beside(program: &str) -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name(program);
    assert!(path.exists(), "{} is missing; run ./bench", path.display());
    path
}

struct Host {
    kernel: Arc<Kernel<Store, Runtime>>,
    store: Store,
    runtime: tokio::runtime::Runtime,
    key: SigningKey,
    root: TrustRoot,
    folder: tempfile::TempDir,
}

fn clock() -> u64 {
    u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis())
        .unwrap()
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = Store::open(&data.join("loong.db"), &StoreOptions::default(), Arc::new(clock)).unwrap();
        let cache = folder.path().join("cache");
        let artifacts = Artifacts::open(
            &cache.join("artifacts"),
            &cache.join("artifact.key"),
            beside("loong-compile"),
            Duration::from_secs(60),
            Box::new(|_| {}),
        );
        let executor = Runtime::new(loong_runtime::Settings {
            artifacts: artifacts.unwrap(),
            kv: Arc::new(store.clone()),
            watch: Arc::new(()),
            egress: loong_runtime::EgressSettings { roots: Arc::new(Vec::new), secrets: Arc::new(()) },
            programs: loong_runtime::Programs {
                sandbox: beside("loong-sandbox"),
                empty_folder: folder.path().into(),
                own_folders: folder.path().join("programs"),
            },
            memory_bytes_max: 1 << 30,
        });
        let policy = PolicySet::builtin(Preset::Default).unwrap();
        let kernel = Kernel::new(policy, store.clone(), executor, Box::new(clock));
        let key = SigningKey::generate().unwrap();
        let expires = UtcTime::from_unix_s(4_000_000_000);
        let root =
            TrustRoot::local(&key.public(), "bench", &["bench", "core"], Tier::Official, expires).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .event_interval(4)
            .enable_all()
            .build()
            .unwrap();
        Self { kernel, store, runtime, key, root, folder }
    }

    /// A signed component file, as an author makes one.
    fn component(&self, name: &str, text: &str, operation: &str, tools: &str) -> PathBuf {
        let manifest = json!({
            "id": format!("bench:{name}"), "version": "1.0.0", "kind": "tool", "summary": "for measuring",
            "capabilities": { "tools": { "reason": "to measure a nested call", "operations": [tools] } },
            "operations": [{ "name": operation, "risk": "read" }],
        });
        let bytes =
            loong_inspect::with_manifest(&wat::parse_str(text).unwrap(), manifest.to_string().as_bytes())
                .unwrap();
        let path = self.folder.path().join(format!("{name}.wasm"));
        let candidate = Candidate::read(bytes.clone(), None, name).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::write(
            path.with_extension("wasm.sigstore.json"),
            loong_trust::sign(&self.key, &candidate).unwrap(),
        )
        .unwrap();
        path
    }

    fn load(&self, path: &Path) {
        let bundle = std::fs::read(path.with_extension("wasm.sigstore.json")).unwrap();
        let candidate = Candidate::read(std::fs::read(path).unwrap(), Some(bundle), "x").unwrap();
        let verified = loong_trust::verify(candidate, &self.root, clock() / 1000).unwrap();
        let admitted = loong_policy::admit(self.kernel.policy(), verified, &Offer::default()).unwrap();
        let plugin = self.runtime.block_on(self.kernel.executor().load(&admitted)).unwrap();
        self.runtime.block_on(self.kernel.activate(Active::new(&admitted, plugin), None)).unwrap();
    }
}

fn measure(real: Option<&Path>) -> Vec<Row> {
    let host = Host::new();
    let echo = host.component("echo", ECHO, "bench:echo/echo@1.0.0#echo", "bench:none/*");
    let pack = host.component("pack", PACK, "bench:pack/pack@1.0.0#pass", "bench:echo/*");
    host.load(&echo);
    host.load(&pack);
    let artifact = raw::compile(&beside("loong-compile"), &std::fs::read(&echo).unwrap());
    let text = "x".repeat(1024);

    let (mut rows, hop) = calls(&host, &artifact, &text);
    if let Some(real) = real {
        let (row, raw) = real_component(&host, real, &text);
        rows.insert(0, row);
        let what = "governed hop from a pack to a tool, 1 KB";
        rows.push(compare(
            "P7",
            what,
            "bare engine, fresh instance of tool-text, one call",
            &hop,
            &raw,
            Some(1.5),
        ));
    }
    rows.push(append(&host));
    rows.extend(json_to_values(&host, &artifact, &text));
    let compiled = host.folder.path().join("echo.cwasm");
    std::fs::write(&compiled, &artifact).unwrap();
    rows.extend(start(&host, &echo, &compiled));
    rows.extend(table::peers(&host, &artifact, &text));
    rows.extend(table::loading(&host, real.unwrap_or(&echo)));
    if let Some(real) = real {
        rows.extend(table::metering(real));
    }
    rows.extend(table::durable(&host));
    rows.extend(table::swapping(&host, &text));
    rows.extend(table::runaways(&host));
    rows.extend(table::sizes(&host));
    rows.extend(plugins::measure(&host));
    rows
}

/// A governed call, and a nested one, against a fresh instance of the same component in the bare engine.
fn calls(host: &Host, artifact: &[u8], text: &str) -> (Vec<Row>, Samples) {
    let engines = loong_runtime::engine::Engines::default();
    let bare = raw::Raw::new(engines.get(Meter::Epoch).unwrap(), artifact);
    let mut samples = [const { Samples::new() }; 4];
    let id = std::cell::Cell::new(0_u8);
    let governed = |operation: &'static str, typed: bool, samples: &mut Samples| {
        id.set(id.get().wrapping_add(1));
        host.runtime.block_on(async {
            let (run, token) =
                host.kernel.start(RunId::from_random([id.get(); 16]), "bench".into()).await.unwrap();
            for _ in 0..BATCH {
                let arguments = if typed {
                    Arguments::Values(vec![Val::String(text.to_owned())])
                } else {
                    Arguments::Json(json!({ "text": text }))
                };
                let call: Call<Runtime> = Call {
                    run: Arc::clone(&run),
                    caller: Caller::Person,
                    token: token.clone(),
                    operation: operation.to_owned(),
                    arguments,
                    deadline: None,
                    depth: 0,
                };
                let begun = Instant::now();
                let output = Arc::clone(&host.kernel).call(call).await.unwrap();
                samples.add(begun.elapsed());
                match output {
                    Output::Values(values) => assert_eq!(values, [Val::String(text.to_owned())]),
                    Output::Json(value) => assert_eq!(value, text),
                }
            }
        });
    };
    for _ in 0..ROUNDS {
        for _ in 0..BATCH {
            let begun = Instant::now();
            let said = bare.call(text);
            samples[0].add(begun.elapsed());
            assert_eq!(said, text);
        }
        governed("bench:echo/echo@1.0.0#echo", true, &mut samples[1]);
        governed("bench:pack/pack@1.0.0#pass", true, &mut samples[2]);
        governed("bench:echo/echo@1.0.0#echo", false, &mut samples[3]);
    }
    let [bare, typed, nested, json] = samples;
    // A hop is what the nested call takes longer than the one that it is in.
    let rows = vec![
        compare(
            "",
            "governed call, typed, 1 KB, smallest guest",
            "bare engine, fresh pooled instance, same call",
            &typed,
            &bare,
            None,
        ),
        compare(
            "",
            "governed call, JSON in and out, 1 KB",
            "bare engine, fresh pooled instance, same call",
            &json,
            &bare,
            None,
        ),
    ];
    (rows, nested.without(&typed))
}

/// A governed call of a component as authors make them, in Rust, against the same component in the bare engine.
fn real_component(host: &Host, path: &Path, text: &str) -> (Row, Samples) {
    let bytes = std::fs::read(path).unwrap();
    let signed = host.folder.path().join("real.wasm");
    let bundle =
        loong_trust::sign(&host.key, &Candidate::read(bytes.clone(), None, "real").unwrap()).unwrap();
    std::fs::write(&signed, &bytes).unwrap();
    std::fs::write(signed.with_extension("wasm.sigstore.json"), bundle).unwrap();
    host.load(&signed);
    let engines = loong_runtime::engine::Engines::default();
    let artifact = raw::compile(&beside("loong-compile"), &bytes);
    let (interface, function) = ("core:text/text@0.1.0", "count");
    let bare = raw::Function::new(engines.get(Meter::Epoch).unwrap(), &artifact, interface, function);
    let (mut governed, mut raw) = (Samples::new(), Samples::new());
    for round in 0..ROUNDS {
        for _ in 0..BATCH {
            let begun = Instant::now();
            let said = bare.call(&[Val::String(text.to_owned())]);
            raw.add(begun.elapsed());
            assert_eq!(said.len(), 1);
        }
        host.runtime.block_on(async {
            let id = RunId::from_random([u8::try_from(round).unwrap(); 16]);
            let (run, token) = host.kernel.start(id, "bench".into()).await.unwrap();
            for _ in 0..BATCH {
                let call: Call<Runtime> = Call {
                    run: Arc::clone(&run),
                    caller: Caller::Person,
                    token: token.clone(),
                    operation: format!("{interface}#{function}"),
                    arguments: Arguments::Values(vec![Val::String(text.to_owned())]),
                    deadline: None,
                    depth: 0,
                };
                let begun = Instant::now();
                Arc::clone(&host.kernel).call(call).await.unwrap();
                governed.add(begun.elapsed());
            }
        });
    }
    let what = "governed call of tool-text count, 1 KB";
    (compare("P1", what, "bare engine, fresh pooled instance, same call", &governed, &raw, Some(1.5)), raw)
}

/// Handing an event to the audit log against inserting the same row into SQLite without waiting for the disk.
fn append(host: &Host) -> Row {
    let event = |number: u64| Event::RunFinished {
        run: "0123456789abcdef".repeat(2),
        calls: number,
        denied: 0,
        code: None,
    };
    let plain = rusqlite::Connection::open(host.folder.path().join("plain.db")).unwrap();
    plain.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t (i INTEGER PRIMARY KEY, e TEXT);").unwrap();
    let mut insert = plain.prepare("INSERT INTO t (e) VALUES (?1)").unwrap();
    let (mut queued, mut inserted) = (Samples::new(), Samples::new());
    for _ in 0..ROUNDS {
        host.runtime.block_on(async {
            for number in 0..BATCH as u64 {
                let begun = Instant::now();
                host.store.append(event(number), Durability::Queued).await.unwrap();
                queued.add(begun.elapsed());
            }
            // The writer has caught up before the other variant has its turn.
            host.store.append(event(0), Durability::Written).await.unwrap();
        });
        for number in 0..BATCH as u64 {
            let text = serde_json::to_string(&event(number)).unwrap();
            let begun = Instant::now();
            insert.execute([text]).unwrap();
            inserted.add(begun.elapsed());
        }
    }
    compare(
        "P9",
        "audit append, queued",
        "SQLite insert, one transaction each, NORMAL",
        &queued,
        &inserted,
        Some(0.2),
    )
}

/// JSON text to WIT values to JSON text against parsing and printing the same text.
fn json_to_values(host: &Host, artifact: &[u8], text: &str) -> Vec<Row> {
    use loong_runtime::values::{ConversionLimits, arguments_from_json, to_json};
    let _ = host;
    let engines = loong_runtime::engine::Engines::default();
    let bare = raw::Raw::new(engines.get(Meter::Epoch).unwrap(), artifact);
    let ty = bare.parameter();
    let document = json!({ "text": text }).to_string();
    let (mut converted, mut parsed) = (Samples::new(), Samples::new());
    for _ in 0..ROUNDS * BATCH {
        let begun = Instant::now();
        let json: serde_json::Value = serde_json::from_str(&document).unwrap();
        let values =
            arguments_from_json([("text", ty.clone())].into_iter(), &json, &ConversionLimits::DEFAULT)
                .unwrap();
        let back = to_json(&ty, &values[0]).unwrap().to_string();
        converted.add(begun.elapsed());
        let begun = Instant::now();
        let json: serde_json::Value = serde_json::from_str(&document).unwrap();
        let printed = json.to_string();
        parsed.add(begun.elapsed());
        assert!(!back.is_empty() && printed == document);
    }
    vec![compare(
        "P10",
        "JSON text -> WIT -> JSON text, 1 KB string",
        "parse and print the same JSON",
        &converted,
        &parsed,
        Some(2.0),
    )]
}

/// The whole program from start to end against the smallest program that makes the same call.
fn start(host: &Host, component: &Path, compiled: &Path) -> Vec<Row> {
    let home = host.folder.path().join("home");
    std::fs::create_dir_all(home.join("config")).unwrap();
    std::fs::write(home.join("config/trust-root.json"), host.root.to_json()).unwrap();
    let loong = || {
        let mut command = Command::new(beside("loong"));
        command
            .args(["tools", "call"])
            .arg(component)
            .args(["echo", "{\"text\": \"x\"}"])
            .env("LOONG_HOME", &home);
        command
    };
    let minimal = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--minimal").arg(compiled);
        command
    };
    let time = |mut command: Command, samples: &mut Samples| {
        let begun = Instant::now();
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        samples.add(begun.elapsed());
        assert!(status.success());
    };
    // The first start compiles.
    time(loong(), &mut Samples::new());
    // Python is on many machines, and a measure that people know.
    let python = || {
        let mut command = Command::new("python3");
        command.args(["-c", "0"]);
        command
    };
    let has_python = python().status().is_ok_and(|status| status.success());
    let (mut whole, mut least, mut script) = (Samples::new(), Samples::new(), Samples::new());
    for _ in 0..ROUNDS {
        time(loong(), &mut whole);
        time(minimal(), &mut least);
        if has_python {
            time(python(), &mut script);
        }
    }
    let what = "`loong tools call`, warm, start to end";
    let mut rows =
        vec![compare("P5", what, "smallest program: start, artifact, one call", &whole, &least, None)];
    if has_python {
        rows.push(compare("P5", what, "python3 -c 0", &whole, &script, Some(0.12)));
    }
    rows
}
