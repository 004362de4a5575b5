//! What a value looks like, read either from a component or from WIT source, before it becomes a schema.

use crate::InspectError;

/// Deepest nesting of a type. Schemas are up to four times as deep, and JSON readers stop at 128.
pub(crate) const DEPTH_MAX: usize = 24;

/// The type of a value, with everything named in it spelled out.
#[derive(Debug)]
pub(crate) enum Shape {
    Bool,
    /// An integer that always fits a JSON number.
    Int {
        min: i64,
        max: i64,
    },
    S64,
    U64,
    Float,
    Char,
    String,
    Bytes,
    List(Box<Self>),
    FixedList(Box<Self>, u32),
    Map(Box<Self>, Box<Self>),
    Record(Vec<Named<Self>>),
    Tuple(Vec<Self>),
    Variant(Vec<Named<Option<Self>>>),
    Enum(Vec<Named<()>>),
    Flags(Vec<Named<()>>),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
    /// A type whose definition has a text of its own.
    Described(String, Box<Self>),
}

/// A field, a case or a parameter.
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) doc: Option<String>,
    pub(crate) of: T,
}

impl<T> Named<T> {
    pub(crate) fn new(name: impl Into<String>, of: T) -> Self {
        Self { name: name.into(), doc: None, of }
    }
}

impl Shape {
    pub(crate) const U8: Self = Self::Int { min: 0, max: 0xff };
    pub(crate) const U16: Self = Self::Int { min: 0, max: 0xffff };
    pub(crate) const U32: Self = Self::Int { min: 0, max: 0xffff_ffff };
    pub(crate) const S8: Self = Self::Int { min: -0x80, max: 0x7f };
    pub(crate) const S16: Self = Self::Int { min: -0x8000, max: 0x7fff };
    pub(crate) const S32: Self = Self::Int { min: -0x8000_0000, max: 0x7fff_ffff };

    /// `list<element>`; lists of bytes travel as text.
    pub(crate) fn list(element: Self) -> Self {
        match element.bare() {
            Self::Int { min: 0, max: 0xff } => Self::Bytes,
            _ => Self::List(Box::new(element)),
        }
    }

    /// The shape without the texts around it.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::Described(_, shape) => shape.bare(),
            shape => shape,
        }
    }

    pub(crate) fn is_option(&self) -> bool {
        matches!(self.bare(), Self::Option(_))
    }

    /// Whether it is text in JSON, so that it can be the key of an object.
    pub(crate) fn is_string(&self) -> bool {
        matches!(self.bare(), Self::String)
    }
}

/// A function's parameters and result.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) parameters: Vec<Named<Shape>>,
    pub(crate) result: Option<Shape>,
}

/// Why a function has no [`Signature`].
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is no operation, for this reason; the rest of the component is fine.
    Skip(&'static str),
    /// The file is refused.
    Fail(InspectError),
}

impl Refused {
    pub(crate) const HANDLE: Self = Self::Skip("takes or returns a handle; values cross, handles do not");
    pub(crate) const ASYNC: Self = Self::Skip("is declared async");
    pub(crate) const DEEP: Self = Self::Skip("has a type that is nested too deeply");
}

impl From<InspectError> for Refused {
    fn from(error: InspectError) -> Self {
        Self::Fail(error)
    }
}

/// What may still be read out of a file. A type may be named many times and each time spelled out.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    bytes_max: usize,
}

impl Budget {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { left: bytes_max, bytes_max }
    }

    /// Pays for a name.
    pub(crate) fn name(&mut self, text: &str) -> Result<(), InspectError> {
        self.spend(text.len().saturating_add(64))
    }

    /// Pays for one node of a type, which becomes two small JSON objects.
    pub(crate) fn node(&mut self) -> Result<(), InspectError> {
        self.spend(2048)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), InspectError> {
        let too_large =
            InspectError::TooLarge { what: "what the component describes", bytes_max: self.bytes_max };
        self.left = self.left.checked_sub(bytes).ok_or(too_large)?;
        Ok(())
    }
}
