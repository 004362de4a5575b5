//! Reads what a component asks for (its imports) and offers (its exports), from its bytes alone: nothing is
//! compiled or run, no file is opened. The bytes may come from an attacker, so everything that is read is
//! bounded by [`Bounds`] and nothing here can panic on them.
//!
//! An **operation** is a function of an exported interface outside `wasi:` and `loong:`, or a function that a
//! component exports by itself (then it is named `#function`). Functions that take or return handles
//! (resources, streams, futures) are no operations, because values cross between components and handles do
//! not; they are listed in [`Contents::skipped`] with the reason. So are functions of an interface that is
//! exported under a plain name, because nobody could say whose they are.
//!
//! An import whose [`Extern::interface`] is none is one that no policy can name.

mod anatomy;
mod binary;
mod error;
mod manifest;
mod schema;
mod shape;
mod source;

use loong_manifest::{InterfaceName, OperationName};
use serde_json::Value;

pub use anatomy::{Anatomy, anatomy};
pub use error::InspectError;
pub use manifest::{MANIFEST_SECTION, manifest_section, with_manifest};
pub use schema::without_descriptions;
pub use source::operations_from_wit;

use shape::{Refused, Signature};

/// How much of a hostile file is looked at before it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the whole component.
    pub component_bytes_max: usize,
    /// Bytes of the manifest inside it.
    pub manifest_bytes_max: usize,
    /// Bytes that everything read out of it may take, roughly: names, and 2 KiB for each node of each type.
    /// A few bytes of a component can describe a type of exponential size.
    pub contents_bytes_max: usize,
}

impl Bounds {
    /// What suits every component seen so far with a wide margin: 128 MiB, 1 MiB and 64 MiB.
    pub const WIDE: Self =
        Self { component_bytes_max: 128 << 20, manifest_bytes_max: 1 << 20, contents_bytes_max: 64 << 20 };
}

/// What a component asks for and offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// What it imports, in the order of the file.
    pub imports: Vec<Extern>,
    /// What it exports, in the order of the file.
    pub exports: Vec<Extern>,
    /// The operations it offers, in the order of the file.
    pub operations: Vec<Operation>,
    /// Exported functions that are no operations.
    pub skipped: Vec<Skipped>,
    /// The manifest it carries, unread.
    pub manifest: Option<Vec<u8>>,
}

/// One import or export of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extern {
    /// The name as it is in the file, of any form the component model knows.
    pub name: String,
    /// The name, if it is that of an interface.
    pub interface: Option<InterfaceName>,
    /// What has this name.
    pub kind: ExternKind,
    /// The functions of an interface, methods and constructors included; empty for every other kind.
    pub functions: Vec<String>,
    /// The resource types of an interface; empty for every other kind.
    pub resources: Vec<String>,
}

/// What an import or export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternKind {
    /// An interface: functions and types under one name.
    Interface,
    /// A function by itself.
    Function,
    /// A type that describes values; it carries no authority.
    Type,
    /// A resource type by itself.
    Resource,
    /// A whole component.
    Component,
    /// A core module.
    Module,
    /// A value.
    Value,
}

/// One callable function, with JSON Schemas (draft 2020-12) of its arguments and its result.
///
/// The schemas describe the mapping of `loong_runtime::values`: `input` what is accepted, `output` what is
/// produced. Four things they cannot say: an integer is written without a decimal point, decimal text is in
/// range, bytes are well-formed base64, and a number for an `f32` is not too large for one.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its full name.
    pub name: OperationName,
    /// Its WIT documentation. Components do not carry it; their source does.
    pub doc: Option<String>,
    /// The schema of the object that holds the arguments.
    pub input: Value,
    /// The schema of the result; `null` where there is none.
    pub output: Value,
}

/// An exported function that is no operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// `export#function`, or `#function`.
    pub name: String,
    /// Why, as a phrase that follows the name.
    pub why: &'static str,
}

/// The operations of a world, as they are in its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The operations, in the order of the source.
    pub operations: Vec<Operation>,
    /// Exported functions that are no operations.
    pub skipped: Vec<Skipped>,
}

impl Offer {
    /// Adds an exported function to the operations, or to the others with the reason.
    fn add(
        &mut self,
        export: Option<&str>,
        function: &str,
        doc: Option<&str>,
        signature: Result<Signature, Refused>,
    ) -> Result<(), InspectError> {
        let interface: Option<InterfaceName> = export.and_then(|export| export.parse().ok());
        if interface.as_ref().is_some_and(InterfaceName::is_contract) {
            return Ok(());
        }
        let full_name = format!("{}#{function}", export.unwrap_or_default());
        let operation = if export.is_some() && interface.is_none() {
            Err(Refused::Skip(
                "is in an interface whose name is not `namespace:package/interface` in lower case",
            ))
        } else if function.starts_with('[') {
            Err(Refused::HANDLE)
        } else {
            full_name.parse().map_err(|_| Refused::Skip("has a name that is too long"))
        };
        match operation.and_then(|name: OperationName| Ok((name, signature?))) {
            Ok((name, signature)) => {
                let (input, output) = schema::schemas(&signature);
                self.operations.push(Operation { name, doc: doc.map(str::to_owned), input, output });
            }
            Err(Refused::Skip(why)) => self.skipped.push(Skipped { name: full_name, why }),
            Err(Refused::Fail(error)) => return Err(error),
        }
        Ok(())
    }
}

/// Reads a component within [`Bounds::WIDE`].
///
/// # Errors
/// See [`inspect_within`].
pub fn inspect(bytes: &[u8]) -> Result<Contents, InspectError> {
    inspect_within(bytes, &Bounds::WIDE)
}

/// Reads a component. Everything but the code of its functions is validated; the compiler validates that.
///
/// # Errors
/// If the bytes are not one whole, valid component, use what the host does not offer, hold two different
/// manifests, or exceed the bounds.
pub fn inspect_within(bytes: &[u8], bounds: &Bounds) -> Result<Contents, InspectError> {
    binary::read(bytes, bounds)
}

#[cfg(test)]
mod tests;
