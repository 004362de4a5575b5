//! Linking: an import is a granted host capability, or another plugin's export through `Kernel::call`.

use loong_kernel::Fault;
use loong_manifest::{Authority, InterfaceName, authority_of_import};
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::{WasiView, cli, filesystem, random, sockets};
use wasmtime_wasi_http::p2::bindings as http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

use crate::capability;
use crate::executor::{Arguments, Output};
use crate::fault::Stop;
use crate::guest::Guest;
use crate::plugin::{Function, Import, LoadError, signature, types_of};

/// A linker that holds exactly what the component imports, and the imports that other plugins satisfy.
pub(crate) fn link(component: &Component) -> Result<(Linker<Guest>, Vec<Import>), LoadError> {
    let engine = component.engine();
    let mut linker = Linker::new(engine);
    let mut imports = Vec::new();
    let mut wants = Wasi::default();
    for (name, item) in component.component_type().imports(engine) {
        let unknown = || LoadError::Import { import: name.to_owned() };
        let interface: InterfaceName = name.parse().map_err(|_| unknown())?;
        let ComponentItem::ComponentInstance(instance) = item.ty else { return Err(unknown()) };
        match authority_of_import(&interface) {
            Authority::Unknown => return Err(unknown()),
            Authority::Plugin => imports.push(plugin_import(&mut linker, engine, &interface, &instance)?),
            Authority::Empty => wants.sockets = true,
            Authority::Capability("filesystem") => wants.filesystem = true,
            Authority::Capability("http") => wants.requests = true,
            Authority::None if interface.path() == "wasi:http/types" => wants.messages = true,
            Authority::None if interface.namespace() == "wasi" => wants.any = true,
            Authority::None | Authority::Capability(_) => {
                let short = interface.path().rsplit('/').next().unwrap_or_default();
                if !capability::link(&mut linker, short).map_err(engine_error)? {
                    return Err(unknown());
                }
            }
        }
    }
    wants.link(&mut linker).map_err(engine_error)?;
    Ok((linker, imports))
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
pub(crate) fn engine_error(error: wasmtime::Error) -> LoadError {
    LoadError::Engine { problem: crate::fault::said(&format!("{error:#}")) }
}

/// Every function of the interface becomes a call on the one road. The values are handed over as they are.
fn plugin_import(
    linker: &mut Linker<Guest>,
    engine: &Engine,
    interface: &InterfaceName,
    instance: &ComponentInstance,
) -> Result<Import, LoadError> {
    let mut functions = Vec::new();
    let mut offered = linker.instance(&interface.to_string()).map_err(engine_error)?;
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) => {
                let (parameters, results) = types_of(&ty);
                let parameters = parameters.iter().map(|(name, ty)| (name.as_str(), ty));
                functions
                    .push(Function { name: name.to_owned(), signature: signature(parameters, &results) });
                let operation = format!("{interface}#{name}");
                offered
                    .func_new_async(name, move |store, _, arguments, results| {
                        Box::new(cross(store, operation.clone(), arguments.to_vec(), results))
                    })
                    .map_err(engine_error)?;
            }
            ComponentItem::Type(_) => {}
            _ => return Err(LoadError::Handle { import: interface.to_string() }),
        }
    }
    Ok(Import { interface: interface.clone(), functions })
}

async fn cross(
    store: StoreContextMut<'_, Guest>,
    operation: String,
    arguments: Vec<Val>,
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let reply = capability::call(&store.data().nested, &operation, Arguments::Values(arguments));
    let reply = reply.await.map_err(Stop)?;
    let Output::Values(values) = reply else {
        return Err(Stop(Fault::Host { problem: "JSON where values were asked".into() }).into());
    };
    if values.len() != results.len() {
        return Err(Stop(Fault::Result {
            problem: format!("`{operation}` returned another number of values"),
        })
        .into());
    }
    for (slot, value) in results.iter_mut().zip(values) {
        *slot = value;
    }
    Ok(())
}

/// Which parts of WASI 0.2 a component imports.
#[derive(Default)]
struct Wasi {
    /// Streams, standard input and output, clocks, random numbers: nothing outside the instance.
    any: bool,
    filesystem: bool,
    sockets: bool,
    /// The messages of HTTP.
    messages: bool,
    /// Sending them.
    requests: bool,
}

impl Wasi {
    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        if self.any || self.filesystem || self.sockets || self.messages || self.requests {
            wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
            wasi::random::insecure::add_to_linker::<_, random::WasiRandom>(linker, |guest| {
                guest.ctx().ctx.random()
            })?;
            wasi::random::insecure_seed::add_to_linker::<_, random::WasiRandom>(linker, |guest| {
                guest.ctx().ctx.random()
            })?;
            wasi::cli::exit::add_to_linker::<_, cli::WasiCli>(linker, cli::WasiCliView::cli)?;
            wasi::cli::environment::add_to_linker::<_, cli::WasiCli>(linker, cli::WasiCliView::cli)?;
            wasi::cli::terminal_input::add_to_linker::<_, cli::WasiCli>(linker, cli::WasiCliView::cli)?;
            wasi::cli::terminal_output::add_to_linker::<_, cli::WasiCli>(linker, cli::WasiCliView::cli)?;
            wasi::cli::terminal_stdin::add_to_linker::<_, cli::WasiCli>(linker, cli::WasiCliView::cli)?;
            wasi::cli::terminal_stdout::add_to_linker::<_, cli::WasiCli>(linker, cli::WasiCliView::cli)?;
            wasi::cli::terminal_stderr::add_to_linker::<_, cli::WasiCli>(linker, cli::WasiCliView::cli)?;
        }
        if self.messages || self.requests {
            let options = http::LinkOptions::default();
            http::http::types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), Guest::http)?;
        }
        if self.requests {
            http::http::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, Guest::http)?;
        }
        if self.filesystem {
            use filesystem::{WasiFilesystem, WasiFilesystemView};
            wasi::filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
            wasi::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
        }
        if self.sockets {
            use sockets::{WasiSockets, WasiSocketsView};
            let options = wasi::LinkOptions::default();
            wasi::sockets::tcp::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
            wasi::sockets::udp::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
            wasi::sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
            wasi::sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
            wasi::sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
            wasi::sockets::network::add_to_linker::<_, WasiSockets>(
                linker,
                &(&options).into(),
                Guest::sockets,
            )?;
            wasi::sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
        }
        Ok(())
    }
}
