//! A review as Markdown for a person. Whatever came from the repository is escaped or in a code span.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::document::{Commit, Contract, Dependency, Entry, List, Package, Review};
use super::facts::{ChangeKind, crate_folder};
use super::path::ContractKind;
use super::risk::{self, RiskKind};
use super::subject::Kind;
use super::text::{code, counted, grouped, markdown as escape};
use super::version::Weight;

// How much of each list a person reads.
const EVIDENCE_MAX: usize = 8;
const CONTRACTS_MAX: usize = 20;
const ITEMS_MAX: usize = 6;
const DEPENDENCIES_MAX: usize = 12;
const PACKAGES_MAX: usize = 12;
const RISKS_MAX: usize = 10;
const COMMITS_MAX: usize = 12;
const MERGES_MAX: usize = 5;
const AREAS_MAX: usize = 15;
const AREA_COMMITS_MAX: usize = 5;
const AUTHORS_MAX: usize = 15;
const ENTRIES_MAX: usize = 40;
const UNREAD_MAX: usize = 10;

/// Writes the whole review.
pub(crate) fn markdown(review: &Review) -> String {
    let mut out = Out::default();
    head(&mut out, review);
    version(&mut out, review);
    contracts(&mut out, review);
    risks(&mut out, review);
    commits(&mut out, review);
    authors(&mut out, review);
    changelog(&mut out, review);
    gaps(&mut out, review);
    out.0
}

/// The text so far. Blocks have one empty line between them.
#[derive(Default)]
struct Out(String);

impl Out {
    fn heading(&mut self, level: usize, text: &str) {
        self.block(&format!("{} {text}", "#".repeat(level)));
    }

    fn block(&mut self, text: &str) {
        self.gap();
        self.line(text);
    }

    fn gap(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with("\n\n") {
            self.0.push('\n');
        }
    }

    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn point(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.0, "{}- {text}", "  ".repeat(depth));
    }

    fn more(&mut self, depth: usize, count: usize) {
        if count > 0 {
            self.point(depth, &format!("and {} more", grouped(count as u64)));
        }
    }
}

fn head(out: &mut Out, review: &Review) {
    let range = &review.range;
    let title = match &range.from {
        Some(from) => format!("Release review: {} to {}", escape(from), escape(&range.to)),
        None => format!("Release review: up to {}", escape(&range.to)),
    };
    out.heading(1, &title);
    let mut chosen = escape(&range.chosen);
    if let Some(id) = &range.to_id {
        let _ = write!(chosen, " The last commit is {}.", code(&id.chars().take(8).collect::<String>()));
    }
    out.block(&chosen);
    let counts = &review.counts;
    if counts.commits == 0 && counts.files == 0 {
        return;
    }
    out.gap();
    if let (Some(first), Some(last)) = (&range.first_day, &range.last_day) {
        out.point(
            0,
            &if first == last { format!("Made on {first}") } else { format!("Made from {first} to {last}") },
        );
    }
    let merges = if counts.merges > 0 {
        format!(", {}", counted(counts.merges, "merge among them", "merges among them"))
    } else {
        String::new()
    };
    let more = if counts.commits_more { "more than " } else { "" };
    out.point(
        0,
        &format!(
            "{more}{}{merges}, by {}",
            counted(counts.commits, "commit", "commits"),
            counted(counts.authors, "author", "authors")
        ),
    );
    out.point(
        0,
        &format!(
            "{} changed: +{} −{} lines",
            counted(counts.files, "file", "files"),
            grouped(counts.lines_added),
            grouped(counts.lines_removed)
        ),
    );
}

fn version(out: &mut Out, review: &Review) {
    let version = &review.version;
    let heading = match (&version.next, version.bump) {
        (Some(next), Some(bump)) => format!("Suggested version: {} ({})", escape(next), bump.name()),
        (Some(next), None) => format!("Suggested version: {}", escape(next)),
        _ => "Suggested version: none".to_owned(),
    };
    out.heading(2, &heading);
    out.block(&escape(&version.reason));
    // A first release has nothing to break and nothing to add to.
    if version.last_tag.is_some() && !version.evidence.is_empty() {
        out.gap();
        let heaviest = version.weight.unwrap_or(Weight::Patch);
        let shown: Vec<_> = version.evidence.items.iter().filter(|piece| piece.weight == heaviest).collect();
        for piece in shown.iter().take(EVIDENCE_MAX) {
            let place = piece.commit.as_deref().or(piece.path.as_deref()).map(code).unwrap_or_default();
            out.point(0, &format!("{place} {}", escape(&piece.what)));
        }
        out.more(0, shown.len().saturating_sub(EVIDENCE_MAX));
    }
    for note in &version.notes {
        out.block(&escape(note));
    }
}

fn lines(added: Option<u64>, removed: Option<u64>) -> String {
    match (added, removed) {
        (Some(added), Some(removed)) => format!("+{added} −{removed}"),
        _ => "binary".to_owned(),
    }
}

fn contracts(out: &mut Out, review: &Review) {
    if review.counts.files == 0 {
        return;
    }
    out.heading(2, "Contract changes");
    if review.contracts.is_empty() {
        out.block("None: no interface, schema, migration or public declaration was seen to change.");
        return;
    }
    let weighing = |weight: Weight| {
        review.contracts.items.iter().filter(move |contract| contract.weight == Some(weight))
    };
    let breaking: Vec<_> = weighing(Weight::Breaking).collect();
    if !breaking.is_empty() {
        out.heading(3, &format!("May break something ({})", breaking.len()));
        out.gap();
        for contract in breaking.iter().take(CONTRACTS_MAX) {
            out.point(0, &format!("{}: {}", contract_file(contract), escape(&contract.why)));
            for item in contract.items.items.iter().take(ITEMS_MAX) {
                let line = |text: &Option<String>| text.as_deref().map(code).unwrap_or_default();
                let text = match item.change {
                    ChangeKind::Deleted => format!("removed {}", line(&item.before)),
                    ChangeKind::Modified => {
                        format!("changed {} to {}", line(&item.before), line(&item.after))
                    }
                    _ => format!("added {}", line(&item.after)),
                };
                out.point(1, &text);
            }
            out.more(1, contract.items.len().saturating_sub(ITEMS_MAX));
        }
        out.more(0, breaking.len().saturating_sub(CONTRACTS_MAX));
    }
    let adding: Vec<_> = weighing(Weight::Feature).collect();
    if !adding.is_empty() {
        out.heading(3, &format!("Adds something ({})", adding.len()));
        out.gap();
        for contract in adding.iter().take(CONTRACTS_MAX) {
            let names = names(contract);
            let end = if names.is_empty() { escape(&contract.why) } else { names };
            out.point(0, &format!("{}: {end}", contract_file(contract)));
        }
        out.more(0, adding.len().saturating_sub(CONTRACTS_MAX));
    }
    uncounted(out, review);
    if review.contracts.omitted > 0 {
        out.block(&format!(
            "{} not listed.",
            counted(review.contracts.omitted, "contract change is", "contract changes are")
        ));
    }
}

fn contract_file(contract: &Contract) -> String {
    let old = contract.old_path.as_deref().map(|old| format!(" (was {})", code(old))).unwrap_or_default();
    let new = if contract.change == ChangeKind::Added { "new " } else { "" };
    format!(
        "{}{old}, {new}{}, {}",
        code(&contract.path),
        contract.kind.name(),
        lines(contract.lines_added, contract.lines_removed)
    )
}

/// The names of what a file declares anew, what others name first.
fn names(contract: &Contract) -> String {
    let mut items: Vec<_> = contract.items.items.iter().collect();
    items.sort_by_key(|item| match item.kind {
        "interface" | "world" | "struct" | "trait" | "class" | "service" | "message" | "table" => 0,
        "package" | "use" | "import" | "include" | "mod" | "field" | "member" => 2,
        _ => 1,
    });
    let mut names: Vec<String> =
        items.iter().take(ITEMS_MAX).map(|item| format!("{} {}", item.kind, code(&item.name))).collect();
    let more = contract.items.len().saturating_sub(ITEMS_MAX);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// What does not count for the version, in few lines: crates that nobody else gets, comments, unread files.
fn uncounted(out: &mut Out, review: &Review) {
    let mut crates: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut others = Vec::new();
    for contract in review
        .contracts
        .items
        .iter()
        .filter(|contract| contract.weight.is_none_or(|weight| weight == Weight::Patch))
    {
        match crate_folder(&contract.path) {
            Some(folder) if contract.kind == ContractKind::PublicApi => {
                let [files, added, changed, removed] = crates.entry(folder).or_default();
                *files += 1;
                for item in &contract.items.items {
                    match item.change {
                        ChangeKind::Deleted => *removed += 1,
                        ChangeKind::Modified => *changed += 1,
                        _ => *added += 1,
                    }
                }
                *added += contract.items.omitted;
            }
            _ => others.push(contract),
        }
    }
    if crates.is_empty() && others.is_empty() {
        return;
    }
    out.heading(3, "Not counted for the version");
    out.gap();
    for contract in others.iter().take(CONTRACTS_MAX) {
        out.point(0, &format!("{}: {}", contract_file(contract), escape(&contract.why)));
    }
    out.more(0, others.len().saturating_sub(CONTRACTS_MAX));
    for (folder, [files, added, changed, removed]) in crates.iter().take(CONTRACTS_MAX) {
        let parts: Vec<String> = [(added, "added"), (changed, "changed"), (removed, "removed")]
            .into_iter()
            .filter(|(count, _)| **count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let folder = if folder.is_empty() { "." } else { folder };
        out.point(
            0,
            &format!(
                "crate {}, not published: public declarations in {}: {}",
                code(folder),
                counted(*files, "file", "files"),
                parts.join(", ")
            ),
        );
    }
    out.more(0, crates.len().saturating_sub(CONTRACTS_MAX));
}

fn risks(out: &mut Out, review: &Review) {
    if review.counts.files == 0 && review.risks.is_empty() {
        return;
    }
    out.heading(2, "Risky changes");
    if review.risks.is_empty() && review.dependencies.is_empty() {
        out.block("None of those that are looked for: dependencies, unsafe code, build and CI scripts, deleted tests, hidden text.");
        return;
    }
    dependencies(out, &review.dependencies);
    let mut kinds: BTreeMap<RiskKind, Vec<&super::document::Risk>> = BTreeMap::new();
    for risk in &review.risks.items {
        kinds.entry(risk.kind).or_default().push(risk);
    }
    for (kind, risks) in kinds {
        out.heading(3, &format!("{} ({})", kind.heading(), risks.len()));
        out.gap();
        for risk in risks.iter().take(RISKS_MAX) {
            out.point(0, &format!("{}: {}", code(&risk.place), escape(&risk.what)));
        }
        out.more(0, risks.len().saturating_sub(RISKS_MAX));
    }
    if review.risks.omitted > 0 {
        out.block(&format!("{} not listed.", counted(review.risks.omitted, "other is", "others are")));
    }
}

fn dependencies(out: &mut Out, dependencies: &List<Dependency>) {
    if dependencies.is_empty() {
        return;
    }
    out.heading(3, &format!("Dependencies ({})", counted(dependencies.len(), "file", "files")));
    out.gap();
    let (inner, outer): (Vec<_>, Vec<_>) =
        dependencies.items.iter().partition(|dependency| is_inner(dependency));
    for dependency in outer.iter().take(DEPENDENCIES_MAX) {
        let count = |change: ChangeKind| {
            dependency.packages.items.iter().filter(|package| package.change == change).count()
        };
        let mut parts: Vec<String> = [
            (ChangeKind::Added, "added"),
            (ChangeKind::Deleted, "removed"),
            (ChangeKind::Modified, "changed"),
        ]
        .into_iter()
        .filter_map(|(change, word)| {
            Some(count(change)).filter(|count| *count > 0).map(|count| format!("{count} {word}"))
        })
        .collect();
        if !matches!(dependency.change, ChangeKind::Modified | ChangeKind::Added) {
            parts.insert(0, format!("the file was {}", risk::verb(dependency.change)));
        }
        if !dependency.read {
            parts.push("its entries were not read".to_owned());
        }
        let size = lines(dependency.lines_added, dependency.lines_removed);
        let new = if dependency.change == ChangeKind::Added { ", new" } else { "" };
        out.point(0, &format!("{}{new}, {size}: {}", code(&dependency.path), parts.join(", ")));
        let packages = &dependency.packages;
        // A lock file names whatever the others bring along: what comes from elsewhere, goes or changes matters most.
        let (inner, mut order): (Vec<&Package>, Vec<&Package>) =
            packages.items.iter().partition(|package| is_inner_package(package));
        order.sort_by_key(|package| {
            (!package.elsewhere, package.change == ChangeKind::Added && dependency.lock)
        });
        // All of a new lock file is new; the manifests say what was asked for.
        if dependency.lock && dependency.change == ChangeKind::Added {
            order.retain(|package| package.elsewhere);
        }
        for package in order.iter().take(PACKAGES_MAX) {
            let name = code(&package.name);
            let version = |text: &Option<String>| text.as_deref().map(code).unwrap_or_default();
            let text = match package.change {
                ChangeKind::Deleted => format!("removed {name} {}", version(&package.before)),
                ChangeKind::Modified => {
                    format!("changed {name} from {} to {}", version(&package.before), version(&package.after))
                }
                _ => format!("added {name} {}", version(&package.after)),
            };
            let elsewhere = if package.elsewhere { ", **not from a registry**" } else { "" };
            out.point(1, &format!("{text}{elsewhere}"));
        }
        out.more(
            1,
            order.len().saturating_sub(PACKAGES_MAX) + if order.is_empty() { 0 } else { packages.omitted },
        );
        if !inner.is_empty() {
            out.point(
                1,
                &format!(
                    "{} of the repository or its workspace",
                    counted(inner.len(), "package", "packages")
                ),
            );
        }
    }
    out.more(0, outer.len().saturating_sub(DEPENDENCIES_MAX));
    if !inner.is_empty() {
        let files = counted(inner.len(), "other manifest changes", "other manifests change");
        out.point(0, &format!("{files} only which packages of the repository or its workspace are used"));
    }
}

/// True when nothing comes from outside that another manifest of the repository does not name.
fn is_inner(dependency: &Dependency) -> bool {
    dependency.read
        && dependency.packages.omitted == 0
        && dependency.packages.items.iter().all(is_inner_package)
}

fn is_inner_package(package: &Package) -> bool {
    let inside = |version: &Option<String>| {
        version
            .as_deref()
            .is_none_or(|version| version.starts_with("workspace") || version.starts_with("path "))
    };
    inside(&package.before) && inside(&package.after)
}

fn commits(out: &mut Out, review: &Review) {
    if review.commits.is_empty() {
        return;
    }
    out.heading(2, "Commits");
    let mut kinds: BTreeMap<Kind, Vec<&Commit>> = BTreeMap::new();
    for commit in &review.commits.items {
        kinds.entry(commit.kind).or_default().push(commit);
    }
    for (kind, commits) in kinds {
        let has_areas = kind == Kind::Change && commits.iter().any(|commit| commit.area.is_some());
        let heading = if kind == Kind::Change && !has_areas { "Changes" } else { kind.heading() };
        out.heading(3, &format!("{heading} ({})", commits.len()));
        out.gap();
        if has_areas {
            by_area(out, &commits);
            continue;
        }
        // What a merge brought in is listed by itself.
        let most = if kind == Kind::Merge { MERGES_MAX } else { COMMITS_MAX };
        for commit in commits.iter().take(most) {
            let area =
                commit.area.as_deref().map(|area| format!("**{}**: ", escape(area))).unwrap_or_default();
            out.point(0, &format!("{area}{}", said(commit)));
        }
        out.more(0, commits.len().saturating_sub(most));
    }
    if review.commits.omitted > 0 {
        out.block(&format!("{} not listed.", counted(review.commits.omitted, "commit is", "commits are")));
    }
}

fn by_area(out: &mut Out, commits: &[&Commit]) {
    let mut areas: BTreeMap<Option<&str>, Vec<&Commit>> = BTreeMap::new();
    for commit in commits {
        areas.entry(commit.area.as_deref()).or_default().push(commit);
    }
    let mut areas: Vec<_> = areas.into_iter().collect();
    // The largest first; what has no area comes last.
    areas.sort_by_key(|(area, commits)| (area.is_none(), std::cmp::Reverse(commits.len())));
    for (area, commits) in areas.iter().take(AREAS_MAX) {
        let name = area.map_or_else(|| "other".to_owned(), |area| format!("**{}**", escape(area)));
        if let [commit] = commits.as_slice() {
            out.point(0, &format!("{name}: {}", said(commit)));
            continue;
        }
        out.point(0, &format!("{name} ({})", commits.len()));
        let most = if area.is_none() { COMMITS_MAX } else { AREA_COMMITS_MAX };
        for commit in commits.iter().take(most) {
            out.point(1, &said(commit));
        }
        out.more(1, commits.len().saturating_sub(most));
    }
    let rest: usize = areas.iter().skip(AREAS_MAX).map(|(_, commits)| commits.len()).sum();
    if rest > 0 {
        out.point(0, &format!("and {} in other areas", counted(rest, "commit", "commits")));
    }
}

fn said(commit: &Commit) -> String {
    let breaking = if commit.breaking { "**breaking:** " } else { "" };
    let reverted = if commit.reverted { ", reverted since" } else { "" };
    let text = if commit.text.is_empty() { "(no subject)".to_owned() } else { escape(&commit.text) };
    format!("{breaking}{text} ({}{reverted})", code(&commit.short))
}

fn authors(out: &mut Out, review: &Review) {
    if review.authors.is_empty() {
        return;
    }
    out.heading(2, "Authors");
    out.gap();
    for author in review.authors.items.iter().take(AUTHORS_MAX) {
        let co_authored = if author.co_authored > 0 {
            format!("co-author of {}", author.co_authored)
        } else {
            String::new()
        };
        let commits = counted(author.commits, "commit", "commits");
        let text = match (author.commits, author.co_authored) {
            (0, _) => co_authored,
            (_, 0) => commits,
            _ => format!("{commits}, {co_authored}"),
        };
        let name = if author.name.is_empty() { "(no name)".to_owned() } else { escape(&author.name) };
        out.point(0, &format!("{name}: {text}"));
    }
    out.more(0, review.authors.len().saturating_sub(AUTHORS_MAX));
}

fn changelog(out: &mut Out, review: &Review) {
    let changelog = &review.changelog;
    if review.commits.is_empty() {
        return;
    }
    out.heading(2, "Draft changelog");
    if changelog.sections.is_empty() {
        out.block("No commit says something that users would notice.");
        return;
    }
    out.block("````markdown");
    let date = if changelog.heading == "Unreleased" { "" } else { " - Unreleased" };
    out.line(&format!("## [{}]{date}", escape(&changelog.heading)));
    for entries in &changelog.sections {
        out.line(&format!("\n### {}\n", entries.section.heading()));
        for entry in entries.entries.items.iter().take(ENTRIES_MAX) {
            out.point(0, &noted(entry));
        }
        out.more(0, entries.entries.len().saturating_sub(ENTRIES_MAX));
    }
    out.line("````");
    if changelog.left_out > 0 {
        out.block(&format!(
            "{}: what users would not notice (tests, documentation, refactoring, chores, merges), what was taken back, and what came twice.",
            counted(changelog.left_out, "commit is left out", "commits are left out")
        ));
    }
}

fn noted(entry: &Entry) -> String {
    let area = entry.area.as_deref().map(|area| format!("{}: ", escape(area))).unwrap_or_default();
    let breaking = if entry.breaking { "**Breaking:** " } else { "" };
    format!("{breaking}{area}{} ({})", escape(&entry.text), entry.commit)
}

fn gaps(out: &mut Out, review: &Review) {
    if review.commits.is_empty() && review.gaps.is_empty() {
        return;
    }
    out.heading(2, "What this review does not know");
    out.gap();
    for gap in &review.gaps {
        out.point(0, &escape(gap));
    }
    for path in review.unread.items.iter().take(UNREAD_MAX) {
        out.point(1, &code(path));
    }
    out.more(1, review.unread.len().saturating_sub(UNREAD_MAX));
    out.point(0, "It compares lines and does not compile: changes inside a declaration of several lines, of enum variants or of trait methods can be missed, and what is found may be harmless.");
}
