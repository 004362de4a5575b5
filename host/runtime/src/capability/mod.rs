//! The host's capabilities, one module each. Adding one is a WIT file, a module here and a line in
//! [`link`].

mod config;
pub(crate) mod http;
mod kv;
mod log;
mod process;
mod stream;
pub(crate) mod tcp;
mod tools;

use std::future::Future;

use loong_kernel::{Fault, Nested};
use loong_manifest::Code;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::host;
use crate::bindings::host::types;
use crate::executor::{Arguments, Output, Runtime};
use crate::fault::Stop;
use crate::guest::Guest;

/// A host function fails either as a value that the plugin sees or as a fault that stops it.
pub(crate) enum HostError {
    /// The plugin sees it and can go on.
    Guest(types::Error),
    /// The plugin is stopped.
    Stop(Fault),
}

impl From<types::Error> for HostError {
    fn from(error: types::Error) -> Self {
        Self::Guest(error)
    }
}

impl From<Fault> for HostError {
    fn from(fault: Fault) -> Self {
        Self::Stop(fault)
    }
}

impl types::Host for Guest {
    fn convert_error(&mut self, error: HostError) -> wasmtime::Result<types::Error> {
        match error {
            HostError::Guest(error) => Ok(error),
            HostError::Stop(fault) => Err(Stop(fault).into()),
        }
    }
}

/// A refusal as the plugin sees it.
fn denied(code: Code, resource: &str, reason: &str) -> HostError {
    types::Error::Denied(types::Denial {
        code: code.as_str().replace('_', "-"),
        resource: crate::fault::said(resource),
        reason: reason.to_owned(),
    })
    .into()
}

fn invalid(field: &str, reason: &str) -> HostError {
    types::Error::Invalid(types::Invalid { field: field.to_owned(), reason: reason.to_owned() }).into()
}

fn limited(name: &str, maximum: u64, used: u64) -> HostError {
    types::Error::Limit(types::Limit { name: name.to_owned(), maximum, used }).into()
}

/// Does something once: in a run that goes on, what had been done is answered from the journal. `request` is everything
/// that makes it this effect.
async fn once<T: Serialize + DeserializeOwned>(
    nested: &Nested<Runtime>,
    capability: &str,
    request: &[&[u8]],
    work: impl Future<Output = Result<T, HostError>>,
) -> Result<T, HostError> {
    if !nested.may_stop() {
        return work.await;
    }
    let key = nested.effect_key(capability, request);
    if let Some(answer) = nested.journal().answer(&key) {
        let problem =
            |error| Fault::Host { problem: format!("the journal of the run cannot be read: {error}") };
        return serde_json::from_value(answer).map_err(|error| problem(error).into());
    }
    let done = work.await?;
    nested.journal().effect(key, || serde_json::to_value(&done).unwrap_or_default());
    Ok(done)
}

/// Bytes in a journal: base64 (RFC 4648, section 4), a quarter of what an array of numbers takes.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::capability) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in crate::capability) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Does something in a task of its own: the future of a host function runs on the stack of its guest, which is
/// small, and whose end is not known to code that asks how much of the stack is left (Cedar does). The task ends
/// with the caller.
async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Fault> {
    let mut task = JoinSet::new();
    task.spawn(work);
    let ended = |problem: &str| Fault::Host { problem: format!("the task of a host function {problem}") };
    match task.join_next().await {
        Some(joined) => joined.map_err(|error| ended(&error.to_string())),
        None => Err(ended("is missing")),
    }
}

/// Makes a nested call.
pub(crate) async fn call(
    nested: &Nested<Runtime>,
    operation: &str,
    arguments: Arguments,
) -> Result<Output, Fault> {
    aside(nested.call(operation, arguments)).await?
}

/// Links one interface of `loong:host`. Called only for what the component imports and policy granted.
/// Answers whether the host has an interface of this name.
pub(crate) fn link(linker: &mut Linker<Guest>, interface: &str) -> wasmtime::Result<bool> {
    match interface {
        "types" => host::types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        "log" => host::log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        "config" => host::config::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        "kv" => host::kv::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        "process" => host::process::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        "tools" => host::tools::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        "tcp" => host::tcp::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        "stream" => host::stream::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        _ => return Ok(false),
    }
    Ok(true)
}
