//! Types and values to test with. The engine hands out types of components only, so a type is written as the
//! text of a component that takes and returns it.

use std::fmt::Write;

use proptest::prelude::*;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Type, Val};
use wasmtime::{Config, Engine};

/// A WIT type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ty {
    /// A primitive type, by its name in component text.
    Plain(&'static str),
    List(Box<Self>),
    FixedList(Box<Self>, u32),
    Map(Box<Self>, Box<Self>),
    Record(Vec<(String, Self)>),
    Tuple(Vec<Self>),
    Variant(Vec<(String, Option<Self>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
}

pub(crate) const PLAIN: &[&str] =
    &["bool", "u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "char", "string"];

pub(crate) fn plain(name: &'static str) -> Ty {
    Ty::Plain(name)
}

pub(crate) fn list(element: Ty) -> Ty {
    Ty::List(Box::new(element))
}

pub(crate) fn option(ty: Ty) -> Ty {
    Ty::Option(Box::new(ty))
}

pub(crate) fn record<const N: usize>(fields: [(&str, Ty); N]) -> Ty {
    Ty::Record(fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect())
}

pub(crate) fn variant<const N: usize>(cases: [(&str, Option<Ty>); N]) -> Ty {
    Ty::Variant(cases.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect())
}

pub(crate) fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// A component that imports an interface `test:t/t` with one function `f<n>: func(value: <type n>) -> <type n>`
/// for each type, and exports something.
pub(crate) fn component(types: &[Ty], export: &str) -> Vec<u8> {
    let mut definitions = Definitions::default();
    for (index, ty) in types.iter().enumerate() {
        let name = definitions.define(ty);
        writeln!(definitions.text, r#"(export "f{index}" (func (param "value" {name}) (result {name})))"#)
            .unwrap();
    }
    wat::parse_str(format!(r#"(component (import "test:t/t" (instance $i {})) {export})"#, definitions.text))
        .unwrap()
}

/// The types, as the engine knows them.
pub(crate) fn engine_types(types: &[Ty]) -> Vec<Type> {
    let mut config = Config::new();
    config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, component(types, "")).unwrap();
    let component = component.component_type();
    let (_, import) = component.imports(&engine).next().unwrap();
    let ComponentItem::ComponentInstance(interface) = import.ty else { panic!("not an interface") };
    let functions = interface.exports(&engine).filter_map(|(_, export)| match export.ty {
        ComponentItem::ComponentFunc(function) => Some(function.params().next().unwrap().1),
        _ => None,
    });
    functions.collect()
}

/// Component text in which every type has a name.
#[derive(Default)]
struct Definitions {
    text: String,
    count: usize,
}

impl Definitions {
    /// Defines a type, and gives the name to use it by.
    fn define(&mut self, ty: &Ty) -> String {
        let quoted = |names: &[String]| names.iter().map(|name| format!(" {name:?}")).collect::<String>();
        let (text, needs_export) = match ty {
            Ty::Plain(name) => return (*name).to_owned(),
            Ty::List(element) => (format!("(list {})", self.define(element)), false),
            Ty::FixedList(element, length) => (format!("(list {} {length})", self.define(element)), false),
            Ty::Map(key, value) => (format!("(map {} {})", self.define(key), self.define(value)), false),
            Ty::Tuple(items) => {
                let items: Vec<String> = items.iter().map(|item| self.define(item)).collect();
                (format!("(tuple {})", items.join(" ")), false)
            }
            Ty::Option(inner) => (format!("(option {})", self.define(inner)), false),
            Ty::Result(ok, err) => {
                let ok = ok.as_ref().map(|ok| self.define(ok)).unwrap_or_default();
                let err = err.as_ref().map(|err| format!("(error {})", self.define(err))).unwrap_or_default();
                (format!("(result {ok} {err})"), false)
            }
            Ty::Record(fields) => {
                let field = |(name, ty): &(String, Ty)| format!("(field {name:?} {})", self.define(ty));
                (format!("(record {})", fields.iter().map(field).collect::<String>()), true)
            }
            Ty::Variant(cases) => {
                let case = |(name, ty): &(String, Option<Ty>)| {
                    format!("(case {name:?} {})", ty.as_ref().map(|ty| self.define(ty)).unwrap_or_default())
                };
                (format!("(variant {})", cases.iter().map(case).collect::<String>()), true)
            }
            Ty::Enum(names) => (format!("(enum{})", quoted(names)), true),
            Ty::Flags(names) => (format!("(flags{})", quoted(names)), true),
        };
        let index = self.count;
        self.count += 1;
        writeln!(self.text, "(type $t{index} {text})").unwrap();
        if !needs_export {
            return format!("$t{index}");
        }
        writeln!(self.text, r#"(export "t{index}" (type $e{index} (eq $t{index})))"#).unwrap();
        format!("$e{index}")
    }
}

/// Names for members, among them those that the mapping itself uses.
const NAMES: &[&str] =
    &["ok", "err", "some", "a", "b2", "two-words", "HTTP-url", "description", "enum", "type"];

fn some_names(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(NAMES, count)
        .prop_shuffle()
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

/// Any type that the standard component model knows, nested up to five deep.
pub(crate) fn any_type() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        6 => prop::sample::select(PLAIN).prop_map(Ty::Plain),
        1 => some_names(1..5).prop_map(Ty::Enum),
        1 => some_names(1..5).prop_map(Ty::Flags),
        1 => Just(list(plain("u8"))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let maybe = prop::option::of(inner.clone());
        let boxed_maybe = prop::option::of(inner.clone().prop_map(Box::new));
        let many = prop::collection::vec(inner.clone(), 4);
        let many_maybe = prop::collection::vec(maybe, 4);
        prop_oneof![
            2 => inner.clone().prop_map(list),
            3 => inner.prop_map(option),
            2 => (some_names(1..5), many.clone()).prop_map(|(names, types)| Ty::Record(names.into_iter().zip(types).collect())),
            2 => (some_names(1..5), many_maybe).prop_map(|(names, types)| Ty::Variant(names.into_iter().zip(types).collect())),
            1 => (1..4usize, many).prop_map(|(length, types)| Ty::Tuple(types.into_iter().take(length).collect())),
            1 => (boxed_maybe.clone(), boxed_maybe).prop_map(|(ok, err)| Ty::Result(ok, err)),
        ]
    })
}

/// Any value of a type.
pub(crate) fn any_value(ty: &Ty) -> BoxedStrategy<Val> {
    fn boxed(ty: &Ty) -> impl Strategy<Value = Box<Val>> + use<> {
        any_value(ty).prop_map(Box::new)
    }
    fn maybe(ty: Option<&Ty>) -> BoxedStrategy<Option<Box<Val>>> {
        ty.map_or(Just(None).boxed(), |ty| boxed(ty).prop_map(Some).boxed())
    }
    match ty {
        Ty::Plain("bool") => any::<bool>().prop_map(Val::Bool).boxed(),
        Ty::Plain("u8") => any::<u8>().prop_map(Val::U8).boxed(),
        Ty::Plain("s8") => any::<i8>().prop_map(Val::S8).boxed(),
        Ty::Plain("u16") => any::<u16>().prop_map(Val::U16).boxed(),
        Ty::Plain("s16") => any::<i16>().prop_map(Val::S16).boxed(),
        Ty::Plain("u32") => any::<u32>().prop_map(Val::U32).boxed(),
        Ty::Plain("s32") => any::<i32>().prop_map(Val::S32).boxed(),
        Ty::Plain("u64") => {
            prop_oneof![any::<u64>(), 0..9u64, (1u64 << 53) - 3..(1 << 53) + 3, Just(u64::MAX)]
                .prop_map(Val::U64)
                .boxed()
        }
        Ty::Plain("s64") => prop_oneof![
            any::<i64>(),
            -9..9i64,
            (1i64 << 53) - 3..(1 << 53) + 3,
            -(1i64 << 53) - 3..3 - (1i64 << 53),
            Just(i64::MIN)
        ]
        .prop_map(Val::S64)
        .boxed(),
        Ty::Plain("f32") => any::<u32>().prop_map(|bits| Val::Float32(f32::from_bits(bits))).boxed(),
        Ty::Plain("f64") => prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            prop::sample::select(&[
                0.0,
                -0.0,
                1.0,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MIN_POSITIVE
            ]),
        ]
        .prop_map(Val::Float64)
        .boxed(),
        Ty::Plain("char") => any::<char>().prop_map(Val::Char).boxed(),
        Ty::Plain(_) => any::<String>().prop_map(Val::String).boxed(),
        Ty::List(element) => prop::collection::vec(any_value(element), 0..5).prop_map(Val::List).boxed(),
        Ty::FixedList(element, length) => {
            prop::collection::vec(any_value(element), *length as usize).prop_map(Val::FixedLengthList).boxed()
        }
        Ty::Map(key, value) => {
            prop::collection::vec((any_value(key), any_value(value)), 0..3).prop_map(Val::Map).boxed()
        }
        Ty::Record(fields) => {
            let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
            let values: Vec<_> = fields.iter().map(|(_, ty)| any_value(ty)).collect();
            values.prop_map(move |values| Val::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        Ty::Tuple(items) => items.iter().map(any_value).collect::<Vec<_>>().prop_map(Val::Tuple).boxed(),
        Ty::Variant(cases) => prop::sample::select(cases.clone())
            .prop_flat_map(|(name, ty)| {
                maybe(ty.as_ref()).prop_map(move |value| Val::Variant(name.clone(), value))
            })
            .boxed(),
        Ty::Enum(names) => prop::sample::select(names.clone()).prop_map(Val::Enum).boxed(),
        Ty::Flags(names) => {
            let length = names.len();
            prop::sample::subsequence(names.clone(), 0..=length).prop_map(Val::Flags).boxed()
        }
        Ty::Option(inner) => {
            prop_oneof![Just(None), boxed(inner).prop_map(Some)].prop_map(Val::Option).boxed()
        }
        Ty::Result(ok, err) => {
            prop_oneof![maybe(ok.as_deref()).prop_map(Ok), maybe(err.as_deref()).prop_map(Err),]
                .prop_map(Val::Result)
                .boxed()
        }
    }
}
