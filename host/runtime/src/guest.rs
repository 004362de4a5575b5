//! What belongs to one instance while it runs: the store's data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use loong_kernel::{Fault, KvSpace, Nested};
use loong_manifest::{Access, LimitName, Limits};
use loong_policy::FolderGrant;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::capability::http::Http;
use crate::egress::{Egress, Reaching};
use crate::executor::Runtime;
use crate::fault::Stop;
use crate::limiter::Limiter;
use crate::watch::{Channel, Watch};

/// The data of one store.
pub(crate) struct Guest {
    pub(crate) limiter: Limiter,
    pub(crate) nested: Arc<Nested<Runtime>>,
    pub(crate) services: Services,
    pub(crate) spent: Spent,
    pub(crate) reaching: Arc<Reaching>,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: Http,
}

/// What host capabilities use of the rest of the host.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) kv: Arc<dyn KvSpace>,
    pub(crate) watch: Arc<dyn Watch>,
    pub(crate) egress: Arc<Egress>,
    pub(crate) programs: Arc<crate::Programs>,
}

/// What one call has used of the limits that the host counts itself.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) log_lines: u32,
    pub(crate) log_bytes: u64,
    pub(crate) stream_bytes: u64,
    pub(crate) processes: u32,
}

/// What can be read of a call after its store is gone.
#[derive(Default, Clone)]
pub(crate) struct Probe {
    pub(crate) memory_peak_bytes: Arc<AtomicU64>,
    pub(crate) output_bytes: Arc<AtomicU64>,
}

/// What a command gets besides its grants.
#[derive(Default)]
pub(crate) struct CommandLine {
    pub(crate) arguments: Vec<String>,
    pub(crate) stdin: Stdin,
}

/// What a guest reads from its standard input.
#[derive(Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The standard input of this process, as far as the guest reads it.
    Inherited,
}

impl Guest {
    pub(crate) fn new(
        limiter: Limiter,
        nested: Nested<Runtime>,
        services: Services,
        probe: &Probe,
        command_line: CommandLine,
        access_max: Access,
    ) -> Result<Self, Fault> {
        let plugin = Arc::clone(nested.plugin());
        let mut wasi = wasi(&plugin.id, &plugin.limits, &services, probe, command_line);
        for folder in &plugin.grants.folders {
            preopen(&mut wasi, folder, access_max)?;
        }
        let wasi = wasi.build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(plugin.limits.resources_max as usize);
        let nested = Arc::new(nested);
        let reaching = Reaching::new(Arc::clone(&nested), Arc::clone(&services.egress));
        let http = Http::new(Arc::clone(&reaching));
        Ok(Self { limiter, nested, services, spent: Spent::default(), reaching, table, wasi, http })
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (hooks, ctx) = self.http.parts();
        WasiHttpCtxView { hooks, ctx, table: &mut self.table }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// WASI 0.2 without any authority: an empty environment, no network, nothing of the file system, captured and
/// bounded output.
fn wasi(
    plugin: &loong_manifest::PluginId,
    limits: &Limits,
    services: &Services,
    probe: &Probe,
    command_line: CommandLine,
) -> WasiCtxBuilder {
    let output = |channel| Output {
        plugin: plugin.clone(),
        channel,
        watch: Arc::clone(&services.watch),
        bytes: Arc::clone(&probe.output_bytes),
        maximum: limits.output_bytes_max,
    };
    let mut builder = WasiCtxBuilder::new();
    match command_line.stdin {
        Stdin::Empty => {}
        Stdin::Bytes(bytes) => {
            builder.stdin(MemoryInputPipe::new(bytes));
        }
        Stdin::Inherited => {
            builder.inherit_stdin();
        }
    }
    builder
        .stdout(output(Channel::Stdout))
        .stderr(output(Channel::Stderr))
        .arg(plugin.name())
        .args(&command_line.arguments)
        .max_random_size(limits.random_bytes_max)
        .allow_tcp(false)
        .allow_udp(false);
    builder
}

/// Opens a granted folder to the guest, for at most what the operation says that it does.
fn preopen(wasi: &mut WasiCtxBuilder, folder: &FolderGrant, access_max: Access) -> Result<(), Fault> {
    let permissions = match folder.access.min(access_max) {
        Access::Read => FsPerms::ReadOnly,
        Access::Write => FsPerms::ReadWrite,
    };
    wasi.preopened_dir(&folder.host, format!("/{}", folder.name), permissions).map(|_| ()).map_err(|error| {
        Fault::Host { problem: format!("the folder `{}` cannot be opened: {error}", folder.host.display()) }
    })
}

/// Standard output or error of a guest: handed to whoever watches, counted, and cut off by a limit.
#[derive(Clone)]
struct Output {
    plugin: loong_manifest::PluginId,
    channel: Channel,
    watch: Arc<dyn Watch>,
    bytes: Arc<AtomicU64>,
    maximum: u64,
}

impl Output {
    fn take(&self, bytes: &[u8]) -> Result<(), Stop> {
        let used =
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed).saturating_add(bytes.len() as u64);
        if used > self.maximum {
            return Err(Stop(Fault::Limit {
                limit: LimitName::OutputBytes,
                maximum: self.maximum,
                used: Some(used),
            }));
        }
        self.watch.text(&self.plugin, self.channel, bytes);
        Ok(())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only components of WASI 0.3 use it, and those are not linked.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.take(&bytes).map_err(|stop| StreamError::Trap(stop.into()))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}
