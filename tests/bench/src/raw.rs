//! The bare engine: what any embedding of wasmtime would do for one call in a fresh instance.

#![expect(unsafe_code, reason = "artifacts made a moment ago by our own compiler are loaded")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use loong_manifest::Meter;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, ResourceTable, Val, types};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Compiles a component in the child, as the host does.
pub fn compile(compiler: &Path, component: &[u8]) -> Vec<u8> {
    compile_for(compiler, component, Meter::Epoch)
}

/// The same for a meter.
pub fn compile_for(compiler: &Path, component: &[u8], meter: Meter) -> Vec<u8> {
    let mut child = Command::new(compiler)
        .args([meter.as_str(), "60"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(component).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// A pre-linked component in the bare engine.
pub struct Raw {
    pre: InstancePre<()>,
    echo: ComponentExportIndex,
}

impl Raw {
    pub fn new(engine: &Engine, artifact: &[u8]) -> Self {
        // SAFETY: the artifact was made by `compile` above, in this run.
        let component = unsafe { Component::deserialize(engine, artifact) }.unwrap();
        let outer = component.get_export_index(None, "bench:echo/echo@1.0.0").unwrap();
        let echo = component.get_export_index(Some(&outer), "echo").unwrap();
        Self { pre: Linker::new(engine).instantiate_pre(&component).unwrap(), echo }
    }

    /// One call in a fresh instance.
    pub fn call(&self, text: &str) -> String {
        let mut store = Store::new(self.pre.engine(), ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.pre.instantiate(&mut store).unwrap();
        let echo = instance.get_typed_func::<(&str,), (String,)>(&mut store, self.echo).unwrap();
        echo.call(&mut store, (text,)).unwrap().0
    }

    /// The type of the parameter of `echo`.
    pub fn parameter(&self) -> types::Type {
        let component = self.pre.component();
        let types::ComponentItem::ComponentInstance(instance) =
            component.component_type().get_export(component.engine(), "bench:echo/echo@1.0.0").unwrap().ty
        else {
            panic!("not an instance")
        };
        let types::ComponentItem::ComponentFunc(function) =
            instance.get_export(component.engine(), "echo").unwrap().ty
        else {
            panic!("not a function")
        };
        function.params().next().unwrap().1
    }
}

/// One function of any component, called with values as the host calls it.
pub struct Function {
    pre: InstancePre<()>,
    index: ComponentExportIndex,
}

impl Function {
    pub fn new(engine: &Engine, artifact: &[u8], interface: &str, function: &str) -> Self {
        // SAFETY: the artifact was made by `compile` above, in this run.
        let component = unsafe { Component::deserialize(engine, artifact) }.unwrap();
        let outer = component.get_export_index(None, interface).unwrap();
        let index = component.get_export_index(Some(&outer), function).unwrap();
        Self { pre: Linker::new(engine).instantiate_pre(&component).unwrap(), index }
    }

    /// One call in a fresh instance.
    pub fn call(&self, arguments: &[Val]) -> Vec<Val> {
        let mut store = Store::new(self.pre.engine(), ());
        store.set_epoch_deadline(u64::MAX / 2);
        // An error where fuel is not counted.
        let _ = store.set_fuel(u64::MAX);
        let instance = self.pre.instantiate(&mut store).unwrap();
        let mut results = vec![Val::Bool(false)];
        let function = instance.get_func(&mut store, self.index).unwrap();
        function.call(&mut store, arguments, &mut results).unwrap();
        results
    }
}

/// The same with WASI, as hosts offer it to every component.
pub struct Linking {
    component: Component,
    linker: Linker<Wasi>,
    echo: ComponentExportIndex,
}

/// What WASI needs in a store.
pub struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

fn wasi_linker(engine: &Engine) -> Linker<Wasi> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    linker
}

impl Linking {
    pub fn new(engine: &Engine, artifact: &[u8]) -> Self {
        // SAFETY: the artifact was made by `compile` above, in this run.
        let component = unsafe { Component::deserialize(engine, artifact) }.unwrap();
        let outer = component.get_export_index(None, "bench:echo/echo@1.0.0").unwrap();
        let echo = component.get_export_index(Some(&outer), "echo").unwrap();
        Self { component, linker: wasi_linker(engine), echo }
    }

    /// One call in a fresh instance, with a linker of its own if `anew` says so.
    pub fn call(&self, text: &str, anew: bool) -> String {
        let engine = self.component.engine();
        let wasi = Wasi { ctx: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(engine, wasi);
        store.set_epoch_deadline(u64::MAX / 2);
        let own;
        let linker = if anew {
            own = wasi_linker(engine);
            &own
        } else {
            &self.linker
        };
        let instance = linker.instantiate(&mut store, &self.component).unwrap();
        let echo = instance.get_typed_func::<(&str,), (String,)>(&mut store, self.echo).unwrap();
        echo.call(&mut store, (text,)).unwrap().0
    }
}

/// The smallest program: an engine, an artifact from a file, one call.
pub fn minimal(file: &Path) -> String {
    let engine = Engine::new(&loong_runtime::engine::config(Meter::Epoch)).unwrap();
    // SAFETY: the file was written by this program's other half a moment ago.
    let component = unsafe { Component::deserialize_file(&engine, file) }.unwrap();
    let outer = component.get_export_index(None, "bench:echo/echo@1.0.0").unwrap();
    let echo = component.get_export_index(Some(&outer), "echo").unwrap();
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let echo = instance.get_typed_func::<(&str,), (String,)>(&mut store, echo).unwrap();
    echo.call(&mut store, ("x",)).unwrap().0
}
