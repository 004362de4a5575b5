//! Every `bindgen!` call of the host. Nothing else names generated code.

/// `loong:host`: the interfaces that a plugin can be granted.
pub(crate) mod host {
    mod generated {
        #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
        wasmtime::component::bindgen!({
            path: "../../wit/host",
            world: "loong:host/imports",
            with: { "loong:host/tcp.connection": crate::capability::tcp::Open },
            imports: { default: async | trappable },
            trappable_error_type: { "loong:host/types.error" => crate::capability::HostError },
        });
    }
    pub(crate) use self::generated::loong::host::*;
}
