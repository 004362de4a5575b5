//! From what was read of a repository to a review of it. Everything here is pure.

pub(crate) mod arguments;
mod changelog;
mod conclude;
mod contract;
mod dependencies;
mod diff;
mod document;
pub(crate) mod facts;
mod items;
mod json;
mod markdown;
pub(crate) mod path;
mod risk;
mod subject;
mod suggest;
mod text;
mod version;

pub(crate) use conclude::review;
pub(crate) use dependencies::source as dependency_source;
pub(crate) use json::json;
pub(crate) use markdown::markdown;
pub(crate) use text::clean;

#[cfg(test)]
mod tests;

/// True for a tag that names a semantic version.
pub(crate) fn names_version(tag: &str) -> bool {
    version::VersionTag::read(tag).is_some()
}

/// Of the files that a diff was asked for, those that a diff which was cut does not have as a whole: the last
/// one in it, and those that it never came to.
pub(crate) fn missing_at_end<'a>(text: &str, asked: impl Iterator<Item = &'a str>) -> Vec<String> {
    let files = diff::parse(text);
    let whole: std::collections::BTreeSet<&str> =
        files.iter().rev().skip(1).map(|file| file.path.as_str()).collect();
    asked.filter(|path| !whole.contains(path)).map(str::to_owned).collect()
}
