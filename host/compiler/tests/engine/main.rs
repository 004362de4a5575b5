//! The engine takes what plain wasmtime takes with the same proposals. These tests are here because only this crate
//! holds a compiler.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is not as expected, and says how much it looked at"
)]

use loong_manifest::Meter;
use loong_runtime::engine;
use wasm_encoder::{ComponentSectionId, InstanceSection, RawSection};
use wasm_smith::Config as Shape;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine};
use wast::parser::{ParseBuffer, parse};
use wast::{QuoteWat, Wast, WastDirective};

/// Wasmtime as it comes, with the proposals of the host and nothing else of it.
fn plain() -> Engine {
    let mut config = Config::new();
    config.concurrency_support(false).wasm_memory64(false).shared_memory(false);
    Engine::new(&config).unwrap()
}

/// The two sides of the host for a meter: what compiles, and what runs.
struct Ours {
    compiler: Engine,
    host: Engine,
}

impl Ours {
    fn new(meter: Meter) -> Self {
        let engine = |config| Engine::new(&config).unwrap();
        Self { compiler: engine(engine::config(meter)), host: engine(engine::host_config(meter)) }
    }

    /// Compiles on one side and loads on the other, as artifacts go.
    fn take(&self, bytes: &[u8]) -> Result<(), String> {
        let artifact = self.compiler.precompile_component(bytes).map_err(|error| format!("{error:#}"))?;
        load(&self.host, &artifact)
    }
}

#[expect(unsafe_code, reason = "the artifact was made a moment ago in this process")]
fn load(engine: &Engine, artifact: &[u8]) -> Result<(), String> {
    // SAFETY: the bytes are what the compiler of the same build made, unchanged.
    let component = unsafe { Component::deserialize(engine, artifact) };
    can_link(engine, &component.map_err(|error| format!("{error:#}"))?)
}

/// Whether there is room for an instance, whatever it imports.
fn can_link(engine: &Engine, component: &Component) -> Result<(), String> {
    let mut linker = Linker::<()>::new(engine);
    linker.define_unknown_imports_as_traps(component).map_err(|error| format!("{error:#}"))?;
    linker.instantiate_pre(component).map(drop).map_err(|error| format!("{error:#}"))
}

/// How many components wasmtime took, and how many it refused.
#[derive(Default)]
struct Seen {
    taken: usize,
    refused: usize,
}

/// Gives every component to wasmtime and to the host with each meter, and holds that they agree.
fn compare(components: impl IntoIterator<Item = (String, Vec<u8>)>) -> Seen {
    let (plain, ours) = (plain(), [Meter::Epoch, Meter::EpochAndFuel].map(Ours::new));
    let mut seen = Seen::default();
    for (name, bytes) in components {
        let theirs = Component::new(&plain, &bytes)
            .map_err(|error| format!("{error:#}"))
            .and_then(|component| can_link(&plain, &component));
        match &theirs {
            Ok(()) => seen.taken += 1,
            Err(_) => seen.refused += 1,
        }
        for ours in &ours {
            let found = ours.take(&bytes);
            assert_eq!(found.is_ok(), theirs.is_ok(), "{name}: wasmtime {theirs:?}, the host {found:?}");
        }
        let inspected = loong_inspect::inspect(&bytes);
        assert!(theirs.is_err() || inspected.is_ok(), "{name}: wasmtime takes it, {inspected:?}");
    }
    println!("wasmtime took {} and refused {}", seen.taken, seen.refused);
    seen
}

/// Numbers that look random and are the same in each run (SplitMix64).
fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    std::iter::from_fn(|| Some(next())).flatten().take(count).collect()
}

/// The proposals of the host, for whatever they are written.
fn shape() -> Shape {
    Shape {
        gc_enabled: false,
        // The engine is built without a collector, and references to what is outside need one.
        reference_types_enabled: false,
        exceptions_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        // What pools have no room for is not what is compared here.
        max_memory32_bytes: 64 << 20,
        max_memories: 5,
        max_table_elements: 1_000,
        ..Shape::default()
    }
}

/// Any core module of this shape, in a component that makes an instance of it.
fn module(seed: u64, shape: Shape) -> Vec<u8> {
    let bytes = random_bytes(seed, 4_096);
    let shape = Shape { max_imports: 0, min_funcs: 1, ..shape };
    let module = wasm_smith::Module::new(shape, &mut arbitrary::Unstructured::new(&bytes)).unwrap();
    let mut component = wasm_encoder::Component::new();
    component.section(&RawSection { id: ComponentSectionId::CoreModule as u8, data: &module.to_bytes() });
    let mut instances = InstanceSection::new();
    instances.instantiate::<_, &str>(0, []);
    component.section(&instances);
    component.finish()
}

#[test]
fn takes_the_guests_that_wasmtime_takes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests");
    let guests = std::fs::read_dir(folder).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_text = path.extension().is_some_and(|extension| extension == "wat");
        is_text.then(|| (path.display().to_string(), wat::parse_file(&path).unwrap()))
    });
    let seen = compare(guests);
    assert!(seen.taken > 20 && seen.refused > 0, "{} taken, {} refused", seen.taken, seen.refused);
}

#[test]
fn takes_the_modules_that_wasmtime_takes() {
    let seen = compare((0..200).map(|seed| (format!("module {seed}"), module(seed, shape()))));
    assert!(seen.taken >= 150, "{} taken", seen.taken);
}

#[test]
fn refuses_the_proposals_that_wasmtime_refuses() {
    let wide = Shape {
        memory64_enabled: true,
        threads_enabled: true,
        gc_enabled: true,
        reference_types_enabled: true,
        exceptions_enabled: true,
        wide_arithmetic_enabled: true,
        custom_page_sizes_enabled: true,
        ..shape()
    };
    let seen = compare((0..100).map(|seed| (format!("wide module {seed}"), module(seed, wide.clone()))));
    assert!(seen.refused >= 50, "{} refused", seen.refused);
}

#[test]
fn takes_the_components_that_wasmtime_takes() {
    let components = (0..500).filter_map(|seed| {
        let bytes = random_bytes(seed, 2_048);
        let component = wasm_smith::Component::new(shape(), &mut arbitrary::Unstructured::new(&bytes));
        Some((format!("component {seed}"), component.ok()?.to_bytes()))
    });
    let seen = compare(components);
    assert!(seen.taken >= 300, "{} taken", seen.taken);
}

/// The components of a script, right or wrong. What they do when they run is not looked at.
fn components_of(script: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(script).unwrap();
    let buffer = ParseBuffer::new(&text).unwrap();
    let wast = match parse::<Wast<'_>>(&buffer) {
        Ok(wast) => wast,
        // The specification may be ahead of the parser, or behind it.
        Err(error) => {
            println!("SKIPPED: {}: {error}", script.display());
            return Vec::new();
        }
    };
    let encoded = |mut component: QuoteWat<'_>| {
        let (line, _) = component.span().linecol_in(&text);
        // What is wrong as text never becomes bytes.
        let bytes = component.encode().ok()?;
        Some((format!("{}:{}", script.display(), line + 1), bytes))
    };
    wast.directives
        .into_iter()
        .filter_map(|directive| match directive {
            WastDirective::Module(component)
            | WastDirective::ModuleDefinition(component)
            | WastDirective::AssertInvalid { module: component, .. }
            | WastDirective::AssertMalformed { module: component, .. } => encoded(component),
            _ => None,
        })
        .collect()
}

#[test]
#[ignore = "needs the tests of the component model: LOONG_WAST names their folder"]
#[expect(clippy::disallowed_methods, reason = "the tests of the specification are not in this tree")]
fn takes_the_components_of_the_specification() {
    let mut folders = vec![std::path::PathBuf::from(std::env::var_os("LOONG_WAST").unwrap())];
    let mut components = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wast") {
                components.extend(components_of(&path));
            }
        }
    }
    let seen = compare(components);
    assert!(seen.taken > 0, "no component in LOONG_WAST");
}
