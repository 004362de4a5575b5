//! Reading policy files: parsed, named by their `@id`s, and checked against the schema, with the place of
//! every mistake.

use std::collections::HashSet;
use std::fmt;

use cedar_policy::{Policy, PolicyId, PolicySet as Cedar, Schema, ValidationMode, Validator};
use loong_manifest::{Code, escape};
use miette::Diagnostic;
use serde::Serialize;

use crate::place::{Place, Places};

/// Longest policy file, in bytes.
const SOURCE_BYTES_MAX: usize = 256 << 10;
/// The types that policies are checked against.
pub(crate) const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
/// The schema's name in findings.
const SCHEMA_FILE: &str = "schema.cedarschema";

/// A policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name without a folder, such as `default.cedar`. Policies are called by it: `default.cedar:ID`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The policies cannot be used.
    Error,
    /// The policies can be used, but hardly mean what they say.
    Warning,
}

/// Something that is wrong with a policy file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, safe to print.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, .. } = self;
        write!(formatter, "{}:{line}:{column}: {message}", escape(file))
    }
}

/// Policy files that cannot be used. Nothing is allowed by a set that was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{first}{}", match more.len() { 0 => String::new(), more => format!(" (and {more} more)") })]
pub struct PolicyError {
    /// The first mistake.
    pub first: Finding,
    /// The other mistakes.
    pub more: Vec<Finding>,
}

impl PolicyError {
    /// The public code.
    pub const fn code(&self) -> Code {
        Code::PolicyInvalid
    }

    /// An error, if one of the findings is.
    pub(crate) fn of(findings: Vec<Finding>) -> Result<(), Self> {
        let mut errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        let Some(first) = errors.next() else { return Ok(()) };
        Err(Self { first, more: errors.collect() })
    }
}

/// What was read, and everything that was noticed.
pub(crate) struct Reading {
    pub(crate) policies: Cedar,
    pub(crate) places: Places,
    pub(crate) findings: Vec<Finding>,
}

/// Parses policy files without checking them against the schema.
pub(crate) fn parse(sources: &[Source]) -> Reading {
    let mut reading = Reading { policies: Cedar::new(), places: Places::new(), findings: Vec::new() };
    for (index, source) in sources.iter().enumerate() {
        if !is_file_name(&source.name) {
            let problem = "the file's name is not made of letters, digits, `-`, `_` and `.`";
            reading.findings.push(at(source, 0, Severity::Error, problem));
        } else if sources.iter().take(index).any(|other| other.name == source.name) {
            reading.findings.push(at(source, 0, Severity::Error, "an earlier file has the same name"));
        } else if source.text.len() > SOURCE_BYTES_MAX {
            let problem = format!("the file has more than {SOURCE_BYTES_MAX} bytes");
            reading.findings.push(at(source, 0, Severity::Error, &problem));
        } else {
            parse_one(source, &mut reading);
        }
    }
    reading
}

fn parse_one(source: &Source, reading: &mut Reading) {
    let parsed: Cedar = match source.text.parse() {
        Ok(parsed) => parsed,
        Err(errors) => {
            let errors: cedar_policy::ParseErrors = errors;
            reading.findings.extend(errors.iter().map(|error| diagnosed(source, error, Severity::Error)));
            return;
        }
    };
    for template in parsed.templates() {
        let offset = source.text.find(template.to_cedar().trim()).unwrap_or_default();
        reading.findings.push(at(source, offset, Severity::Error, "a template permits nothing by itself"));
    }
    // Cedar numbers policies in the order of the file; findings come in that order too.
    let mut policies: Vec<&Policy> = parsed.policies().collect();
    policies.sort_by_cached_key(|policy| offset_of(source, policy));
    for policy in policies {
        let offset = offset_of(source, policy);
        let added = named(source, policy).and_then(|policy| {
            let id = policy.id().to_string();
            let added = reading.policies.add(policy);
            added.map(|()| id).map_err(|_| "an earlier policy of the file has the same `@id`".to_owned())
        });
        match added {
            Ok(id) => drop(reading.places.insert(id, Place::of(&source.name, &source.text, offset))),
            Err(problem) => reading.findings.push(at(source, offset, Severity::Error, &problem)),
        }
    }
}

/// The policy under its public name: the file's and its own.
fn named(source: &Source, policy: &Policy) -> Result<Policy, String> {
    let id = policy.annotation("id").ok_or("the policy has no `@id`")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
        return Err("the `@id` is not lower-case letters, digits and hyphens".to_owned());
    }
    Ok(policy.new_id(PolicyId::new(format!("{}:{id}", source.name))))
}

/// Where a policy's text is. Cedar keeps the text; where two policies have the same, the first is meant.
fn offset_of(source: &Source, policy: &Policy) -> usize {
    policy.to_cedar().and_then(|text| source.text.find(text.trim())).unwrap_or_default()
}

/// Checks policies against the schema in strict mode: names, types, optional attributes.
pub(crate) fn validate(sources: &[Source], policies: &Cedar) -> Vec<Finding> {
    let schema = match schema() {
        Ok(schema) => schema,
        Err(finding) => return vec![finding],
    };
    let result = Validator::new(schema).validate(policies, ValidationMode::Strict);
    let source_of = |id: &PolicyId| {
        let id: &str = id.as_ref();
        let file = id.rsplit_once(':').map_or(id, |(file, _)| file);
        sources.iter().find(|source| source.name == file)
    };
    let errors = result
        .validation_errors()
        .filter_map(|error| Some(diagnosed(source_of(error.policy_id())?, error, Severity::Error)));
    // Where a name is wrong, Cedar also warns that the policy never applies.
    let wrong: HashSet<&PolicyId> = result.validation_errors().map(|error| error.policy_id()).collect();
    let warnings = result.validation_warnings().filter_map(|warning| {
        let source = source_of(warning.policy_id()).filter(|_| !wrong.contains(warning.policy_id()))?;
        Some(diagnosed(source, warning, Severity::Warning))
    });
    let mut findings: Vec<Finding> = errors.chain(warnings).collect();
    // An error that no file can be blamed for is still an error.
    if findings.is_empty() && !result.validation_passed() {
        let message = escape(&result.to_string());
        findings.push(Finding {
            file: SCHEMA_FILE.to_owned(),
            line: 1,
            column: 1,
            severity: Severity::Error,
            message,
        });
    }
    findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    findings
}

/// The schema, read.
pub(crate) fn schema() -> Result<Schema, Finding> {
    Schema::from_cedarschema_str(SCHEMA).map(|(schema, _)| schema).map_err(|error| {
        let source = Source { name: SCHEMA_FILE.to_owned(), text: SCHEMA.to_owned() };
        diagnosed(&source, &error, Severity::Error)
    })
}

fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(plain)
}

/// A finding from an error of Cedar's.
fn diagnosed(source: &Source, error: &dyn Diagnostic, severity: Severity) -> Finding {
    let offset = error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
    let mut message = without_policy(&error.to_string()).to_owned();
    if let Some(help) = error.help() {
        message = format!("{message} ({})", without_policy(&help.to_string()));
    }
    at(source, offset, severity, &message)
}

/// Cedar's text without ``for policy `x`, ``, which repeats what the place says.
fn without_policy(text: &str) -> &str {
    text.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")).map_or(text, |(_, rest)| rest)
}

/// A finding at a byte of a file.
fn at(source: &Source, offset: usize, severity: Severity, message: &str) -> Finding {
    let before = source.text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Finding {
        file: source.name.clone(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        severity,
        message: escape(message),
    }
}

/// A finding at a byte of some text that is no Cedar.
pub(crate) fn finding_in(name: &str, text: &str, offset: usize, message: &str) -> Finding {
    at(&Source { name: name.to_owned(), text: text.to_owned() }, offset, Severity::Error, message)
}

#[cfg(test)]
mod tests;
