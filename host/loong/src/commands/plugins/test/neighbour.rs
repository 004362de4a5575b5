//! Components that stand for the neighbours of the one under test: they offer what it imports, with the types that it
//! was built for, and have no code that does anything. The test says what they answer.

use std::collections::{BTreeMap, BTreeSet};

use loong_manifest::{Authority, Code, Manifest, authority_of_import};
use loong_trust::Candidate;
use serde_json::json;
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{InterfaceId, ManglingAndAbi, Resolve, Type, TypeDefKind, TypeOwner, World, WorldKey};

use super::case::Case;
use crate::commands::plugins::pack;
use crate::error::CommandError;

/// One component for each package that is imported and that no component of the test offers, by its id.
pub(super) fn missing(candidate: &Candidate, case: &Case) -> Result<BTreeMap<String, Vec<u8>>, CommandError> {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for import in &candidate.contents().imports {
        let Some(interface) = &import.interface else { continue };
        let is_answered = case.neighbours.iter().any(|answer| {
            let unversioned = import.name.split('@').next().unwrap_or_default();
            let plugin = unversioned.split([':', '/']).nth(1).unwrap_or_default();
            answer.operation.starts_with(unversioned)
                || answer.operation.split_once('.').is_some_and(|(name, _)| name == plugin)
        });
        if authority_of_import(interface) == Authority::Plugin && is_answered {
            let package = import.name.split('/').next().unwrap_or_default().to_owned();
            wanted.entry(package).or_default().push(import.name.clone());
        }
    }
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let failed = |problem: String| {
        CommandError::new(Code::ComponentInvalid, "the neighbours cannot be made").detail(problem)
    };
    let decoded = wit_component::decode(candidate.bytes()).map_err(|error| failed(format!("{error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(failed("it is a package of WIT".to_owned()));
    };
    let make = |(package, interfaces): (String, Vec<String>)| {
        let bytes = offering(resolve.clone(), world, &interfaces).map_err(failed)?;
        let bytes = packed(&package, &bytes)?;
        Ok((package, bytes))
    };
    wanted.into_iter().map(make).collect()
}

/// A component that exports these interfaces of a world's imports, and traps whatever is called.
fn offering(
    mut resolve: Resolve,
    importer: wit_parser::WorldId,
    interfaces: &[String],
) -> Result<Vec<u8>, String> {
    let importer = resolve.worlds.get(importer).ok_or("it has no world")?;
    let mut world = World { name: "neighbour".to_owned(), ..importer.clone() };
    world.exports.clear();
    let imports = std::mem::take(&mut world.imports);
    let is_wanted = |key: &WorldKey| {
        matches!(key, WorldKey::Interface(_)) && interfaces.contains(&resolve.name_world_key(key))
    };
    let mut used = BTreeSet::new();
    for key in imports.keys().filter(|key| is_wanted(key)) {
        if let WorldKey::Interface(id) = key {
            uses(&resolve, *id, &mut used);
        }
    }
    for (key, item) in imports {
        if is_wanted(&key) {
            world.exports.insert(key, item);
        } else if matches!(&key, WorldKey::Interface(id) if used.contains(&id.index())) {
            world.imports.insert(key, item);
        }
    }
    let id = resolve.worlds.alloc(world);
    let abi = ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, id, abi);
    wit_component::embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8)
        .map_err(|error| format!("{error:#}"))?;
    let encoder = ComponentEncoder::default().module(&module).map_err(|error| format!("{error:#}"))?;
    encoder.validate(true).encode().map_err(|error| format!("{error:#}"))
}

/// The interfaces whose types an interface uses.
fn uses(resolve: &Resolve, interface: InterfaceId, found: &mut BTreeSet<usize>) {
    let Some(interface) = resolve.interfaces.get(interface) else { return };
    for ty in interface.types.values().filter_map(|id| resolve.types.get(*id)) {
        let TypeDefKind::Type(Type::Id(other)) = ty.kind else { continue };
        let Some(TypeOwner::Interface(owner)) = resolve.types.get(other).map(|other| other.owner) else {
            continue;
        };
        if found.insert(owner.index()) {
            uses(resolve, owner, found);
        }
    }
}

/// With a manifest that lists what it offers.
fn packed(package: &str, component: &[u8]) -> Result<Vec<u8>, CommandError> {
    let contents = loong_inspect::inspect(component)
        .map_err(|error| CommandError::new(error.code(), error.to_string()))?;
    let operations: Vec<_> = contents
        .operations
        .iter()
        .map(|operation| json!({ "name": operation.name.to_string(), "risk": "read" }))
        .collect();
    let manifest = json!({
        "id": package, "version": "0.0.0", "kind": "tool", "summary": "Answers as the test says", "operations": operations,
    });
    let manifest = Manifest::read(manifest.to_string().as_bytes())?;
    let offer = loong_inspect::Offer { operations: Vec::new(), skipped: Vec::new() };
    pack::packed(&pack::completed(manifest, &offer, component)?, component)
}
