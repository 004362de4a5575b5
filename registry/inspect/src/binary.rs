//! Imports, exports and operations of a component, read from its bytes.
//!
//! Types are taken from the validator, not from `wit_parser::decoding`: that one is written for components
//! that tools made and asserts what an attacker need not keep.

use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId, ComponentItem,
    ComponentValType,
};
use wasmparser::types::TypesRef;
use wasmparser::{Parser, Payload, PrimitiveValType, ValidPayload, Validator, WasmFeatures};

use crate::manifest::{Manifests, check_frame};
use crate::shape::{Budget, DEPTH_MAX, Named, Refused, Shape, Signature};
use crate::{Bounds, Contents, Extern, ExternKind, InspectError, Offer};

/// What the engine takes: everything that is standard, less what it is built without (a collector, and what needs
/// one; threads) or told to refuse (64-bit memories). The tests of `loong-compile` compare the two.
const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::THREADS)
    .difference(WasmFeatures::MEMORY64)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::GC_TYPES);

pub(crate) fn read(bytes: &[u8], bounds: &Bounds) -> Result<Contents, InspectError> {
    if bytes.len() > bounds.component_bytes_max {
        return Err(InspectError::TooLarge { what: "the component", bytes_max: bounds.component_bytes_max });
    }
    check_frame(bytes)?;
    let mut validator = Validator::new_with_features(FEATURES);
    let mut manifests = Manifests::default();
    let (mut imports, mut exports, mut types) = (Vec::new(), Vec::new(), None);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        manifests.see(&payload)?;
        if let ValidPayload::End(end) = validator.payload(&payload)? {
            types = Some(end);
        }
        match payload {
            Payload::ComponentImportSection(section) if manifests.nesting() == 1 => {
                for import in section {
                    imports.push(import?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if manifests.nesting() == 1 => {
                for export in section {
                    exports.push(export?.name.name);
                }
            }
            _ => {}
        }
    }
    let types = types.ok_or(InspectError::Truncated { offset: bytes.len() })?;
    let manifest = manifests.finish()?;
    let offer = Offer { operations: Vec::new(), skipped: Vec::new() };
    let mut reader = Reader { types: types.as_ref(), budget: Budget::new(bounds.contents_bytes_max), offer };
    let imports = reader.externs(&imports, |name| Some(types.component_item_for_import(name)?.ty))?;
    let exported = |name: &str| Some(types.component_item_for_export(name)?.ty);
    let exports = reader.externs(&exports, exported)?;
    for export in &exports {
        reader.offered(export, exported(&export.name))?;
    }
    let Offer { operations, skipped } = reader.offer;
    Ok(Contents { imports, exports, operations, skipped, manifest })
}

struct Reader<'a> {
    types: TypesRef<'a>,
    budget: Budget,
    offer: Offer,
}

impl<'a> Reader<'a> {
    fn externs(
        &mut self,
        names: &[&str],
        look_up: impl Fn(&str) -> Option<ComponentEntityType>,
    ) -> Result<Vec<Extern>, InspectError> {
        let unknown =
            || InspectError::Invalid { offset: 0, message: "an import or export without a type".to_owned() };
        names.iter().map(|name| self.named(name, look_up(name).ok_or_else(unknown)?)).collect()
    }

    fn named(&mut self, name: &str, entity: ComponentEntityType) -> Result<Extern, InspectError> {
        self.budget.name(name)?;
        let kind = match entity {
            ComponentEntityType::Module(_) => ExternKind::Module,
            ComponentEntityType::Func(_) => ExternKind::Function,
            ComponentEntityType::Value(_) => ExternKind::Value,
            ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(_), .. } => {
                ExternKind::Resource
            }
            ComponentEntityType::Type { .. } => ExternKind::Type,
            ComponentEntityType::Instance(_) => ExternKind::Interface,
            ComponentEntityType::Component(_) => ExternKind::Component,
        };
        let (mut functions, mut resources) = (Vec::new(), Vec::new());
        for (name, item) in self.members(entity) {
            self.budget.name(name)?;
            match item.ty {
                ComponentEntityType::Func(_) => functions.push(name.clone()),
                ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(_), .. } => {
                    resources.push(name.clone());
                }
                _ => {}
            }
        }
        Ok(Extern { name: name.to_owned(), interface: name.parse().ok(), kind, functions, resources })
    }

    /// What an interface holds; nothing for everything else.
    fn members(
        &self,
        entity: ComponentEntityType,
    ) -> impl Iterator<Item = (&'a String, &'a ComponentItem)> + use<'a> {
        let instance = match entity {
            ComponentEntityType::Instance(id) => self.types.get(id),
            _ => None,
        };
        instance.into_iter().flat_map(|instance| &instance.exports)
    }

    fn offered(&mut self, export: &Extern, entity: Option<ComponentEntityType>) -> Result<(), InspectError> {
        let Some(entity) = entity else { return Ok(()) };
        if let ComponentEntityType::Func(id) = entity {
            let signature = self.signature(id);
            return self.offer.add(None, &export.name, None, signature);
        }
        for (name, item) in self.members(entity) {
            if let ComponentEntityType::Func(id) = item.ty {
                let signature = self.signature(id);
                self.offer.add(Some(&export.name), name, None, signature)?;
            }
        }
        Ok(())
    }

    fn signature(&mut self, id: ComponentFuncTypeId) -> Result<Signature, Refused> {
        let function = self.types.get(id).ok_or(Refused::HANDLE)?;
        if function.async_ {
            return Err(Refused::ASYNC);
        }
        let parameters = function
            .params
            .iter()
            .map(|(name, value)| self.field(name, value, 0))
            .collect::<Result<_, _>>()?;
        Ok(Signature { parameters, result: self.some(function.result.as_ref(), 0)? })
    }

    fn field(&mut self, name: &str, value: &ComponentValType, depth: usize) -> Result<Named<Shape>, Refused> {
        self.budget.name(name)?;
        Ok(Named::new(name, self.shape(value, depth)?))
    }

    fn some(&mut self, value: Option<&ComponentValType>, depth: usize) -> Result<Option<Shape>, Refused> {
        value.map(|value| self.shape(value, depth)).transpose()
    }

    fn shape(&mut self, value: &ComponentValType, depth: usize) -> Result<Shape, Refused> {
        self.budget.node()?;
        let defined = match value {
            ComponentValType::Primitive(primitive) => return primitive_shape(*primitive),
            ComponentValType::Type(id) => self.types.get(*id).ok_or(Refused::HANDLE)?,
        };
        let depth = depth + 1;
        if depth > DEPTH_MAX {
            return Err(Refused::DEEP);
        }
        Ok(match defined {
            ComponentDefinedType::Primitive(primitive) => primitive_shape(*primitive)?,
            ComponentDefinedType::Record(record) => Shape::Record(
                record
                    .fields
                    .iter()
                    .map(|(name, value)| self.field(name, value, depth))
                    .collect::<Result<_, _>>()?,
            ),
            ComponentDefinedType::Variant(variant) => {
                let mut cases = Vec::with_capacity(variant.cases.len());
                for (name, case) in &variant.cases {
                    self.budget.name(name)?;
                    cases.push(Named::new(name.as_str(), self.some(case.ty.as_ref(), depth)?));
                }
                Shape::Variant(cases)
            }
            ComponentDefinedType::List { element, .. } => Shape::list(self.shape(element, depth)?),
            ComponentDefinedType::Map { key, value, .. } => {
                Shape::Map(Box::new(self.shape(key, depth)?), Box::new(self.shape(value, depth)?))
            }
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                Shape::FixedList(Box::new(self.shape(element, depth)?), *length)
            }
            ComponentDefinedType::Tuple(tuple) => Shape::Tuple(
                tuple.types.iter().map(|value| self.shape(value, depth)).collect::<Result<_, _>>()?,
            ),
            ComponentDefinedType::Flags(names) => Shape::Flags(self.names(names)?),
            ComponentDefinedType::Enum(names) => Shape::Enum(self.names(names)?),
            ComponentDefinedType::Option { ty, .. } => Shape::Option(Box::new(self.shape(ty, depth)?)),
            ComponentDefinedType::Result { ok, err, .. } => Shape::Result(
                self.some(ok.as_ref(), depth)?.map(Box::new),
                self.some(err.as_ref(), depth)?.map(Box::new),
            ),
            ComponentDefinedType::Own(_)
            | ComponentDefinedType::Borrow(_)
            | ComponentDefinedType::Future { .. }
            | ComponentDefinedType::Stream { .. } => return Err(Refused::HANDLE),
        })
    }

    fn names<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n wasmparser::names::KebabString>,
    ) -> Result<Vec<Named<()>>, InspectError> {
        names
            .into_iter()
            .map(|name| {
                self.budget.name(name)?;
                Ok(Named::new(name.as_str(), ()))
            })
            .collect()
    }
}

fn primitive_shape(primitive: PrimitiveValType) -> Result<Shape, Refused> {
    Ok(match primitive {
        PrimitiveValType::Bool => Shape::Bool,
        PrimitiveValType::S8 => Shape::S8,
        PrimitiveValType::U8 => Shape::U8,
        PrimitiveValType::S16 => Shape::S16,
        PrimitiveValType::U16 => Shape::U16,
        PrimitiveValType::S32 => Shape::S32,
        PrimitiveValType::U32 => Shape::U32,
        PrimitiveValType::S64 => Shape::S64,
        PrimitiveValType::U64 => Shape::U64,
        PrimitiveValType::F32 | PrimitiveValType::F64 => Shape::Float,
        PrimitiveValType::Char => Shape::Char,
        PrimitiveValType::String => Shape::String,
        PrimitiveValType::ErrorContext => return Err(Refused::HANDLE),
    })
}
