//! The functions as a component exports them.

#![expect(
    unsafe_code,
    reason = "the generated exports take raw pointers, and the manifest names its section"
)]

use crate::place::{FOLDER, Folder, Place};
use crate::walk;

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin" });
}

use bindings::exports::core::file::file::{
    Content, Edited, Entry, Error, Excess, Guest, Hit, Hits, Invalid, Kind, Listing, WriteMode, Written,
};

struct Component;

fn place(path: &str) -> Result<Place, Error> {
    Ok(Folder { real: FOLDER.into() }.place(path)?)
}

impl Guest for Component {
    fn read(
        path: String,
        first_line: Option<u32>,
        line_count: Option<u32>,
        bytes_max: Option<u32>,
    ) -> Result<Content, Error> {
        let content = crate::read::read(&place(&path)?, first_line, line_count, bytes_max)?;
        let crate::read::Content { text, first_line, lines, truncated, size } = content;
        Ok(Content { text, first_line, lines, truncated, size })
    }

    fn list(path: String, depth: Option<u32>, limit: Option<u32>) -> Result<Listing, Error> {
        let crate::list::Listing { entries, truncated, skipped } =
            crate::list::list(&place(&path)?, depth, limit)?;
        Ok(Listing { entries: entries.into_iter().map(Into::into).collect(), truncated, skipped })
    }

    fn search(path: String, text: String, names: Option<String>, limit: Option<u32>) -> Result<Hits, Error> {
        let crate::search::Hits { hits, truncated, skipped } =
            crate::search::search(&place(&path)?, &text, names.as_deref(), limit)?;
        let hit = |crate::search::Hit { path, line, text }| Hit { path, line, text };
        Ok(Hits { hits: hits.into_iter().map(hit).collect(), truncated, skipped })
    }

    fn write(path: String, content: String, mode: Option<WriteMode>) -> Result<Written, Error> {
        let mode = match mode {
            None | Some(WriteMode::Create) => crate::write::Mode::Create,
            Some(WriteMode::Overwrite) => crate::write::Mode::Overwrite,
        };
        let crate::write::Written { path, size, replaced } =
            crate::write::write(&place(&path)?, &content, mode)?;
        Ok(Written { path, size, replaced })
    }

    fn edit(path: String, old: String, new: String) -> Result<Edited, Error> {
        let place = place(&path)?;
        let diff = crate::edit::edit(&place, &old, &new)?;
        Ok(Edited { path: place.shown, diff })
    }
}

impl From<walk::Entry> for Entry {
    fn from(entry: walk::Entry) -> Self {
        let kind = match entry.kind {
            walk::Kind::File => Kind::File,
            walk::Kind::Folder => Kind::Folder,
            walk::Kind::Link => Kind::Link,
            walk::Kind::Other => Kind::Other,
        };
        Self { path: entry.place.shown, kind, size: entry.size }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::NotFound(path) => Self::NotFound(path),
            crate::Error::Denied(path) => Self::Denied(path),
            crate::Error::Exists(path) => Self::Exists(path),
            crate::Error::NotAFile(path) => Self::NotAFile(path),
            crate::Error::NotAFolder(path) => Self::NotAFolder(path),
            crate::Error::NotText(path) => Self::NotText(path),
            crate::Error::TooLarge { name, maximum, used } => {
                Self::TooLarge(Excess { name: name.to_owned(), maximum, used })
            }
            crate::Error::Invalid { argument, reason } => {
                Self::Invalid(Invalid { argument: argument.to_owned(), reason: reason.to_owned() })
            }
            crate::Error::NoMatch => Self::NoMatch,
            crate::Error::Ambiguous(matches) => Self::Ambiguous(matches),
            crate::Error::Io(problem) => Self::Io(problem),
        }
    }
}

bindings::export!(Component with_types_in bindings);
loong_sdk::manifest!("loong.plugin.json");
