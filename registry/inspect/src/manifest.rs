//! The manifest inside a component: finding it and putting it there.

use std::borrow::Cow;

use wasm_encoder::ComponentSection;
use wasmparser::{BinaryReader, Encoding, Parser, Payload};

use crate::{Bounds, InspectError};

/// The name of the custom section that holds a manifest.
pub const MANIFEST_SECTION: &str = "loong.plugin.json";

/// Magic number, version and layer: `00 61 73 6d 0d 00 01 00` begins a component.
const HEADER_BYTES: usize = 8;
const MAGIC: &[u8] = b"\0asm";
const CORE_VERSION: [u8; 4] = [1, 0, 0, 0];
const COMPONENT_VERSION: [u8; 4] = [0x0d, 0, 1, 0];
/// The id of custom sections, in components and modules alike.
const CUSTOM: u8 = 0;

/// The manifest that a component carries: its own section if it has one, else the one that its core modules
/// have (the SDK puts it there). Only the frame of the file is read, so this is cheap and does not validate.
///
/// # Errors
/// If the bytes are no whole component, or hold two different manifests of the same rank.
pub fn manifest_section(bytes: &[u8]) -> Result<Option<Vec<u8>>, InspectError> {
    check_frame(bytes)?;
    let mut manifests = Manifests::default();
    for payload in Parser::new(0).parse_all(bytes) {
        manifests.see(&payload?)?;
    }
    manifests.finish()
}

/// The same component with this manifest as its own, at the end; every other byte stays as it is.
///
/// # Errors
/// If the bytes are no whole component or the manifest is larger than [`Bounds::WIDE`] allows.
pub fn with_manifest(bytes: &[u8], manifest: &[u8]) -> Result<Vec<u8>, InspectError> {
    check_manifest_size(manifest)?;
    let mut packed = bytes.get(..HEADER_BYTES).unwrap_or_default().to_vec();
    packed.reserve(bytes.len().saturating_add(manifest.len()));
    for section in frame(bytes)? {
        let section = section?;
        if !section.is_manifest() {
            packed.extend_from_slice(section.whole);
        }
    }
    wasm_encoder::CustomSection { name: Cow::Borrowed(MANIFEST_SECTION), data: Cow::Borrowed(manifest) }
        .append_to_component(&mut packed);
    Ok(packed)
}

fn check_manifest_size(manifest: &[u8]) -> Result<(), InspectError> {
    let bytes_max = Bounds::WIDE.manifest_bytes_max;
    if manifest.len() > bytes_max {
        return Err(InspectError::TooLarge { what: "the manifest", bytes_max });
    }
    Ok(())
}

/// Checks that the bytes are a component in form, and that none are missing.
pub(crate) fn check_frame(bytes: &[u8]) -> Result<(), InspectError> {
    frame(bytes)?.try_for_each(|section| section.map(drop))
}

/// One section, as it is in the file.
struct Section<'a> {
    id: u8,
    whole: &'a [u8],
    content: &'a [u8],
}

impl Section<'_> {
    fn is_manifest(&self) -> bool {
        self.id == CUSTOM
            && BinaryReader::new(self.content, 0).read_string().is_ok_and(|name| name == MANIFEST_SECTION)
    }
}

/// The top-level sections. They enclose everything, so a file that was cut off anywhere but between two of
/// them shows it here.
fn frame(bytes: &[u8]) -> Result<impl Iterator<Item = Result<Section<'_>, InspectError>>, InspectError> {
    check_header(bytes)?;
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let section = next_section(rest, bytes.len());
        rest = section.as_ref().ok().and_then(|section| rest.get(section.whole.len()..)).unwrap_or_default();
        Some(section)
    }))
}

fn next_section(rest: &[u8], file_bytes: usize) -> Result<Section<'_>, InspectError> {
    let truncated = || InspectError::Truncated { offset: file_bytes };
    let start = file_bytes - rest.len();
    let mut reader = BinaryReader::new(rest, start);
    let id = reader.read_u8()?;
    let size = match reader.read_var_u32() {
        Ok(size) => size as usize,
        Err(_) if reader.eof() => return Err(truncated()),
        Err(error) => return Err(error.into()),
    };
    let content_start = reader.original_position() - start;
    let end = content_start.checked_add(size).ok_or_else(truncated)?;
    let whole = rest.get(..end).ok_or_else(truncated)?;
    Ok(Section { id, whole, content: whole.get(content_start..).unwrap_or_default() })
}

fn check_header(bytes: &[u8]) -> Result<(), InspectError> {
    let truncated = InspectError::Truncated { offset: bytes.len() };
    let Some((magic, rest)) = bytes.split_at_checked(MAGIC.len()) else {
        let is_start = !bytes.is_empty() && MAGIC.starts_with(bytes);
        return Err(if is_start { truncated } else { InspectError::NotWasm { found: what_is(bytes) } });
    };
    if magic != MAGIC {
        return Err(InspectError::NotWasm { found: what_is(bytes) });
    }
    match rest.first_chunk::<4>() {
        None => Err(truncated),
        Some(&COMPONENT_VERSION) => Ok(()),
        Some(&CORE_VERSION) => Err(InspectError::CoreModule),
        Some(other) => {
            let message = format!("WebAssembly of version {:#010x}", u32::from_le_bytes(*other));
            Err(InspectError::Unsupported { offset: MAGIC.len(), message })
        }
    }
}

/// A guess at what a file is that is not WebAssembly, for the message.
fn what_is(bytes: &[u8]) -> &'static str {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\x7fELF", "a native program or library (ELF)"),
        (b"MZ", "a native program or library (PE)"),
        (b"\xcf\xfa\xed\xfe", "a native program or library (Mach-O)"),
        (b"\xca\xfe\xba\xbe", "a native program or library (Mach-O)"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"#!", "a script"),
    ];
    if bytes.is_empty() {
        return "an empty file";
    }
    if let Some((_, name)) = KNOWN.iter().find(|(start, _)| bytes.starts_with(start)) {
        return name;
    }
    let start = bytes.get(..bytes.len().min(512)).unwrap_or_default();
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The cut may go through a character.
        Err(error) if error.error_len().is_none() => start
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok())
            .unwrap_or_default(),
        Err(_) => return "binary data of an unknown kind",
    };
    match text.trim_start() {
        text if text.starts_with("(component") || text.starts_with("(module") => {
            "WebAssembly text; turn it into bytes first (`wasm-tools parse`)"
        }
        text if text.starts_with('{') => "JSON",
        _ if text.contains('\0') => "binary data of an unknown kind",
        _ => "text",
    }
}

/// Gathers the manifests of a file while it is parsed.
#[derive(Default)]
pub(crate) struct Manifests<'a> {
    enclosing: Vec<Encoding>,
    own: Option<&'a [u8]>,
    nested: Option<&'a [u8]>,
    nested_differ: bool,
}

impl<'a> Manifests<'a> {
    /// Deepest nesting of components and modules; those that tools make have at most four.
    const NESTING_MAX: usize = 32;

    /// How many components and modules enclose the current payload.
    pub(crate) const fn nesting(&self) -> usize {
        self.enclosing.len()
    }

    /// Looks at the next payload.
    pub(crate) fn see(&mut self, payload: &Payload<'a>) -> Result<(), InspectError> {
        match payload {
            Payload::Version { encoding, range, .. } => {
                self.enclosing.push(*encoding);
                if self.enclosing.len() > Self::NESTING_MAX {
                    let message = format!("components nested more than {} deep", Self::NESTING_MAX);
                    return Err(InspectError::Unsupported { offset: range.start, message });
                }
            }
            Payload::End(_) => drop(self.enclosing.pop()),
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                check_manifest_size(section.data())?;
                match self.enclosing.as_slice() {
                    [_] if self.own.is_some_and(|own| own != section.data()) => {
                        return Err(InspectError::ManifestTwice);
                    }
                    [_] => self.own = Some(section.data()),
                    [.., Encoding::Module] => {
                        self.nested_differ |= self.nested.is_some_and(|nested| nested != section.data());
                        self.nested = Some(section.data());
                    }
                    // The manifest of a component inside this one is about that component.
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The manifest that counts.
    pub(crate) fn finish(self) -> Result<Option<Vec<u8>>, InspectError> {
        if self.own.is_none() && self.nested_differ {
            return Err(InspectError::ManifestTwice);
        }
        Ok(self.own.or(self.nested).map(<[u8]>::to_vec))
    }
}
