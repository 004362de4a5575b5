//! What a component is made of, inside and out: counts, custom sections, data. For those who scan it.

use wasmparser::{Parser, Payload};

use crate::{Bounds, InspectError};

/// What a component is made of, nested modules and components included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anatomy<'b> {
    /// Core modules.
    pub modules: usize,
    /// Functions that core modules define.
    pub functions: u64,
    /// Custom sections, by name, with their contents.
    pub custom: Vec<(&'b str, &'b [u8])>,
    /// The data that instances begin with.
    pub data: Vec<&'b [u8]>,
}

impl Anatomy<'_> {
    /// Bytes of all data together.
    pub fn data_bytes(&self) -> u64 {
        self.data.iter().map(|data| data.len() as u64).sum()
    }
}

/// Takes a component apart. Nothing of it is copied, and each byte is looked at a few times at most.
///
/// # Errors
/// If it is no component, cut off, or larger than the bounds.
pub fn anatomy<'b>(bytes: &'b [u8], bounds: &Bounds) -> Result<Anatomy<'b>, InspectError> {
    if bytes.len() > bounds.component_bytes_max {
        return Err(InspectError::TooLarge { what: "the component", bytes_max: bounds.component_bytes_max });
    }
    crate::manifest::check_frame(bytes)?;
    let mut anatomy = Anatomy::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } => anatomy.modules += 1,
            Payload::FunctionSection(section) => anatomy.functions += u64::from(section.count()),
            Payload::CustomSection(section) => anatomy.custom.push((section.name(), section.data())),
            Payload::DataSection(section) => {
                for data in section {
                    anatomy.data.push(data?.data);
                }
            }
            _ => {}
        }
    }
    Ok(anatomy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_nested() {
        let component = wat::parse_str(
            r#"(component
                (core module (func) (func) (memory 1) (data (i32.const 0) "hello") (@custom "inner" "x"))
                (component (core module (func) (memory 1) (data "more")))
                (@custom "outer" "yz"))"#,
        )
        .unwrap();
        let anatomy = anatomy(&component, &Bounds::WIDE).unwrap();
        assert_eq!((anatomy.modules, anatomy.functions, anatomy.data_bytes()), (2, 3, 9));
        assert_eq!(anatomy.custom, [("inner", b"x".as_slice()), ("outer", b"yz")]);
        assert!(super::anatomy(b"\0asm", &Bounds::WIDE).is_err());
    }
}
