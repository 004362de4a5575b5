//! Names as lists of words, so that `dry-run`, `dry_run` and `dryRun` are one name, and `undeletable` does not
//! hold `delete`.

/// The words of a name in lower case: runs of letters and digits, cut where a capital begins a word.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        let lower_follows = characters.peek().is_some_and(|next| next.is_lowercase());
        // `dryRun`, and `HTTPServer` before `Server`.
        let begins = character.is_uppercase() && (!before.is_uppercase() || lower_follows);
        if (begins || !character.is_alphanumeric()) && !word.is_empty() {
            all.push(std::mem::take(&mut word));
        }
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
        before = character;
    }
    if !word.is_empty() {
        all.push(word);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::words;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(words(name).join(" "), expected);
    }

    #[test]
    fn a_name_is_its_words_however_it_is_written() {
        check("core:file/file#delete-all", "core file file delete all");
        check("dryRun", "dry run");
        check("dry_run", "dry run");
        check("DRY-RUN", "dry run");
        check("HTTPServer", "http server");
        check("readURL", "read url");
        check("undeletable", "undeletable");
        check("v2Delete", "v2 delete");
        check("--force", "force");
        check("[method]file.delete", "method file delete");
        check("", "");
        check("…", "");
        check("Ärger-ÄNDERN", "ärger ändern");
    }
}
