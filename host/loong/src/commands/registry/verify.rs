//! `loong registry verify`: everything that can be known of a repository without running anything of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use loong_manifest::{Code, PluginId, Tier};
use loong_policy::{Offer, PolicySet};
use loong_repository::check::{self, Checked, Fetched, Finding, Level};
use loong_repository::scan::ScanRules;
use loong_repository::{Client, Entry, Repository, RepositoryError, source};
use loong_trust::{TrustRoot, UtcTime, Verified};
use serde::Serialize;
use serde_json::{Value, json};

use super::connect::first_root;
use super::index;
use super::keep::now;
use super::rebuild::{self, CleanCopy};
use crate::commands::plugins::counted;
use crate::error::CommandError;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::registries;
use crate::scanning;
use crate::settings::Settings;
use crate::ui::Ui;

/// Most entries that are held in memory at once, and looked at in parallel.
const BATCH: usize = 64;
/// Largest root document.
const ROOT_BYTES_MAX: u64 = 512 << 10;

/// Verify a repository: documents, files, signatures, manifests, names, authority, policy
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry verify ./components --root root.json
  loong registry verify ./components --format sarif > findings.sarif
  loong registry verify ./components --format github       annotations of a pull request
  loong registry verify ./components --rebuild .           builds the sources again and compares
  loong registry verify registry/index --rebuild .         the same for an index, which holds no bytes

Without --root the first root document of the repository itself is trusted: good for a repository of your own
working tree, not for one that somebody serves. The exit code is 0 if nothing is wrong, and that of the first
error otherwise.")]
pub struct VerifyArgs {
    /// The folder or the URL of the repository
    #[arg(value_name = "FOLDER|URL", default_value = ".")]
    repository: String,
    /// The root document that is trusted
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// How to print what was found
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Build the entries again that say how, from this checkout, and compare
    #[arg(long, value_name = "CHECKOUT", num_args = 0..=1, default_missing_value = ".")]
    rebuild: Option<PathBuf>,
    /// The policies that are to admit the components
    #[arg(long, value_name = "PRESET")]
    policy: Option<String>,
}

/// A form of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table
    Text,
    /// SARIF 2.1.0
    Sarif,
    /// Workflow commands, which become annotations
    Github,
}

/// What was looked at.
#[derive(Serialize)]
pub(super) struct Report {
    repository: String,
    root_version: u64,
    expires: Option<String>,
    publishers: usize,
    pub(super) entries: Vec<Line>,
    pub(super) findings: Vec<Finding>,
    pub(super) ok: bool,
}

impl Report {
    /// Nothing yet of an index, which has neither root nor publishers.
    pub(super) fn of_index(repository: String) -> Self {
        let (entries, findings) = (Vec::new(), Vec::new());
        Self { repository, root_version: 0, expires: None, publishers: 0, entries, findings, ok: false }
    }
}

/// An entry of the report.
#[derive(Serialize)]
pub(super) struct Line {
    pub(super) id: PluginId,
    pub(super) version: semver::Version,
    pub(super) tier: Tier,
    pub(super) digest: loong_manifest::Digest,
    pub(super) size_bytes: u64,
    pub(super) yanked: bool,
    pub(super) errors: usize,
    pub(super) warnings: usize,
}

impl Line {
    fn of(entry: &Entry, tier: Tier) -> Self {
        Self {
            id: entry.id.clone(),
            version: entry.version.clone(),
            tier,
            digest: entry.digest,
            size_bytes: entry.size_bytes,
            yanked: entry.facts.yanked.is_some(),
            errors: 0,
            warnings: 0,
        }
    }
}

/// What entries are weighed with.
struct Weights {
    policy: PolicySet,
    offer: Offer,
    rules: ScanRules,
    now: UtcTime,
    copy: Option<CleanCopy>,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &VerifyArgs) -> Result<(), CommandError> {
    if let Some(path) = index::at(&args.repository) {
        let report = index::verify(ui, places, &path, args.rebuild.as_deref())?;
        return show(ui, args, &report);
    }
    let copy = args.rebuild.as_deref().map(|checkout| CleanCopy::of(checkout, places)).transpose()?;
    let root = match &args.root {
        Some(root) => locate::read_bounded(root, ROOT_BYTES_MAX)?,
        None => {
            let root = first_root(&args.repository, places)?;
            ui.note("note: trusting the repository's own first root; `--root FILE` pins one");
            root
        }
    };
    let settings = Settings::read(&places.settings())?;
    let policy = host::policy(args.policy.as_deref(), &settings, places)?;
    let rules = scanning::rules(places)?.thorough();
    let weights = Weights { policy, offer: Offer::default(), rules, now: now(), copy };
    let source = source(&args.repository, registries::access(&args.repository, places)?)?;
    let report = host::wait(verify(ui, args, source, &root, &weights))??;
    show(ui, args, &report)
}

fn show(ui: &mut Ui, args: &VerifyArgs, report: &Report) -> Result<(), CommandError> {
    let errors: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.level == Level::Error).collect();
    match args.format {
        _ if ui.json() => ui.document("loong.registry.verify/1", report),
        Format::Sarif => ui.result(&sarif(report)),
        Format::Github => report.findings.iter().for_each(|finding| ui.line(annotation(finding))),
        Format::Text => table(ui, report),
    }
    let Some(first) = errors.first() else { return Ok(()) };
    Err(CommandError::new(
        first.code.unwrap_or(Code::RepositoryInvalid),
        format!("the repository does not hold: {}", counted(errors.len(), "error", "errors")),
    )
    .detail(format!("{}: {}", first.subject, first.message))
    .hint("take nothing from it before this is mended by those who keep it; `--verbose` shows notes too"))
}

async fn verify(
    ui: &Ui,
    args: &VerifyArgs,
    source: Box<dyn Repository>,
    root: &[u8],
    weights: &Weights,
) -> Result<Report, CommandError> {
    let now = weights.now;
    let mut client = Client::new(source, root, None)?;
    let refreshed = client.refresh(now).await;
    let mut report = Report {
        repository: args.repository.clone(),
        root_version: client.trusted().root().version,
        expires: client.trusted().timestamp().map(|timestamp| timestamp.expires.to_string()),
        publishers: 0,
        entries: Vec::new(),
        findings: Vec::new(),
        ok: false,
    };
    if let Err(error) = refreshed {
        report.findings.push(does_not_hold("metadata", "repository", &error));
        return Ok(report);
    }
    let spinner = ui.spinner();
    for (publisher, tier) in client.publishers() {
        report.publishers += 1;
        let (trust, mut entries) = match listed(&mut client, &publisher, tier, now).await {
            Ok(listed) => listed,
            Err(error) => {
                report.findings.push(does_not_hold("metadata", &publisher, &error));
                continue;
            }
        };
        // The oldest first, so that each is held against the one before it.
        entries.sort_by(|left, right| left.id.cmp(&right.id).then_with(|| left.version.cmp(&right.version)));
        let mut before: Option<Verified> = None;
        let mut rest = entries.into_iter().peekable();
        while rest.peek().is_some() {
            let mut batch = Vec::new();
            for entry in rest.by_ref().take(BATCH) {
                let subject = format!("{} {}", entry.id, entry.version);
                if let (Some(copy), Some(built)) = (&weights.copy, &entry.facts.built) {
                    spinner.set_message(format!("building {subject}"));
                    let rebuilt = rebuild::compare(copy, &built.source, &built.toolchain, entry.digest);
                    report.findings.extend(index::finding(rebuilt, &subject, &built.toolchain));
                }
                match fetch(&mut client, &entry, now).await {
                    Ok(files) => batch.push(Fetched { entry, files }),
                    Err(error) => {
                        report.entries.push(Line { errors: 1, ..Line::of(&entry, tier) });
                        report.findings.push(does_not_hold("files", &subject, &error));
                    }
                }
            }
            spinner.set_message(format!("{} entries", report.entries.len() + batch.len()));
            spinner.tick();
            for (line, checked) in check_all(batch, tier, &trust, weights) {
                weigh(&mut report, line, checked, &mut before);
            }
        }
    }
    spinner.finish_and_clear();
    let mut ids: Vec<PluginId> = report.entries.iter().map(|entry| entry.id.clone()).collect();
    ids.dedup();
    for (id, like) in loong_repository::similar_names(&ids) {
        let message = format!("its name is easily taken for that of `{like}`");
        report.findings.push(Finding {
            rule: "name",
            level: Level::Warning,
            code: None,
            subject: id.to_string(),
            message,
        });
    }
    report.ok = report.findings.iter().all(|finding| finding.level != Level::Error);
    Ok(report)
}

/// The files of an entry, by their names.
async fn fetch(
    client: &mut Client,
    entry: &Entry,
    now: UtcTime,
) -> Result<BTreeMap<String, Vec<u8>>, RepositoryError> {
    let mut files = BTreeMap::new();
    for file in &entry.files {
        files.insert(file_name(&file.path), client.fetch(file, now).await?);
    }
    Ok(files)
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The keys of a publisher and what it lists.
async fn listed(
    client: &mut Client,
    publisher: &str,
    tier: Tier,
    now: UtcTime,
) -> Result<(TrustRoot, Vec<Entry>), RepositoryError> {
    Ok((client.trust(publisher, tier, now).await?, client.entries(publisher, now).await?))
}

fn does_not_hold(rule: &'static str, subject: &str, error: &RepositoryError) -> Finding {
    let (code, message) = (Some(error.code()), error.to_string());
    Finding { rule, level: Level::Error, code, subject: subject.to_owned(), message }
}

/// Looks at entries on every core.
fn check_all(batch: Vec<Fetched>, tier: Tier, trust: &TrustRoot, weights: &Weights) -> Vec<(Line, Checked)> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = batch.len().div_ceil(cores).max(1);
    let mut shares: Vec<Vec<Fetched>> = Vec::new();
    let mut rest = batch.into_iter().peekable();
    while rest.peek().is_some() {
        shares.push(rest.by_ref().take(share).collect());
    }
    let one = |fetched: Fetched| {
        let line = Line::of(&fetched.entry, tier);
        let mut checked = check::check(fetched, tier, trust, &weights.rules, weights.now);
        if let Some(verified) = &checked.verified {
            // What an operator does not offer is not the repository's matter; what its tier never gets is.
            let denials = loong_policy::preview(&weights.policy, verified, &weights.offer).denials;
            let mut never = denials.iter().filter(|denial| denial.code() == Code::TierTooLow);
            if let Some(denial) = never.next() {
                checked.findings.push(Finding {
                    rule: "policy",
                    level: Level::Warning,
                    code: Some(denial.code()),
                    subject: format!("{} {}", line.id, line.version),
                    message: match never.count() {
                        0 => denial.to_string(),
                        more => format!("{denial}; and {more} more"),
                    },
                });
            }
        }
        (line, checked)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(|| share.into_iter().map(one).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    })
}

fn weigh(report: &mut Report, mut line: Line, mut checked: Checked, before: &mut Option<Verified>) {
    if let Some(verified) = &checked.verified {
        if let Some(before) = before.as_ref().filter(|before| before.id() == verified.id()) {
            for more in check::more_authority(before, verified) {
                checked.findings.push(Finding {
                    rule: "authority",
                    level: Level::Warning,
                    code: None,
                    subject: format!("{} {}", line.id, line.version),
                    message: format!("unlike {}, it {more}", before.version()),
                });
            }
        }
        *before = Some(verified.clone());
    }
    let count = |level| checked.findings.iter().filter(|finding| finding.level == level).count();
    (line.errors, line.warnings) = (count(Level::Error), count(Level::Warning));
    report.entries.push(line);
    report.findings.append(&mut checked.findings);
}

fn table(ui: &mut Ui, report: &Report) {
    let rows: Vec<Vec<String>> = report
        .entries
        .iter()
        .map(|entry| {
            let state = match (entry.errors, entry.warnings) {
                (0, 0) if entry.yanked => "yanked".to_owned(),
                (0, 0) => "ok".to_owned(),
                (0, warnings) => counted(warnings, "warning", "warnings"),
                (errors, _) => counted(errors, "error", "errors"),
            };
            vec![
                entry.id.to_string(),
                entry.version.to_string(),
                // An index vouches for nothing.
                if report.root_version == 0 { String::new() } else { entry.tier.to_string() },
                entry.digest.short(),
                state,
            ]
        })
        .collect();
    ui.table(0, &rows);
    let shown: Vec<&Finding> =
        report.findings.iter().filter(|finding| ui.verbose() || finding.level != Level::Note).collect();
    for finding in shown {
        let code = finding.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        ui.line(format!("{}: {}: {}{code}", finding.level.as_str(), finding.subject, finding.message));
    }
    let expires =
        report.expires.as_ref().map(|expires| format!(", holds until {expires}")).unwrap_or_default();
    ui.line(format!(
        "{}{}{expires}",
        counted(report.entries.len(), "entry", "entries"),
        match report.root_version {
            0 => String::new(),
            version => format!(
                " of {}, root version {version}",
                counted(report.publishers, "publisher", "publishers")
            ),
        },
    ));
}

/// A workflow command: `%`, line ends and, in properties, `:` and `,` are escaped.
fn annotation(finding: &Finding) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = data(&finding.subject).replace(':', "%3A").replace(',', "%2C");
    let level = if finding.level == Level::Note { "notice" } else { finding.level.as_str() };
    format!("::{level} title={title}::{} ({})", data(&finding.message), finding.rule)
}

/// The findings in the Static Analysis Results Interchange Format, version 2.1.0 (OASIS).
fn sarif(report: &Report) -> Value {
    let rules: Vec<Value> = check::RULES
        .iter()
        .map(|(id, text)| json!({ "id": id, "shortDescription": { "text": text } }))
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "ruleId": finding.rule,
                "level": finding.level,
                "message": { "text": format!("{}: {}", finding.subject, finding.message) },
                "locations": [{
                    "logicalLocations": [{ "fullyQualifiedName": finding.subject, "kind": "module" }],
                }],
            })
        })
        .collect();
    json!({
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "loong", "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "results": results,
        }],
    })
}
