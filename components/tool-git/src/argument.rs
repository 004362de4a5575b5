//! What a caller may say: revisions and paths.

/// An argument that can never be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Name of the argument.
    pub argument: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Longest revision, in bytes: more than any name that a file system can hold as a branch.
const REVISION_BYTES_MAX: usize = 512;
/// Longest path, in bytes: what Linux allows.
const PATH_BYTES_MAX: usize = 4096;
/// Most paths of one diff.
pub const PATHS_MAX: usize = 100;

/// Checks the name of one commit. Whether it exists is for git to say.
///
/// What git would take for an option, a range, an exclusion (`^main`), a file (`HEAD:x`) or a search in
/// messages (`:/x`, `HEAD^{/x}`) is refused; so is what no name of a branch or a tag can hold.
pub fn revision(text: &str) -> Result<(), Invalid> {
    let refuse = |reason| Err(Invalid { argument: "revision", reason });
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.len() > REVISION_BYTES_MAX {
        return refuse("is longer than 512 bytes");
    }
    if text.starts_with(['-', '^']) {
        return refuse("begins with `-` or `^`");
    }
    if text.contains("..") {
        return refuse("is a range");
    }
    if text.contains("{/") || text.contains(|c: char| c.is_control() || " :?*[\\".contains(c)) {
        return refuse("holds a character that no revision has");
    }
    Ok(())
}

/// Checks a path and gives it as git takes it: relative to the top folder, and never like an option.
/// A folder may end with `/` if `folders` are meant too.
pub fn path(text: &str, argument: &'static str, folders: bool) -> Result<String, Invalid> {
    let refuse = |reason| Err(Invalid { argument, reason });
    let trimmed = if folders { text.strip_suffix('/').unwrap_or(text) } else { text };
    if trimmed.is_empty() {
        return refuse("is empty");
    }
    if text.len() > PATH_BYTES_MAX {
        return refuse("is longer than 4,096 bytes");
    }
    if text.contains('\0') {
        return refuse("holds a zero byte");
    }
    if trimmed.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse("is not a path from the top of the repository");
    }
    Ok(format!("./{text}"))
}

/// Checks the paths of a diff.
pub fn paths(texts: &[String]) -> Result<Vec<String>, Invalid> {
    if texts.len() > PATHS_MAX {
        return Err(Invalid { argument: "paths", reason: "are more than 100" });
    }
    texts.iter().map(|text| path(text, "paths", true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = revision(text).map_or_else(|invalid| invalid.reason, |()| "accepted");
        assert_eq!(said, expected, "{text:?}");
    }

    #[test]
    fn accepts_what_names_one_commit() {
        for text in
            ["HEAD", "v1.2.0", "main~3", "HEAD^2", "feature/x", "@{upstream}", "main@{1}", "версия", "v1^{}"]
        {
            check(text, "accepted");
        }
    }

    #[test]
    fn refuses_what_is_no_single_commit() {
        check("", "is empty");
        check("--output=x", "begins with `-` or `^`");
        check("^main", "begins with `-` or `^`");
        check("a..b", "is a range");
        check("a...b", "is a range");
        for text in ["HEAD:x", ":/fix", "HEAD^{/x}", "a b", "a\nb", "a\0b", "a*", "a\u{85}b", "a\\b"] {
            check(text, "holds a character that no revision has");
        }
        check(&"a".repeat(513), "is longer than 512 bytes");
    }

    #[track_caller]
    fn check_path(text: &str, folders: bool, expected: &str) {
        let said = path(text, "path", folders);
        assert_eq!(said.as_deref().unwrap_or_else(|invalid| invalid.reason), expected, "{text:?}");
    }

    #[test]
    fn a_path_is_inside_the_repository_and_never_an_option() {
        check_path("src/lib.rs", false, "./src/lib.rs");
        check_path("--output=x", false, "./--output=x");
        check_path(":(top)x\ny", false, "./:(top)x\ny");
        check_path("src/", true, "./src/");
        check_path("src/", false, "is not a path from the top of the repository");
        for text in ["/etc/passwd", "../x", "a/../b", "a//b", "./x", "."] {
            check_path(text, true, "is not a path from the top of the repository");
        }
        check_path("/", true, "is empty");
        check_path("a\0b", true, "holds a zero byte");
    }

    proptest! {
        #[test]
        fn nothing_that_is_accepted_can_be_an_option(text in "[-^:./a\\x00]{0,6}") {
            if revision(&text).is_ok() {
                prop_assert!(!text.starts_with('-') && !text.contains('\0'));
            }
            if let Ok(path) = path(&text, "path", true) {
                prop_assert!(path.starts_with("./") && !path.split('/').any(|part| part == ".."));
            }
        }
    }
}
