//! Compares what a manifest says with what the component is. A manifest may ask for more than the component
//! imports; it may never say less, and never something else.

use std::collections::{BTreeMap, BTreeSet};

use loong_inspect::{Contents, Extern, ExternKind, without_descriptions};
use loong_manifest::contract::{self, CONTRACTS, Fit};
use loong_manifest::{
    Authority, InterfaceName, Manifest, OperationEntry, OperationName, Risk, authority_of_import,
};
use serde_json::Value;

use crate::TrustError;

/// One callable function of a component.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its full name.
    pub name: OperationName,
    /// How much it can break, as its manifest says. What no manifest speaks of is `irreversible`: nobody has
    /// said that it is less.
    pub risk: Risk,
    /// Whether it is a tool: those are listed and searched for. Functions of contracts (`wasi:cli/run`,
    /// `loong:pack/pack`) are called by whoever knows the contract.
    pub is_tool: bool,
    /// What it does, in the words of the manifest.
    pub doc: Option<String>,
    /// JSON Schema of its arguments; none for functions of contracts.
    pub input: Option<Value>,
    /// JSON Schema of its result; none for functions of contracts.
    pub output: Option<Value>,
    /// Arguments that show how it is called.
    pub examples: Vec<Value>,
    /// Whether a model is shown the schema only after it searched for the tool.
    pub defer_loading: bool,
}

/// Checks every import and every operation, and returns the operations: tools in the order of the file, then
/// functions of contracts.
pub(crate) fn check(contents: &Contents, manifest: Option<&Manifest>) -> Result<Vec<Operation>, TrustError> {
    for import in &contents.imports {
        check_import(import, manifest)?;
    }
    let exports = contents.exports.iter().filter_map(|export| export.interface.as_ref());
    for interface in exports.filter(|interface| contract::is_known(interface.package())) {
        check_contract(interface)?;
    }
    let contract_names = contract_operations(&contents.exports);
    let entries: BTreeMap<&OperationName, &OperationEntry> =
        manifest.iter().flat_map(|manifest| &manifest.operations).map(|entry| (&entry.name, entry)).collect();
    let offered: BTreeSet<&OperationName> =
        contents.operations.iter().map(|operation| &operation.name).chain(&contract_names).collect();
    if let Some(missing) = entries.keys().find(|name| !offered.contains(*name)) {
        return Err(TrustError::OperationMissing { operation: (*missing).clone() });
    }
    let mut operations = Vec::with_capacity(offered.len());
    for found in &contents.operations {
        let entry = entries.get(&found.name).copied();
        if manifest.is_some() && entry.is_none() {
            return Err(TrustError::OperationUndeclared { operation: found.name.clone() });
        }
        let input = schema("input", found, entry.and_then(|entry| entry.input.as_ref()), &found.input)?;
        let output = schema("output", found, entry.and_then(|entry| entry.output.as_ref()), &found.output)?;
        operations.push(operation(found.name.clone(), true, entry, Some(input), Some(output)));
    }
    for name in contract_names {
        let entry = entries.get(&name).copied();
        operations.push(operation(name, false, entry, None, None));
    }
    Ok(operations)
}

fn check_import(import: &Extern, manifest: Option<&Manifest>) -> Result<(), TrustError> {
    let only_types = import.functions.is_empty() && import.resources.is_empty();
    if import.kind == ExternKind::Type || (import.kind == ExternKind::Interface && only_types) {
        // Types of values; there is nothing to call.
        return Ok(());
    }
    let unknown = || TrustError::ImportUnknown { import: import.name.clone() };
    let (ExternKind::Interface, Some(interface)) = (import.kind, &import.interface) else {
        return Err(unknown());
    };
    let undeclared = |import: String, capability| Err(TrustError::ImportUndeclared { import, capability });
    let authority = authority_of_import(interface);
    if authority != Authority::Unknown {
        check_contract(interface)?;
    }
    match (authority, manifest) {
        (Authority::None, _) => Ok(()),
        // Linked without any authority (no folders, every address refused), for components that were not
        // written for Loong. One that was must not ask for what it cannot get.
        (Authority::Empty | Authority::Capability("filesystem"), None) => Ok(()),
        (Authority::Unknown, _) | (Authority::Empty, Some(_)) => Err(unknown()),
        // Values cross between components, handles do not: no plugin can offer this.
        (Authority::Plugin, _) if !import.resources.is_empty() => Err(unknown()),
        (Authority::Capability(_) | Authority::Plugin, None) => {
            let why = format!("its import of `{interface}` has to be declared in one");
            Err(TrustError::ManifestMissing { why })
        }
        (Authority::Capability(name), Some(manifest)) if manifest.capabilities.asks(name) => Ok(()),
        (Authority::Capability(name), Some(_)) => undeclared(interface.to_string(), name),
        (Authority::Plugin, Some(manifest)) => {
            match import.functions.iter().find(|function| !covers(manifest, interface, function)) {
                Some(function) => undeclared(format!("{interface}#{function}"), "tools"),
                None => Ok(()),
            }
        }
    }
}

/// An interface of a contract has to be of a version that this host offers, or of a newer one that is compatible:
/// whether it uses what is new, linking finds out.
fn check_contract(interface: &InterfaceName) -> Result<(), TrustError> {
    if contract::fit(interface) != Some(Fit::Unsupported) {
        return Ok(());
    }
    let same = CONTRACTS.iter().filter(|offered| offered.package == interface.package());
    let offered: Vec<String> = same.map(ToString::to_string).collect();
    let offered = if offered.is_empty() { "no such package".to_owned() } else { offered.join(", ") };
    Err(TrustError::ContractUnsupported { interface: interface.clone(), offered })
}

fn covers(manifest: &Manifest, interface: &InterfaceName, function: &str) -> bool {
    let operation = OperationName { interface: Some(interface.clone()), function: function.to_owned() };
    let patterns = manifest.capabilities.tools.iter().flat_map(|tools| &tools.operations);
    patterns.into_iter().any(|pattern| pattern.covers(&operation))
}

/// The functions of exported contracts, but not methods of resources: nobody calls those by name.
fn contract_operations(exports: &[Extern]) -> Vec<OperationName> {
    let contracts = exports.iter().filter_map(|export| match &export.interface {
        Some(interface) if export.kind == ExternKind::Interface && interface.is_contract() => {
            Some((interface, &export.functions))
        }
        _ => None,
    });
    contracts
        .flat_map(|(interface, functions)| functions.iter().map(move |function| (interface, function)))
        .filter(|(_, function)| !function.starts_with('['))
        .map(|(interface, function)| OperationName {
            interface: Some(interface.clone()),
            function: function.clone(),
        })
        .collect()
}

/// The schema of one side: the manifest's, which has texts, if it says the same as the component's.
fn schema(
    side: &'static str,
    found: &loong_inspect::Operation,
    claimed: Option<&Value>,
    derived: &Value,
) -> Result<Value, TrustError> {
    let Some(claimed) = claimed else { return Ok(derived.clone()) };
    if without_descriptions(claimed) != without_descriptions(derived) {
        return Err(TrustError::SchemaDiffers { operation: found.name.clone(), side });
    }
    Ok(claimed.clone())
}

fn operation(
    name: OperationName,
    is_tool: bool,
    entry: Option<&OperationEntry>,
    input: Option<Value>,
    output: Option<Value>,
) -> Operation {
    Operation {
        name,
        risk: entry.map_or(Risk::Irreversible, |entry| entry.risk),
        is_tool,
        doc: entry.and_then(|entry| entry.doc.clone()),
        input,
        output,
        examples: entry.map(|entry| entry.examples.clone()).unwrap_or_default(),
        defer_loading: entry.is_some_and(|entry| entry.defer_loading),
    }
}
