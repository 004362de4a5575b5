//! A loaded plugin: compiled, pre-linked with exactly what was granted, ready for a fresh instance.

use std::collections::BTreeMap;

use loong_kernel::Fault;
use loong_manifest::{Code, InterfaceName, Meter, OperationName};
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::artifact::ArtifactError;
use crate::guest::Guest;
use crate::values::wit_text;

/// Why an admitted component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be compiled, or its artifact could not be kept.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// It imports what nothing can offer.
    #[error("it imports `{import}`, which this host does not offer and no plugin can")]
    Import {
        /// The import.
        import: String,
    },
    /// It imports a handle from another plugin.
    #[error("it imports `{import}` with a resource; only values cross between plugins")]
    Handle {
        /// The import.
        import: String,
    },
    /// The engine refused it.
    #[error("the engine refused it: {problem}")]
    Engine {
        /// The engine's words.
        problem: String,
    },
}

impl LoadError {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Artifact(error) => error.code(),
            Self::Import { .. } => Code::ImportUnknown,
            Self::Handle { .. } => Code::ComponentUnsupported,
            Self::Engine { .. } => Code::ComponentInvalid,
        }
    }
}

/// A function as WIT writes it, for comparing what is offered with what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its parameters and results.
    pub signature: String,
}

/// An interface that another plugin has to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The interface.
    pub interface: InterfaceName,
    /// The functions of it that are used.
    pub functions: Vec<Function>,
}

/// One exported function.
pub(crate) struct Export {
    pub(crate) index: ComponentExportIndex,
    pub(crate) parameters: Vec<(String, Type)>,
    pub(crate) results: Vec<Type>,
}

/// A loaded plugin.
pub struct Plugin {
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) exports: BTreeMap<OperationName, Export>,
    pub(crate) meter: Meter,
    imports: Vec<Import>,
}

impl Plugin {
    pub(crate) fn new(pre: InstancePre<Guest>, meter: Meter, imports: Vec<Import>) -> Self {
        let exports = exports(pre.component());
        Self { pre, exports, meter, imports }
    }

    /// What other plugins have to offer.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// An exported function.
    pub(crate) fn export(&self, operation: &OperationName) -> Result<&Export, Fault> {
        self.exports.get(operation).ok_or_else(|| Fault::Unknown { operation: operation.to_string() })
    }

    /// The signature of an exported function.
    pub fn signature(&self, operation: &OperationName) -> Option<String> {
        let export = self.exports.get(operation)?;
        Some(signature(export.parameters.iter().map(|(name, ty)| (name.as_str(), ty)), &export.results))
    }
}

/// A function's type as one line of WIT.
pub(crate) fn signature<'a>(
    parameters: impl Iterator<Item = (&'a str, &'a Type)>,
    results: &[Type],
) -> String {
    let parameters: Vec<String> = parameters.map(|(name, ty)| format!("{name}: {}", wit_text(ty))).collect();
    let results: Vec<String> = results.iter().map(wit_text).collect();
    format!("func({}) -> {}", parameters.join(", "), results.join(", "))
}

/// Parameters and results of a function.
pub(crate) fn types_of(function: &ComponentFunc) -> (Vec<(String, Type)>, Vec<Type>) {
    (function.params().map(|(name, ty)| (name.to_owned(), ty)).collect(), function.results().collect())
}

fn exports(component: &Component) -> BTreeMap<OperationName, Export> {
    let engine = component.engine();
    let mut exports = BTreeMap::new();
    let mut add = |name: Option<InterfaceName>, function: &str, ty: &ComponentFunc, index| {
        let (parameters, results) = types_of(ty);
        let operation = OperationName { interface: name, function: function.to_owned() };
        exports.insert(operation, Export { index, parameters, results });
    };
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) => {
                if let Some(index) = component.get_export_index(None, name) {
                    add(None, name, &ty, index);
                }
            }
            ComponentItem::ComponentInstance(instance) => {
                let Ok(interface) = name.parse::<InterfaceName>() else { continue };
                let Some(outer) = component.get_export_index(None, name) else { continue };
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = item.ty
                        && let Some(index) = component.get_export_index(Some(&outer), function)
                    {
                        add(Some(interface.clone()), function, &ty, index);
                    }
                }
            }
            _ => {}
        }
    }
    exports
}
