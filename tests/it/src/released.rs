//! Whether the WIT text of today still means what its last released text meant.
//!
//! A released package never changes at its version, with two exceptions that break no component: new
//! interfaces, and new functions and types in interfaces that only the host implements. A new function in an
//! interface that components export would be missing from every component that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Resolve, Type, TypeDef, TypeDefKind, WorldItem, WorldKey,
};

/// What a package promises: each thing by its name, with its whole meaning as text.
#[derive(Debug, Default)]
pub struct Contract {
    promises: BTreeMap<String, String>,
    /// Interfaces that a component has to export under some world.
    exported: BTreeSet<String>,
    /// Things without a doc comment.
    undocumented: Vec<String>,
}

impl Contract {
    /// Reads one folder of WIT files, one package.
    pub fn read(folder: &Path) -> Self {
        let mut resolve = Resolve::default();
        resolve.push_dir(folder).unwrap_or_else(|error| panic!("{}: {error:#}", folder.display()));
        Self::of(&resolve)
    }

    /// Reads the text of one file, one package.
    pub fn parse(text: &str) -> Self {
        let mut resolve = Resolve::default();
        resolve.push_str("package.wit", text).unwrap_or_else(|error| panic!("{error:#}"));
        Self::of(&resolve)
    }

    fn of(resolve: &Resolve) -> Self {
        let mut contract = Self::default();
        for (id, interface) in resolve.interfaces.iter() {
            if interface.name.is_none() {
                continue;
            }
            let name = resolve.id_of(id).unwrap();
            contract.promise(&name, "interface".into(), &interface.docs);
            for (function, definition) in &interface.functions {
                contract.promise(
                    &format!("{name}#{function}"),
                    signature(resolve, definition),
                    &definition.docs,
                );
            }
            for (type_name, id) in &interface.types {
                contract.type_definition(resolve, &format!("{name}.{type_name}"), &resolve.types[*id]);
            }
        }
        for (_, world) in resolve.worlds.iter() {
            let package = &resolve.packages[world.package.unwrap()].name;
            let name = package.interface_id(&world.name);
            contract.promise(&format!("world {name}"), "world".into(), &world.docs);
            for (direction, items) in [("import", &world.imports), ("export", &world.exports)] {
                for (key, item) in items {
                    let item_name = match key {
                        WorldKey::Name(item) => item.clone(),
                        WorldKey::Interface(id) => resolve.id_of(*id).unwrap(),
                    };
                    let meaning = match item {
                        WorldItem::Interface { .. } => "interface".into(),
                        WorldItem::Function(function) => signature(resolve, function),
                        WorldItem::Type { id, .. } => definition(resolve, &resolve.types[*id]),
                    };
                    contract.promises.insert(format!("world {name}: {direction} {item_name}"), meaning);
                    if direction == "export" {
                        contract.exported.insert(item_name);
                    }
                }
            }
        }
        contract
    }

    fn promise(&mut self, name: &str, meaning: String, docs: &Docs) {
        if docs.contents.as_ref().is_none_or(|text| text.trim().is_empty()) {
            self.undocumented.push(name.to_owned());
        }
        self.promises.insert(name.to_owned(), meaning);
    }

    fn type_definition(&mut self, resolve: &Resolve, name: &str, ty: &TypeDef) {
        // `use other.{name}` repeats a name that is documented where it is defined.
        if !matches!(ty.kind, TypeDefKind::Type(Type::Id(id)) if resolve.types[id].name == ty.name) {
            self.promise(name, definition(resolve, ty), &ty.docs);
        } else {
            self.promises.insert(name.to_owned(), definition(resolve, ty));
        }
        let parts: Vec<(&str, &Docs)> = match &ty.kind {
            TypeDefKind::Record(record) => {
                record.fields.iter().map(|part| (&*part.name, &part.docs)).collect()
            }
            TypeDefKind::Variant(variant) => {
                variant.cases.iter().map(|part| (&*part.name, &part.docs)).collect()
            }
            TypeDefKind::Enum(an_enum) => {
                an_enum.cases.iter().map(|part| (&*part.name, &part.docs)).collect()
            }
            TypeDefKind::Flags(flags) => flags.flags.iter().map(|part| (&*part.name, &part.docs)).collect(),
            _ => vec![],
        };
        self.undocumented.extend(
            parts
                .iter()
                .filter(|(_, docs)| docs.contents.is_none())
                .map(|(part, _)| format!("{name}.{part}")),
        );
    }

    /// What has no doc comment.
    pub fn undocumented(&self) -> &[String] {
        &self.undocumented
    }

    /// What a component or a host built for the released text would no longer find. Empty: nothing breaks.
    pub fn breaks(released: &Self, today: &Self) -> Vec<String> {
        let mut breaks = Vec::new();
        for (name, meaning) in &released.promises {
            match today.promises.get(name) {
                None => breaks.push(format!("{name} is gone")),
                Some(now) if now != meaning => breaks.push(format!("{name} was `{meaning}` and is `{now}`")),
                Some(_) => {}
            }
        }
        for name in today.promises.keys().filter(|name| !released.promises.contains_key(*name)) {
            let world = name.split_once(": export ").map(|(world, _)| world);
            if world.is_some_and(|world| released.promises.contains_key(world)) {
                breaks.push(format!("{name} is new, and no component that exists has it"));
            }
            let interface = name.split_once('#').map(|(interface, _)| interface);
            if interface.is_some_and(|interface| released.exported.contains(interface)) {
                breaks.push(format!("{name} is new in an interface that components export"));
            }
        }
        breaks
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let mut text = match function.kind {
        FunctionKind::Freestanding => "func(".to_owned(),
        _ => format!("{:?} func(", function.kind),
    };
    for (index, param) in function.params.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(text, "{separator}{}: {}", param.name, name(resolve, &param.ty)).unwrap();
    }
    text.push(')');
    if let Some(result) = &function.result {
        write!(text, " -> {}", name(resolve, result)).unwrap();
    }
    text
}

/// A type where it is used: by its name, or by its parts if it has none.
fn name(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => match &resolve.types[*id].name {
            Some(name) => name.clone(),
            None => definition(resolve, &resolve.types[*id]),
        },
        Type::ErrorContext => "error-context".into(),
        simple => format!("{simple:?}").to_lowercase(),
    }
}

/// A type by its parts.
fn definition(resolve: &Resolve, ty: &TypeDef) -> String {
    let of = |ty: &Type| name(resolve, ty);
    let or_nothing = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".into(), of);
    let all = |types: Vec<String>| types.join(", ");
    match &ty.kind {
        TypeDefKind::Record(record) => {
            format!(
                "record {{{}}}",
                all(record.fields.iter().map(|field| format!("{}: {}", field.name, of(&field.ty))).collect())
            )
        }
        TypeDefKind::Variant(variant) => {
            format!(
                "variant {{{}}}",
                all(variant
                    .cases
                    .iter()
                    .map(|case| format!("{}({})", case.name, or_nothing(&case.ty)))
                    .collect())
            )
        }
        TypeDefKind::Enum(an_enum) => {
            format!("enum {{{}}}", all(an_enum.cases.iter().map(|case| case.name.clone()).collect()))
        }
        TypeDefKind::Flags(flags) => {
            format!("flags {{{}}}", all(flags.flags.iter().map(|flag| flag.name.clone()).collect()))
        }
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", all(tuple.types.iter().map(of).collect())),
        TypeDefKind::Option(ty) => format!("option<{}>", of(ty)),
        TypeDefKind::Result(result) => {
            format!("result<{}, {}>", or_nothing(&result.ok), or_nothing(&result.err))
        }
        TypeDefKind::List(ty) => format!("list<{}>", of(ty)),
        TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", of(ty)),
        TypeDefKind::Map(key, value) => format!("map<{}, {}>", of(key), of(value)),
        TypeDefKind::Future(ty) => format!("future<{}>", or_nothing(ty)),
        TypeDefKind::Stream(ty) => format!("stream<{}>", or_nothing(ty)),
        TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", of(&Type::Id(*id))),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", of(&Type::Id(*id))),
        TypeDefKind::Resource => "resource".into(),
        TypeDefKind::Type(ty) => format!("= {}", of(ty)),
        TypeDefKind::Unknown => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASED: &str = "
        package loong:example@0.1.0;
        interface host { record pair { left: u32, right: option<string> } get: func(key: string) -> result<pair, string>; }
        interface guest { enum mode { fast, slow } run: func(mode: mode); }
        world plugin { import host; export guest; }
    ";

    #[track_caller]
    fn check(from: &str, to: &str, breaks: &[&str]) {
        let today = RELEASED.replace(from, to);
        assert_ne!(today, RELEASED, "`{from}` does not occur");
        assert_eq!(Contract::breaks(&Contract::parse(RELEASED), &Contract::parse(&today)), breaks);
    }

    #[test]
    fn additions_that_the_host_alone_has_to_follow_break_nothing() {
        check("interface guest", "interface more { f: func(); } interface guest", &[]);
        check("get: func", "set: func(key: string); get: func", &[]);
        check("record pair", "record other { x: u8 } record pair", &[]);
        check("get: func", "/// Says more.\n get: func", &[]);
    }

    #[test]
    fn a_changed_function_breaks() {
        check(
            "key: string",
            "key: u32",
            &[
                "loong:example/host@0.1.0#get was `func(key: string) -> result<pair, string>` and is `func(key: u32) -> result<pair, string>`",
            ],
        );
        check(
            "key: string",
            "name: string",
            &[
                "loong:example/host@0.1.0#get was `func(key: string) -> result<pair, string>` and is `func(name: string) -> result<pair, string>`",
            ],
        );
    }

    #[test]
    fn a_changed_type_breaks() {
        check(
            "right: option<string>",
            "right: string",
            &[
                "loong:example/host@0.1.0.pair was `record {left: u32, right: option<string>}` and is `record {left: u32, right: string}`",
            ],
        );
        check(
            "fast, slow",
            "slow, fast",
            &["loong:example/guest@0.1.0.mode was `enum {fast, slow}` and is `enum {slow, fast}`"],
        );
        check(
            "fast, slow",
            "fast, slow, slower",
            &["loong:example/guest@0.1.0.mode was `enum {fast, slow}` and is `enum {fast, slow, slower}`"],
        );
    }

    #[test]
    fn a_removed_function_breaks() {
        check("run: func(mode: mode);", "", &["loong:example/guest@0.1.0#run is gone"]);
    }

    #[test]
    fn a_new_duty_of_components_breaks() {
        check(
            "run: func",
            "stop: func(); run: func",
            &["loong:example/guest@0.1.0#stop is new in an interface that components export"],
        );
        check(
            "export guest;",
            "export guest; export extra: func();",
            &["world loong:example/plugin@0.1.0: export extra is new, and no component that exists has it"],
        );
    }

    #[test]
    fn a_new_version_promises_the_old_one_nothing() {
        let today = RELEASED.replace("0.1.0", "0.2.0");
        assert_eq!(Contract::breaks(&Contract::parse(RELEASED), &Contract::parse(&today)).len(), 9);
    }

    #[test]
    fn finds_what_has_no_comment() {
        let text = "package a:b@0.1.0;\n/// I.\ninterface i {\n /// R.\n record r {\n /// X.\n x: u8, y: u8 }\n f: func(); }";
        assert_eq!(Contract::parse(text).undocumented(), ["a:b/i@0.1.0#f", "a:b/i@0.1.0.r.y"]);
    }
}
