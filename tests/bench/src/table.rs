//! The rest of the table: peers, loading, durability, swapping, runaways, sizes.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use loong_kernel::{Active, Call, Caller, Durability, Event, Ledger, Run, RunId};
use loong_manifest::{Digest, Meter};
use loong_policy::{Offer, Token};
use loong_runtime::{Arguments, Runtime};
use loong_trust::Candidate;
use wasmtime::component::Val;

use crate::bench::{Row, Samples, compare, number};
use crate::{BATCH, Host, ROUNDS, beside, clock, raw};

const ECHO: &str = "bench:echo/echo@1.0.0#echo";
/// Guests that never end, at once.
const RUNAWAYS: usize = 100;
/// What they may take, each.
const RUNAWAY_MS: u64 = 4_000;

/// A guest that never ends.
const LOOP: &str = r#"(component
  (core module $m (func (export "go") (loop (br 0))))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "bench:loop/loop@1.0.0" (instance $api)))"#;

fn event(number: u64) -> Event {
    Event::RunFinished { run: "0123456789abcdef".repeat(2), calls: number, denied: 0, code: None }
}

/// The component with a custom section at its end.
fn with_section(bytes: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::try_from(name.len()).unwrap()];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    let mut all = bytes.to_vec();
    all.push(0);
    // LEB128.
    let mut left = body.len();
    loop {
        let byte = u8::try_from(left & 0x7f).unwrap();
        left >>= 7;
        all.push(if left == 0 { byte } else { byte | 0x80 });
        if left == 0 {
            break;
        }
    }
    all.extend(body);
    all
}

/// A run of its own.
fn begin(host: &Host, seed: u8) -> (Arc<Run>, Token) {
    host.runtime.block_on(host.kernel.start(RunId::from_random([seed; 16]), "bench".into())).unwrap()
}

fn call(run: &Arc<Run>, token: &Token, operation: &str, arguments: Vec<Val>) -> Call<Runtime> {
    Call {
        run: Arc::clone(run),
        caller: Caller::Person,
        token: token.clone(),
        operation: operation.to_owned(),
        arguments: Arguments::Values(arguments),
        deadline: None,
        depth: 0,
    }
}

/// A governed call against hosts that save themselves some of the work that is done before it.
pub fn peers(host: &Host, artifact: &[u8], text: &str) -> Vec<Row> {
    let engines = loong_runtime::engine::Engines::default();
    let pooled = engines.get(Meter::Epoch).unwrap();
    let on_demand = wasmtime::Engine::new(&loong_runtime::engine::config(Meter::Epoch)).unwrap();
    let linking = raw::Linking::new(pooled, artifact);
    let plain = raw::Linking::new(&on_demand, artifact);
    let (mut governed, mut rebuilt, mut unpooled) = (Samples::new(), Samples::new(), Samples::new());
    for round in 0..ROUNDS {
        let (run, token) = begin(host, u8::try_from(round).unwrap());
        for _ in 0..BATCH {
            let begun = Instant::now();
            assert_eq!(linking.call(text, true), text);
            rebuilt.add(begun.elapsed());
        }
        for _ in 0..BATCH {
            let begun = Instant::now();
            assert_eq!(plain.call(text, false), text);
            unpooled.add(begun.elapsed());
        }
        host.runtime.block_on(async {
            for _ in 0..BATCH {
                let call = call(&run, &token, ECHO, vec![Val::String(text.to_owned())]);
                let begun = Instant::now();
                Arc::clone(&host.kernel).call(call).await.unwrap();
                governed.add(begun.elapsed());
            }
        });
    }
    vec![
        compare(
            "P2",
            "governed call, typed, 1 KB",
            "bare engine that builds its WASI linker for each call",
            &governed,
            &rebuilt,
            Some(0.3),
        ),
        compare(
            "P2",
            "governed call, typed, 1 KB",
            "bare engine without pools, WASI linker built once",
            &governed,
            &unpooled,
            Some(0.6),
        ),
    ]
}

/// Verifying and activating a component that was compiled before, against hashing and compiling it.
pub fn loading(host: &Host, path: &Path) -> Vec<Row> {
    let bytes = std::fs::read(path).unwrap();
    let candidate = |bundle| Candidate::read(bytes.clone(), bundle, "real").unwrap();
    let bundle = loong_trust::sign(&host.key, &candidate(None)).unwrap();
    let million = vec![7_u8; 1 << 20];
    let (mut activation, mut compiling) = (Samples::new(), Samples::new());
    let (mut verifying, mut hashing) = (Samples::new(), Samples::new());
    for round in 0..20 {
        let verified =
            loong_trust::verify(candidate(Some(bundle.clone())), &host.root, clock() / 1000).unwrap();
        let admitted = loong_policy::admit(host.kernel.policy(), verified, &Offer::default()).unwrap();
        let begun = Instant::now();
        let plugin = host.runtime.block_on(host.kernel.executor().load(&admitted)).unwrap();
        let active = Active::new(&admitted, plugin);
        activation.add(begun.elapsed());
        drop(active);
        if round < 5 {
            let begun = Instant::now();
            raw::compile(&beside("loong-compile"), &bytes);
            compiling.add(begun.elapsed());
        }
        let begun = Instant::now();
        let digest = Digest::of(&million);
        hashing.add(begun.elapsed());
        assert_ne!(digest, Digest::of(b""));
    }
    // A megabyte that is a component: the same with a custom section that fills it.
    let filled = with_section(&bytes, "filler", &million[..(1 << 20) - bytes.len().min(1 << 19)]);
    let read = |bundle| Candidate::read(filled.clone(), bundle, "real").unwrap();
    let bundle = loong_trust::sign(&host.key, &read(None)).unwrap();
    for _ in 0..20 {
        let candidate = read(Some(bundle.clone()));
        let begun = Instant::now();
        loong_trust::verify(candidate, &host.root, clock() / 1000).unwrap();
        verifying.add(begun.elapsed());
    }
    vec![
        compare(
            "P3",
            "activation of a component that was compiled before",
            "compiling it",
            &activation,
            &compiling,
            Some(1.0 / 250.0),
        ),
        compare("P4", "verification of a megabyte", "SHA-256 of a megabyte", &verifying, &hashing, Some(1.3)),
    ]
}

/// What the default class of metering costs of what both meters together cost, over the functions of a real component.
pub fn metering(path: &Path) -> Vec<Row> {
    let bytes = std::fs::read(path).unwrap();
    let engines = loong_runtime::engine::Engines::default();
    let artifacts = [Meter::Epoch, Meter::EpochAndFuel]
        .map(|meter| raw::compile_for(&beside("loong-compile"), &bytes, meter));
    let line = "the quick brown fox jumps over the lazy dog, 0123456789 times\n";
    let (long, short) = (line.repeat(4_000), line.repeat(30));
    let other = short.replace("fox", "ox").replace("dog", "frog");
    let text = |text: &str| Val::String(text.to_owned());
    let document = |id: &str, body: &str| {
        Val::Record(vec![("id".to_owned(), text(id)), ("text".to_owned(), text(body))])
    };
    let documents = (0..200).map(|number| document(&number.to_string(), &short)).collect();
    let kernels = [
        ("count", vec![text(&long)]),
        ("similarity", vec![text(&short), text(&other)]),
        ("diff", vec![text(&long.replace("fox", "ox")), text(&long), Val::Option(None)]),
        ("search", vec![Val::List(documents), text("lazy fox"), Val::Option(None)]),
    ];
    let mut logarithms = 0.0;
    for (function, arguments) in &kernels {
        let [epoch, both] = [Meter::Epoch, Meter::EpochAndFuel].map(|meter| {
            let artifact = &artifacts[usize::from(meter == Meter::EpochAndFuel)];
            raw::Function::new(engines.get(meter).unwrap(), artifact, "core:text/text@0.1.0", function)
        });
        let (mut cheap, mut exact) = (Samples::new(), Samples::new());
        for _ in 0..15 {
            for (kernel, samples) in [(&epoch, &mut cheap), (&both, &mut exact)] {
                let begun = Instant::now();
                kernel.call(arguments);
                samples.add(begun.elapsed());
            }
        }
        logarithms += (cheap.median().as_secs_f64() / exact.median().as_secs_f64()).ln();
    }
    let mean = (logarithms / kernels.len() as f64).exp();
    let against = "fuel and epoch together, geometric mean of 4 functions";
    vec![number("P8", "guest CPU of the default class", against, mean, " x", Some(0.9))]
}

/// What waits for the disk, alone and together.
pub fn durable(host: &Host) -> Vec<Row> {
    let folder = host.folder.path();
    let plain = rusqlite::Connection::open(folder.join("full.db")).unwrap();
    plain
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (i INTEGER PRIMARY KEY, e TEXT);",
        )
        .unwrap();
    let mut insert = plain.prepare("INSERT INTO t (e) VALUES (?1)").unwrap();
    let mut file = std::fs::File::create(folder.join("flushed")).unwrap();
    let (mut together, mut single) = (Duration::ZERO, Duration::ZERO);
    let (mut waited, mut flushed) = (Samples::new(), Samples::new());
    let (callers, each, alone) = (64_u64, 8_u64, 16_u64);
    for _ in 0..10 {
        let begun = Instant::now();
        host.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for caller in 0..callers {
                let store = host.store.clone();
                tasks.spawn(async move {
                    for number in 0..each {
                        store.append(event(caller * each + number), Durability::Durable).await.unwrap();
                    }
                });
            }
            while tasks.join_next().await.is_some() {}
        });
        together += begun.elapsed();
        let begun = Instant::now();
        for number in 0..alone {
            insert.execute([serde_json::to_string(&event(number)).unwrap()]).unwrap();
        }
        single += begun.elapsed();
        for number in 0..alone {
            let begun = Instant::now();
            host.runtime.block_on(host.store.append(event(number), Durability::Durable)).unwrap();
            waited.add(begun.elapsed());
            let begun = Instant::now();
            file.write_all(&[b'x'; 400]).unwrap();
            file.sync_data().unwrap();
            flushed.add(begun.elapsed());
        }
    }
    let per_second = |events: u64, time: Duration| events as f64 * 10.0 / time.as_secs_f64();
    let ratio = per_second(callers * each, together) / per_second(alone, single);
    vec![
        number(
            "P9",
            "SQLite FULL, one event at a time, per second",
            "durable events per second with 64 that wait",
            1.0 / ratio,
            "",
            Some(1.0 / 30.0),
        ),
        compare("P9", "one durable event, alone", "writing and fdatasync", &waited, &flushed, Some(1.25)),
    ]
}

/// Two that call all the time while the plugin they call is replaced every millisecond, and while it is not.
pub fn swapping(host: &Host, text: &str) -> Vec<Row> {
    let other = host.folder.path().join("other.wasm");
    let bytes = std::fs::read(host.folder.path().join("echo.wasm")).unwrap();
    std::fs::write(&other, with_section(&bytes, "other", b"x")).unwrap();
    let bundle =
        loong_trust::sign(&host.key, &Candidate::read(std::fs::read(&other).unwrap(), None, "x").unwrap())
            .unwrap();
    std::fs::write(other.with_extension("wasm.sigstore.json"), bundle).unwrap();
    let paths = [host.folder.path().join("echo.wasm"), other];
    let failed = Arc::new(AtomicU64::new(0));
    let swaps = AtomicU64::new(0);
    let phase = |swapping: bool| -> Samples {
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let (stop, failed, kernel) =
                    (Arc::clone(&stop), Arc::clone(&failed), Arc::clone(&host.kernel));
                let (run, token) = begin(host, 200 + caller);
                let text = text.to_owned();
                host.runtime.spawn(async move {
                    let mut samples = Samples::new();
                    while !stop.load(Ordering::Relaxed) {
                        let call = call(&run, &token, ECHO, vec![Val::String(text.clone())]);
                        let begun = Instant::now();
                        let ended = Arc::clone(&kernel).call(call).await;
                        samples.add(begun.elapsed());
                        failed.fetch_add(u64::from(ended.is_err()), Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                    samples
                })
            })
            .collect();
        let begun = Instant::now();
        let mut which = 0;
        while begun.elapsed() < Duration::from_secs(3) {
            if swapping {
                host.load(&paths[which % 2]);
                which += 1;
                swaps.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        let mut all = Samples::new();
        for caller in callers {
            all.extend(host.runtime.block_on(caller).unwrap());
        }
        all
    };
    let (quiet, busy) = (phase(false), phase(true));
    let ratio = busy.p99().as_secs_f64() / quiet.p99().as_secs_f64();
    let per_second = swaps.load(Ordering::Relaxed) as f64 / 3.0;
    vec![
        number(
            "P11",
            "calls that failed while the plugin was replaced",
            "swaps with verification, one after the other",
            failed.load(Ordering::Relaxed) as f64,
            "",
            Some(0.0),
        ),
        number("P11", "swaps a second meanwhile", "", per_second, " /s", None),
        number("P11", "slowest of 100 calls, wall clock", "the same without swaps", ratio, " x", Some(1.5)),
    ]
}

/// How late a guest that never ends is stopped, and what a good one feels of a hundred of them.
pub fn runaways(host: &Host) -> Vec<Row> {
    let manifest = serde_json::json!({
        "id": "bench:loop", "version": "1.0.0", "kind": "tool", "summary": "for measuring", "capabilities": {},
        "limits": { "deadline_ms": RUNAWAY_MS },
        "operations": [{ "name": "bench:loop/loop@1.0.0#go", "risk": "read" }],
    });
    let bytes = loong_inspect::with_manifest(&wat::parse_str(LOOP).unwrap(), manifest.to_string().as_bytes())
        .unwrap();
    let path = host.folder.path().join("loop.wasm");
    let candidate = Candidate::read(bytes.clone(), None, "loop").unwrap();
    let bundle = loong_trust::sign(&host.key, &candidate).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(path.with_extension("wasm.sigstore.json"), bundle).unwrap();
    host.load(&path);
    let (run, token) = begin(host, 220);
    let mut late = Samples::new();
    for _ in 0..3 {
        let begun = Instant::now();
        host.runtime
            .block_on(Arc::clone(&host.kernel).call(call(&run, &token, "bench:loop/loop@1.0.0#go", vec![])))
            .unwrap_err();
        late.add(begun.elapsed().saturating_sub(Duration::from_millis(RUNAWAY_MS)));
    }
    // The good one is called at the pace of a person, so that what is measured is its wait, not its own load.
    let phase = |runaways: usize| -> Samples {
        let stop = Arc::new(AtomicBool::new(false));
        let kernel = Arc::clone(&host.kernel);
        let mut bad = tokio::task::JoinSet::new();
        for _ in 0..runaways {
            let (kernel, stop) = (Arc::clone(&kernel), Arc::clone(&stop));
            let (run, token) = (Arc::clone(&run), token.clone());
            bad.spawn_on(
                async move {
                    while !stop.load(Ordering::Relaxed) {
                        let call = call(&run, &token, "bench:loop/loop@1.0.0#go", vec![]);
                        drop(Arc::clone(&kernel).call(call).await);
                    }
                },
                host.runtime.handle(),
            );
        }
        // Each has had its first slice then.
        std::thread::sleep(Duration::from_millis(500));
        let (run, token) = begin(host, 221);
        let good = host.runtime.spawn(async move {
            let mut samples = Samples::new();
            for _ in 0..200 {
                let call = call(&run, &token, ECHO, vec![Val::String("x".repeat(1024))]);
                let begun = Instant::now();
                Arc::clone(&kernel).call(call).await.unwrap();
                samples.add(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            samples
        });
        let samples = host.runtime.block_on(good).unwrap();
        stop.store(true, Ordering::Relaxed);
        host.runtime.block_on(async { while bad.join_next().await.is_some() {} });
        samples
    };
    let (quiet, beside) = (phase(0), phase(RUNAWAYS));
    let ratio = beside.p99().as_secs_f64() / quiet.p99().as_secs_f64();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    vec![
        number(
            "P13",
            "a guest that never ends, past its deadline, slowest",
            "",
            ms(late.p99()),
            " ms",
            Some(50.0),
        ),
        number(
            "P13",
            "slowest of 100 calls beside 100 that never end",
            "the same alone",
            ratio,
            " x",
            Some(2.0),
        ),
        number("P13", "the same as time", "", ms(beside.p99()), " ms", None),
    ]
}

/// What an idle host weighs.
pub fn sizes(host: &Host) -> Vec<Row> {
    let loong = beside("loong");
    let bytes = std::fs::metadata(&loong).unwrap().len();
    // One that waits for its input: everything is loaded, nothing happens.
    let home = host.folder.path().join("home");
    let mut child = Command::new(&loong)
        .args(["run", "--input", "-"])
        .arg(host.folder.path().join("echo.wasm"))
        .env("LOONG_HOME", &home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let mut status = String::new();
    std::fs::File::open(format!("/proc/{}/status", child.id())).unwrap().read_to_string(&mut status).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
    vec![
        number(
            "P12",
            "the program, as it is shipped",
            "half of a peer's 47 MB",
            bytes as f64 / 1e6,
            " MB",
            Some(23.5),
        ),
        number(
            "P12",
            "memory of one that waits",
            "half of a peer's 27 MiB",
            kib / 1024.0,
            " MiB",
            Some(13.5),
        ),
    ]
}
