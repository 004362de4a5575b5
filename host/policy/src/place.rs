//! Where policies are in their files, and what their authors say of them.

use std::collections::BTreeMap;

use loong_manifest::escape;
use serde::Serialize;

/// Longest comment that is shown, in characters.
const COMMENT_MAX: usize = 300;

/// Where a policy is, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line on which the policy begins, from 1.
    pub line: usize,
    /// The comment just above it, as one line; empty where there is none. Safe to print.
    pub comment: String,
}

/// Places by the public names of the policies.
pub(crate) type Places = BTreeMap<String, Place>;

impl Place {
    /// The place of what begins at a byte of a file.
    pub(crate) fn of(file: &str, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let above = before.get(..line_start).unwrap_or_default();
        let comment = above.lines().rev().map_while(|line| line.trim().strip_prefix("//"));
        let mut comment: Vec<&str> = comment.map(str::trim).collect();
        comment.reverse();
        let comment: String = comment.join(" ").chars().take(COMMENT_MAX).collect();
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            comment: escape(comment.trim()),
        }
    }
}
