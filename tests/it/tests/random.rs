//! Random and mutated files on the road of every component. Whatever they are, each ends as a typed refusal, a typed
//! fault or a good result, and the host goes on. The numbers look random and are the same in each run.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use arbitrary::Unstructured;
use loong_it::fixture::{fixtures, guest_sources};
use loong_manifest::{Code, Manifest};
use loong_trust::{Candidate, SigningKey};
use serde_json::{Value, json};
use wasm_encoder::{ComponentBuilder, ComponentExportKind, ExportKind, PrimitiveValType};

use crate::hostile::harness::{Refused, World, component, local_root};

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// The same bytes with a few of them changed, removed, doubled, or replaced by others of the same file.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) / 2 {
            let at = self.below(bytes.len());
            let length = 1 + self.below(8.min(bytes.len() - at));
            let part = bytes[at..at + length].to_vec();
            match self.below(9) {
                0..4 => bytes[at] ^= 1 << self.below(8),
                4 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                5 => drop(bytes.drain(at..at + length)),
                6 => drop(bytes.splice(at..at, part)),
                7 => {
                    let to = self.below(bytes.len() - length + 1);
                    bytes[to..to + length].copy_from_slice(&part);
                }
                _ => bytes[at] = bytes[at].wrapping_add(1),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        bytes
    }
}

/// Every guest that is text, as bytes.
fn guests() -> Vec<Vec<u8>> {
    let is_text = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "wat");
    guest_sources().into_iter().filter(is_text).map(|path| wat::parse_file(path).unwrap()).collect()
}

/// A random core module with a function `go`, as a component that offers it.
fn random_component(random: &mut Random) -> Vec<u8> {
    let bytes = random.bytes(2_048);
    let shape = wasm_smith::Config {
        exports: Some(wat::parse_str("(module (func (export \"go\") (result i32) i32.const 0))").unwrap()),
        max_imports: 0,
        gc_enabled: false,
        exceptions_enabled: false,
        reference_types_enabled: false,
        disallow_traps: random.below(2) == 0,
        memory64_enabled: random.below(8) == 0,
        threads_enabled: random.below(8) == 0,
        ..wasm_smith::Config::default()
    };
    let module = wasm_smith::Module::new(shape, &mut Unstructured::new(&bytes)).unwrap();
    let mut component = ComponentBuilder::default();
    let module = component.core_module_raw(None, &module.to_bytes());
    let instance = component.core_instantiate(None, module, []);
    let go = component.core_alias_export(None, instance, "go", ExportKind::Func);
    let (signature, mut encoder) = component.type_function(None);
    encoder.params::<_, PrimitiveValType>([]).result(Some(PrimitiveValType::U32.into()));
    let go = component.lift_func(None, go, signature, []);
    component.export("go", ComponentExportKind::Func, go, None);
    component.finish()
}

/// A refusal or a fault that blames the host, the cache or the compiler for what a component did.
fn check_code(code: Code, words: &str) {
    let blames_us = [Code::HostFailed, Code::ToolFailed, Code::ArtifactCorrupt, Code::FileUnwritable];
    assert!(!blames_us.contains(&code), "{code}: {words}");
}

/// What happened to the files of a test.
#[derive(Default, Debug)]
struct Seen {
    refused: BTreeMap<&'static str, usize>,
    loaded: usize,
    faults: BTreeMap<&'static str, usize>,
    results: usize,
}

/// Loads a file within a host that already has others, and calls whatever it offers.
fn load_and_call(world: &World, number: usize, bytes: Vec<u8>, seen: &mut Seen) {
    // What is no component has no operations to claim.
    if let Err(error) = Candidate::read(bytes.clone(), None, "random") {
        check_code(error.code(), &error.to_string());
        *seen.refused.entry(error.code().as_str()).or_default() += 1;
        return;
    }
    let name = format!("random-{number}");
    let operations = loong_inspect::inspect(&bytes).unwrap().operations;
    let guest = component(&name, bytes).claims("local").limit("deadline_ms", 20);
    match world.try_load(guest) {
        Err(Refused(code, words)) => {
            check_code(code, &words);
            *seen.refused.entry(code.as_str()).or_default() += 1;
        }
        Ok(()) => {
            seen.loaded += 1;
            for operation in operations.iter().take(3) {
                for arguments in [json!({}), json!({ "a": 1, "b": 2 })] {
                    let function = &operation.name.function;
                    match world.call(&format!("local:{name}.{function}"), arguments).result {
                        Ok(_) => seen.results += 1,
                        Err(fault) => {
                            check_code(fault.code(), &fault.to_string());
                            *seen.faults.entry(fault.code().as_str()).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
}

fn check_alive(world: &World) {
    assert_eq!(world.call("core:good-adds.add", json!({ "a": 1, "b": 2 })).said(), "3");
}

#[test]
fn mutated_components_end_as_refusals_faults_or_results() {
    let world = World::new();
    let (mut guests, mut random, mut seen) = (guests(), Random(1), Seen::default());
    // What asks for something is refused for that before anything else is tried.
    guests.retain(|guest| loong_inspect::inspect(guest).is_ok_and(|contents| contents.imports.is_empty()));
    for number in 0..300 {
        let guest = &guests[random.below(guests.len())];
        let bytes = random.mutated(guest);
        load_and_call(&world, number, bytes, &mut seen);
    }
    check_alive(&world);
    println!("{seen:?}");
    assert!(seen.refused.len() >= 3 && seen.loaded >= 30 && seen.faults.len() >= 3, "{seen:?}");
}

#[test]
fn random_components_end_as_refusals_faults_or_results() {
    let world = World::new();
    let (mut random, mut seen) = (Random(2), Seen::default());
    for number in 0..60 {
        let bytes = random_component(&mut random);
        load_and_call(&world, number, bytes, &mut seen);
    }
    check_alive(&world);
    println!("{seen:?}");
    assert!(seen.loaded >= 20 && seen.results >= 1 && seen.faults.len() >= 2, "{seen:?}");
}

/// The compiler refuses, too, what the host would not even give it.
#[test]
fn the_compiler_refuses_mutated_components() {
    let compiler = fixtures().loong.with_file_name("loong-compile");
    let (guests, mut random) = (guests(), Random(3));
    let (mut compiled, mut refused) = (0, 0);
    for _ in 0..150 {
        let guest = &guests[random.below(guests.len())];
        let bytes = random.mutated(guest);
        let mut child = Command::new(&compiler)
            .args(["epoch-and-fuel", "20"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let ended = child.wait_with_output().unwrap();
        match ended.status.code() {
            Some(0) => compiled += 1,
            Some(1) => refused += 1,
            _ => panic!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr)),
        }
    }
    assert!(compiled >= 10 && refused >= 50, "{compiled} compiled, {refused} refused");
}

#[test]
fn mutated_files_are_refused_in_words() {
    let (guests, mut random) = (guests(), Random(4));
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let guest = &guests[random.below(guests.len())];
        let bytes = random.mutated(guest);
        match Candidate::read(bytes, None, "random") {
            Ok(_) => read += 1,
            Err(error) => {
                check_code(error.code(), &error.to_string());
                refused += 1;
            }
        }
    }
    assert!(read >= 1_000 && refused >= 1_000, "{read} read, {refused} refused");
}

#[test]
fn mutated_manifests_are_refused_in_words() {
    let names = ["tool-file", "sink-http", "pack-release-review"];
    let manifests = names.map(|name| {
        let path = loong_it::root().join("components").join(name).join("loong.plugin.json");
        std::fs::read(path).unwrap()
    });
    let (mut random, mut read, mut refused) = (Random(5), 0, 0);
    for _ in 0..5_000 {
        let manifest = &manifests[random.below(manifests.len())];
        match Manifest::read(&random.mutated(manifest)) {
            // What is read can be written and read again as the same.
            Ok(manifest) => {
                assert_eq!(Manifest::read(manifest.to_json().as_bytes()).unwrap(), manifest);
                read += 1;
            }
            Err(error) => {
                check_code(error.code(), &error.to_string());
                refused += 1;
            }
        }
    }
    assert!(read >= 100 && refused >= 1_000, "{read} read, {refused} refused");
}

/// A signature file that was changed proves nothing that the true one does not.
#[test]
fn mutated_signatures_prove_nothing_more() {
    let key = SigningKey::generate().unwrap();
    let root = local_root(&key);
    let bytes = wat::parse_file(loong_it::root().join("tests/guests/good_adds.wat")).unwrap();
    let manifest = json!({
        "id": "core:adds", "version": "0.1.0", "kind": "tool", "summary": "Adds.", "capabilities": {},
        "operations": [{ "name": "good:math/api@0.1.0#add", "risk": "read" }],
    });
    let bytes = loong_inspect::with_manifest(&bytes, manifest.to_string().as_bytes()).unwrap();
    let read = |bundle| Candidate::read(bytes.clone(), bundle, "adds").unwrap();
    let bundle = loong_trust::sign(&key, &read(None)).unwrap();
    let verify = |bundle: Vec<u8>| loong_trust::verify(read(Some(bundle)), &root, 0);
    let tier = verify(bundle.clone()).unwrap().tier();
    let (mut random, mut refused) = (Random(6), 0);
    for _ in 0..3_000 {
        match verify(random.mutated(&bundle)) {
            Ok(verified) => assert_eq!(verified.tier(), tier),
            Err(error) => {
                check_code(error.code(), &error.to_string());
                refused += 1;
            }
        }
    }
    assert!(refused >= 2_000, "{refused} refused");
    let other = local_root(&SigningKey::generate().unwrap());
    for _ in 0..300 {
        let changed = random.mutated(&bundle);
        let found = loong_trust::verify(read(Some(changed)), &other, 0);
        assert!(found.is_err() || found.is_ok_and(|verified| verified.signer().is_none()));
    }
}

/// Every place of a document, as the way to it.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(member, &format!("{here}/{name}"), all);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                places(item, &format!("{here}/{at}"), all);
            }
        }
        _ => {}
    }
}

/// `loong registry verify` and every load read manifests with the reader of the type; editors and other tools use its
/// JSON Schema. What the reader takes, the schema takes too, so that a manifest which is read was held against it.
#[test]
fn what_the_reader_of_manifests_takes_its_schema_takes() {
    let schema = std::fs::read(loong_it::root().join("registry/schema/loong.plugin.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let mut seeds: Vec<Value> = Vec::new();
    for folder in std::fs::read_dir(loong_it::root().join("components")).unwrap() {
        if let Ok(bytes) = std::fs::read(folder.unwrap().path().join("loong.plugin.json")) {
            seeds.push(serde_json::from_slice(&bytes).unwrap());
        }
    }
    seeds.push(json!({
        "$schema": "x", "id": "acme:all", "version": "1.2.3-rc.1", "kind": "surface", "summary": "Has every member",
        "tags": ["a"], "source_language": "rust", "licence": "Apache-2.0", "capabilities": {},
        "limits": { "memory_bytes": 65_536, "deadline_ms": 100 },
        "operations": [{ "name": "acme:all/api@1.0.0#go", "risk": "read", "doc": "d" }],
        "slots": [{ "interface": "acme:all/api", "mode": "exclusive" }],
        "setup": { "env": ["A"], "config": ["b"], "programs": ["c"], "docs_url": "https://acme.example", "remediation": "r" },
        "routes": [],
    }));
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("acme:other"),
        json!("0.1.0"),
        json!("read"),
        json!("exclusive"),
        json!([]),
        json!({}),
        json!([1]),
        json!({ "reason": "r" }),
        json!(["a", "a"]),
    ];
    let (mut random, mut taken, mut refused) = (Random(5), 0, 0);
    for round in 0..8_000 {
        let mut document = seeds[round % seeds.len()].clone();
        for _ in 0..random.below(3) {
            let mut all = Vec::new();
            places(&document, "", &mut all);
            let place = &all[random.below(all.len())];
            let value = values[random.below(values.len())].clone();
            match document.pointer_mut(place).unwrap() {
                Value::Object(members) if random.below(2) == 0 => {
                    let names = ["id", "reason", "unknown", "risk", "operations", "interface", "max"];
                    members.insert(names[random.below(names.len())].to_owned(), value);
                }
                Value::Object(members) if random.below(2) == 0 && !members.is_empty() => {
                    let name = members.keys().nth(random.below(members.len())).unwrap().clone();
                    members.remove(&name);
                }
                Value::Array(items) if random.below(2) == 0 => items.push(value),
                changed => *changed = value,
            }
        }
        let is_taken = Manifest::read(document.to_string().as_bytes()).is_ok();
        assert!(
            !is_taken || schema.is_valid(&document),
            "the reader takes what the schema refuses: {document:#}\n{:?}",
            schema.iter_errors(&document).map(|error| error.to_string()).collect::<Vec<_>>()
        );
        *(if is_taken { &mut taken } else { &mut refused }) += 1;
    }
    // The mutations do both often.
    assert!(taken > 1_500 && refused > 1_500, "{taken} taken, {refused} refused");
}
