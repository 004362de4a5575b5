//! Operations of a world, read from its WIT source, where the texts still are.

use wit_parser::{
    Docs, Function, FunctionKind, InterfaceId, Resolve, Type, TypeDefKind, WorldId, WorldItem, WorldKey,
};

use crate::shape::{Budget, DEPTH_MAX, Named, Refused, Shape, Signature};
use crate::{Bounds, InspectError, Offer};

/// The operations that a component built for this world will offer, with their texts. Apart from the texts
/// they are the same that [`inspect`](crate::inspect) finds in the component.
///
/// # Errors
/// If the types of the world take more room than [`Bounds::WIDE`] allows.
pub fn operations_from_wit(resolve: &Resolve, world: WorldId) -> Result<Offer, InspectError> {
    let mut reader = Reader { resolve, budget: Budget::new(Bounds::WIDE.contents_bytes_max) };
    let mut offer = Offer { operations: Vec::new(), skipped: Vec::new() };
    for (key, item) in resolve.worlds.get(world).into_iter().flat_map(|world| &world.exports) {
        match item {
            WorldItem::Function(function) => reader.offered(None, function, &mut offer)?,
            WorldItem::Interface { id, .. } => {
                let name = reader.interface_name(key, *id);
                for function in
                    resolve.interfaces.get(*id).into_iter().flat_map(|interface| interface.functions.values())
                {
                    reader.offered(Some(&name), function, &mut offer)?;
                }
            }
            WorldItem::Type { .. } => {}
        }
    }
    Ok(offer)
}

struct Reader<'a> {
    resolve: &'a Resolve,
    budget: Budget,
}

impl Reader<'_> {
    fn interface_name(&self, key: &WorldKey, id: InterfaceId) -> String {
        let in_package = self.resolve.interfaces.get(id).is_some_and(|interface| interface.package.is_some());
        match key {
            WorldKey::Name(name) => name.clone(),
            WorldKey::Interface(id) if in_package => self.resolve.id_of(*id).unwrap_or_default(),
            WorldKey::Interface(_) => String::new(),
        }
    }

    fn offered(
        &mut self,
        export: Option<&str>,
        function: &Function,
        offer: &mut Offer,
    ) -> Result<(), InspectError> {
        let signature = self.signature(function);
        offer.add(export, &function.name, text(&function.docs).as_deref(), signature)
    }

    fn signature(&mut self, function: &Function) -> Result<Signature, Refused> {
        match function.kind {
            FunctionKind::Freestanding => {}
            FunctionKind::AsyncFreestanding => return Err(Refused::ASYNC),
            _ => return Err(Refused::HANDLE),
        }
        let parameters = function
            .params
            .iter()
            .map(|parameter| Ok(Named::new(&parameter.name, self.shape(&parameter.ty, 0)?)))
            .collect::<Result<_, Refused>>()?;
        Ok(Signature { parameters, result: self.some(function.result.as_ref(), 0)? })
    }

    fn some(&mut self, value: Option<&Type>, depth: usize) -> Result<Option<Shape>, Refused> {
        value.map(|value| self.shape(value, depth)).transpose()
    }

    fn named<T>(&mut self, name: &str, docs: &Docs, of: T) -> Result<Named<T>, Refused> {
        let doc = text(docs);
        self.budget.name(name)?;
        self.budget.name(doc.as_deref().unwrap_or_default())?;
        Ok(Named { name: name.to_owned(), doc, of })
    }

    fn shape(&mut self, value: &Type, depth: usize) -> Result<Shape, Refused> {
        let (mut value, mut doc) = (*value, None);
        // Names of types are followed without a level of their own, as the binary does not keep them.
        let shape = loop {
            self.budget.node()?;
            let Type::Id(id) = value else { break primitive_shape(value)? };
            let definition = self.resolve.types.get(id).ok_or(Refused::HANDLE)?;
            doc = doc.or_else(|| text(&definition.docs));
            match &definition.kind {
                TypeDefKind::Type(other) => value = *other,
                _ if depth == DEPTH_MAX => return Err(Refused::DEEP),
                kind => break self.defined(kind, depth + 1)?,
            }
        };
        let Some(doc) = doc else { return Ok(shape) };
        self.budget.name(&doc)?;
        Ok(Shape::Described(doc, Box::new(shape)))
    }

    fn defined(&mut self, kind: &TypeDefKind, depth: usize) -> Result<Shape, Refused> {
        Ok(match kind {
            TypeDefKind::Record(record) => Shape::Record(
                record
                    .fields
                    .iter()
                    .map(|field| {
                        let of = self.shape(&field.ty, depth)?;
                        self.named(&field.name, &field.docs, of)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            TypeDefKind::Variant(variant) => Shape::Variant(
                variant
                    .cases
                    .iter()
                    .map(|case| {
                        let of = self.some(case.ty.as_ref(), depth)?;
                        self.named(&case.name, &case.docs, of)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            TypeDefKind::Enum(cases) => Shape::Enum(
                cases
                    .cases
                    .iter()
                    .map(|case| self.named(&case.name, &case.docs, ()))
                    .collect::<Result<_, _>>()?,
            ),
            TypeDefKind::Flags(flags) => Shape::Flags(
                flags
                    .flags
                    .iter()
                    .map(|flag| self.named(&flag.name, &flag.docs, ()))
                    .collect::<Result<_, _>>()?,
            ),
            TypeDefKind::Tuple(tuple) => Shape::Tuple(
                tuple.types.iter().map(|value| self.shape(value, depth)).collect::<Result<_, _>>()?,
            ),
            TypeDefKind::Option(inner) => Shape::Option(Box::new(self.shape(inner, depth)?)),
            TypeDefKind::Result(result) => Shape::Result(
                self.some(result.ok.as_ref(), depth)?.map(Box::new),
                self.some(result.err.as_ref(), depth)?.map(Box::new),
            ),
            TypeDefKind::List(element) => Shape::list(self.shape(element, depth)?),
            TypeDefKind::FixedLengthList(element, length) => {
                Shape::FixedList(Box::new(self.shape(element, depth)?), *length)
            }
            TypeDefKind::Map(key, value) => {
                Shape::Map(Box::new(self.shape(key, depth)?), Box::new(self.shape(value, depth)?))
            }
            TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Type(_)
            | TypeDefKind::Unknown => return Err(Refused::HANDLE),
        })
    }
}

fn primitive_shape(primitive: Type) -> Result<Shape, Refused> {
    Ok(match primitive {
        Type::Bool => Shape::Bool,
        Type::U8 => Shape::U8,
        Type::U16 => Shape::U16,
        Type::U32 => Shape::U32,
        Type::U64 => Shape::U64,
        Type::S8 => Shape::S8,
        Type::S16 => Shape::S16,
        Type::S32 => Shape::S32,
        Type::S64 => Shape::S64,
        Type::F32 | Type::F64 => Shape::Float,
        Type::Char => Shape::Char,
        Type::String => Shape::String,
        Type::ErrorContext | Type::Id(_) => return Err(Refused::HANDLE),
    })
}

fn text(docs: &Docs) -> Option<String> {
    docs.contents.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
