//! What the person asked for after `--`.

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Reviews what would be released from the git repository in the workspace.

Arguments, after `--`:

    --last N      the last N commits of the main line, with what was merged by them (1 to 1000)
    --from REV    what is reached from the end and not from REV: a tag, a branch or a commit
    --to REV      where the range ends (HEAD unless given)
    --help        this text

Without `--last` and `--from` the range begins after the last tag, or 50 commits back if there is none.
`--to TAG` without `--from` reviews the release TAG: the range begins after the tag before it.
";

/// Most commits that `--last` may ask for.
pub(crate) const LAST_MAX: u32 = 1000;

/// What the person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Arguments {
    pub(crate) help: bool,
    pub(crate) last: Option<u32>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

/// An argument that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The argument, as it was written.
    pub(crate) field: String,
    /// What is wrong with it, as one lower-case phrase.
    pub(crate) reason: String,
}

fn invalid<T>(field: &str, reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { field: super::text::clean(field, 80), reason: reason.into() })
}

/// Reads arguments: `--name value` or `--name=value`, each at most once.
pub(crate) fn read(arguments: &[String]) -> Result<Arguments, Invalid> {
    let mut read = Arguments::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        if matches!(name, "--help" | "-h") && attached.is_none() {
            read.help = true;
            continue;
        }
        if !matches!(name, "--last" | "--from" | "--to") {
            return invalid(name, "it is not an argument of this pack; `--help` lists them");
        }
        let Some(value) = attached.or_else(|| rest.next().map(String::as_str)) else {
            return invalid(name, "its value is missing");
        };
        let again = match name {
            "--last" => {
                let count = value.parse().ok().filter(|count| (1..=LAST_MAX).contains(count));
                let Some(count) = count else {
                    return invalid(name, format!("it must be a number from 1 to {LAST_MAX}"));
                };
                read.last.replace(count).is_some()
            }
            "--from" => read.from.replace(revision(name, value)?).is_some(),
            _ => read.to.replace(revision(name, value)?).is_some(),
        };
        if again {
            return invalid(name, "it is given twice");
        }
    }
    if read.last.is_some() && read.from.is_some() {
        return invalid("--last", "it cannot go together with `--from`");
    }
    Ok(read)
}

fn revision(name: &str, value: &str) -> Result<String, Invalid> {
    if value.is_empty() || value.starts_with('-') {
        return invalid(name, "it must be a revision: a tag, a branch or a commit");
    }
    if value.contains("..") {
        return invalid(name, "it must be one revision, not a range");
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Arguments, Invalid> {
        read(&line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn reads_ranges() {
        let check = |line: &str, last: Option<u32>, from: Option<&str>, to: Option<&str>| {
            let expected =
                Arguments { help: false, last, from: from.map(str::to_owned), to: to.map(str::to_owned) };
            assert_eq!(read_line(line), Ok(expected));
        };
        check("", None, None, None);
        check("--last 20", Some(20), None, None);
        check("--last=20 --to=v1", Some(20), None, Some("v1"));
        check("--from v1.0 --to HEAD~2", None, Some("v1.0"), Some("HEAD~2"));
        assert!(read_line("--help").unwrap().help);
    }

    #[test]
    fn names_the_argument_at_fault() {
        let check = |line: &str, field: &str| assert_eq!(read_line(line).unwrap_err().field, field, "{line}");
        check("--lst 5", "--lst");
        check("v1.0", "v1.0");
        check("--last", "--last");
        check("--last 0", "--last");
        check("--last 1001", "--last");
        check("--last x", "--last");
        check("--from --to", "--from");
        check("--to a..b", "--to");
        check("--from a --from b", "--from");
        check("--last 3 --from a", "--last");
        check("--help=1", "--help");
    }
}
