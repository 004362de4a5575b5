//! `loong-compile METER SECONDS`: a component on standard input, its compiled artifact on standard output.
//!
//! A program of its own, so that the host holds no compiler and a component that is hostile to the compiler
//! can be killed. It takes limits on its own memory and time before it reads a byte.
//!
//! Exit codes: 0 compiled · 1 the component does not compile · 2 wrong arguments · 70 anything else.

#![expect(clippy::print_stderr, reason = "this program speaks to the host through its standard streams")]

use std::io::{Read, Write};
use std::process::ExitCode;

use loong_manifest::Meter;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Largest component that any tier allows, in bytes.
const COMPONENT_BYTES_MAX: u64 = 128 << 20;
/// Address space, in bytes. Compiling the largest component takes about a fifth of it.
const ADDRESS_SPACE_BYTES_MAX: u64 = 6 << 30;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let meter = match arguments.next().as_deref() {
        Some("epoch") => Meter::Epoch,
        Some("epoch-and-fuel") => Meter::EpochAndFuel,
        _ => return usage(),
    };
    let Some(seconds) = arguments.next().and_then(|text| text.parse::<u64>().ok()) else { return usage() };
    match compile(meter, seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, problem)) => {
            eprintln!("{problem}");
            ExitCode::from(code)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: loong-compile epoch|epoch-and-fuel SECONDS < component.wasm > artifact.cwasm");
    ExitCode::from(2)
}

fn compile(meter: Meter, seconds: u64) -> Result<(), (u8, String)> {
    let host = |problem: String| (70, problem);
    let most = |maximum| Rlimit { current: Some(maximum), maximum: Some(maximum) };
    // Processor time counts every thread; two cores use it up twice as fast as the clock.
    setrlimit(Resource::Cpu, most(seconds.saturating_mul(4))).map_err(|error| host(error.to_string()))?;
    setrlimit(Resource::As, most(ADDRESS_SPACE_BYTES_MAX)).map_err(|error| host(error.to_string()))?;
    setrlimit(Resource::Core, most(0)).map_err(|error| host(error.to_string()))?;

    let mut component = Vec::new();
    let stdin = std::io::stdin().lock();
    stdin
        .take(COMPONENT_BYTES_MAX + 1)
        .read_to_end(&mut component)
        .map_err(|error| host(error.to_string()))?;
    if component.len() as u64 > COMPONENT_BYTES_MAX {
        return Err((1, format!("the component has more than {COMPONENT_BYTES_MAX} bytes")));
    }
    let engine = wasmtime::Engine::new(&loong_runtime::engine::config(meter))
        .map_err(|error| host(format!("{error:#}")))?;
    let artifact = engine.precompile_component(&component).map_err(|error| (1, format!("{error:#}")))?;
    std::io::stdout().lock().write_all(&artifact).map_err(|error| host(error.to_string()))
}
