//! Names: plugins, interfaces, operations, and patterns over operations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name of a publisher, a plugin, a package or an interface, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest full operation name or pattern, in bytes.
const OPERATION_BYTES_MAX: usize = 300;

/// A text that is not a name of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {expected}", crate::escape(found))]
pub struct IdError {
    /// What was found.
    pub found: String,
    /// The form that was expected.
    pub expected: &'static str,
}

/// Lower-case words of letters and digits joined by single hyphens, beginning with a letter: the
/// identifiers of the component model, less upper case. No homoglyphs, no escapes, no path characters.
fn is_word(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// A kebab name as WIT functions have them: words may also be all upper case.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX * 2
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'[' | b']'))
}

macro_rules! text_form {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

/// `publisher:name`. The publisher is the namespace: what its plugins own, no other namespace can name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginId {
    publisher: String,
    name: String,
}

impl PluginId {
    /// Makes an id of its two parts.
    pub fn new(publisher: &str, name: &str) -> Result<Self, IdError> {
        if is_word(publisher) && is_word(name) {
            return Ok(Self { publisher: publisher.to_owned(), name: name.to_owned() });
        }
        Err(IdError { found: format!("{publisher}:{name}"), expected: Self::FORM })
    }

    const FORM: &str = "a plugin id (`publisher:name`, lower-case letters, digits and single hyphens)";

    /// Who publishes it; the namespace it lives in.
    pub fn publisher(&self) -> &str {
        &self.publisher
    }

    /// Its name within the namespace.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.publisher, self.name)
    }
}

impl FromStr for PluginId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || IdError { found: text.to_owned(), expected: Self::FORM };
        let (publisher, name) = text.split_once(':').ok_or_else(wrong)?;
        Self::new(publisher, name)
    }
}

text_form!(PluginId);

/// `namespace:package/interface@version`, as the component model writes it; the version may be absent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName {
    path: String,
    version: Option<semver::Version>,
}

impl InterfaceName {
    /// `namespace:package/interface`, without the version.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `namespace`.
    pub fn namespace(&self) -> &str {
        self.path.split(':').next().unwrap_or_default()
    }

    /// `namespace:package`.
    pub fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The version, where the name carries one.
    pub const fn version(&self) -> Option<&semver::Version> {
        self.version.as_ref()
    }

    /// Whether the interface is a contract (`wasi:` or `loong:`), and so no set of tools.
    pub fn is_contract(&self) -> bool {
        matches!(self.namespace(), "wasi" | "loong")
    }

    /// Whether an export of this name satisfies an import named `wanted`: the same path, and a version
    /// that is the same or a compatible successor (Semantic Versioning 2.0.0, read as Cargo's caret).
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.path == wanted.path
            && match (&self.version, &wanted.version) {
                (None, None) => true,
                (Some(have), Some(want)) => have == want || caret(want).matches(have),
                _ => false,
            }
    }
}

fn caret(version: &semver::Version) -> semver::Comparator {
    semver::Comparator {
        op: semver::Op::Caret,
        major: version.major,
        minor: Some(version.minor),
        patch: Some(version.patch),
        pre: version.pre.clone(),
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(formatter, "@{version}"))
    }
}

impl FromStr for InterfaceName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || IdError {
            found: text.to_owned(),
            expected: "an interface name (`namespace:package/interface@version`)",
        };
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (package, interface) = path.split_once('/').ok_or_else(wrong)?;
        let (namespace, package) = package.split_once(':').ok_or_else(wrong)?;
        if !(is_word(namespace) && is_word(package) && is_word(interface)) {
            return Err(wrong());
        }
        Ok(Self { path: path.to_owned(), version })
    }
}

text_form!(InterfaceName);

/// The full name of an operation: `namespace:package/interface@version#function`, or `#function` for a
/// function that a component exports by itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationName {
    /// The interface; none for a function exported by itself.
    pub interface: Option<InterfaceName>,
    /// The function's WIT name.
    pub function: String,
}

impl OperationName {
    /// The name without the version, which is what patterns are matched against.
    pub fn unversioned(&self) -> String {
        let path = self.interface.as_ref().map_or("", InterfaceName::path);
        format!("{path}#{}", self.function)
    }
}

impl fmt::Display for OperationName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(interface) = &self.interface {
            fmt::Display::fmt(interface, formatter)?;
        }
        write!(formatter, "#{}", self.function)
    }
}

impl FromStr for OperationName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || IdError {
            found: text.chars().take(OPERATION_BYTES_MAX).collect(),
            expected: "an operation name (`namespace:package/interface@version#function`)",
        };
        let (interface, function) = text.split_once('#').ok_or_else(wrong)?;
        if !is_label(function) || text.len() > OPERATION_BYTES_MAX {
            return Err(wrong());
        }
        let interface = if interface.is_empty() { None } else { Some(interface.parse()?) };
        Ok(Self { interface, function: function.to_owned() })
    }
}

text_form!(OperationName);

/// A pattern over operations without their versions: `core:git/git#log`, `core:text/*`, `*`. A star
/// matches any run of characters; a pattern without `#` covers every function.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationPattern(String);

impl OperationPattern {
    /// Whether the pattern covers the operation.
    pub fn covers(&self, operation: &OperationName) -> bool {
        let name = operation.unversioned();
        if self.0.contains('#') {
            crate::pattern_matches(&self.0, &name)
        } else {
            crate::pattern_matches(&format!("{}#*", self.0), &name)
        }
    }

    /// Whether the pattern covers at least some function of the interface, so that importing the
    /// interface is declared.
    pub fn touches(&self, interface: &InterfaceName) -> bool {
        let path = self.0.split('#').next().unwrap_or_default();
        crate::pattern_matches(path, interface.path())
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperationPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for OperationPattern {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'#' | b'-' | b'*');
        if text.is_empty() || text.len() > OPERATION_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(IdError {
                found: text.chars().take(OPERATION_BYTES_MAX).collect(),
                expected: "an operation pattern (`namespace:package/interface#function`, `*` for any)",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

text_form!(OperationPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_ids_and_refuses_the_rest() {
        for good in ["core:git", "a:b", "acme-2:weather-now"] {
            assert_eq!(good.parse::<PluginId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "git",
            "core:",
            ":git",
            "Core:git",
            "core:gіt",
            "core:a--b",
            "core:-a",
            "core:a-",
            "c:../x",
            "a:b:c",
            "1a:b",
        ] {
            assert!(bad.parse::<PluginId>().is_err(), "{bad}");
        }
    }

    fn satisfies(have: &str, want: &str) -> bool {
        have.parse::<InterfaceName>().unwrap().satisfies(&want.parse().unwrap())
    }

    #[test]
    fn an_export_satisfies_an_import_of_a_compatible_version() {
        assert!(satisfies("a:b/c@1.2.3", "a:b/c@1.2.0"));
        assert!(satisfies("a:b/c@0.1.2", "a:b/c@0.1.0"));
        assert!(satisfies("a:b/c", "a:b/c"));
        assert!(!satisfies("a:b/c@1.1.0", "a:b/c@1.2.0"));
        assert!(!satisfies("a:b/c@2.0.0", "a:b/c@1.2.0"));
        assert!(!satisfies("a:b/c@0.2.0", "a:b/c@0.1.0"));
        assert!(!satisfies("a:b/c", "a:b/c@1.0.0"));
        assert!(!satisfies("a:b/d@1.0.0", "a:b/c@1.0.0"));
    }

    fn covers(pattern: &str, operation: &str) -> bool {
        pattern.parse::<OperationPattern>().unwrap().covers(&operation.parse().unwrap())
    }

    #[test]
    fn patterns_cover_operations_without_their_versions() {
        assert!(covers("core:git/git#log", "core:git/git@0.1.0#log"));
        assert!(covers("core:git/git", "core:git/git@0.1.0#log"));
        assert!(covers("core:*", "core:git/git@0.1.0#log"));
        assert!(covers("*", "#run"));
        assert!(!covers("core:git/git#log", "core:git/git@0.1.0#log-all"));
        assert!(!covers("core:git/*", "acme:git/git@0.1.0#log"));
        assert!(!covers("core:gi", "core:git/git#log"));
    }
}
