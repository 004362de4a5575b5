//! `loong policy explain`: which policies decide about a call, and what would change that.

use std::path::PathBuf;
use std::sync::Arc;

use loong_kernel::{Active, ResolveError};
use loong_manifest::{Code, PluginId};
use loong_policy::{Answer, CallFacts, Principal};
use loong_runtime::Plugin;
use serde_json::json;

use crate::error::CommandError;
use crate::grant::LoadArgs;
use crate::host::{Host, Session};
use crate::places::Places;
use crate::ui::Ui;

/// Say which policies decide about a call, and what would change the answer
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong policy explain git.log
  loong policy explain shorten word-count.wasm --policy strict
  loong policy explain core:git/git#log tool-git.wasm pack.wasm --caller core:release-review

The call is not made. Components are loaded as for a run, so that what is explained is what
would happen.")]
pub struct ExplainArgs {
    /// The operation, in any form that `loong tools call` takes
    operation: String,
    /// Components to load; the one on the plugin path that offers the operation when none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Explain the call by this plugin rather than by a person
    #[arg(long, value_name = "PLUGIN-ID")]
    caller: Option<PluginId>,
    #[command(flatten)]
    load: LoadArgs,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &ExplainArgs) -> Result<(), CommandError> {
    let mut host = Host::open(ui, places, &args.load)?;
    for file in &args.files {
        host.path_mut().beside(file);
    }
    let session = host.start(&format!("policy explain {}", args.operation))?;
    let explained = explain_in(ui, &host, &session, args);
    host.finish(&session, explained)
}

fn explain_in(ui: &mut Ui, host: &Host, session: &Session, args: &ExplainArgs) -> Result<(), CommandError> {
    if args.files.is_empty() {
        let entry = host.path().entries().into_iter().find(|entry| {
            entry.manifest.operations.iter().any(|operation| {
                let short = format!("{}.{}", entry.manifest.id.name(), operation.name.function);
                [operation.name.to_string(), operation.name.unversioned(), short].contains(&args.operation)
            })
        });
        let entry = entry.ok_or_else(|| unknown(&args.operation))?;
        host.load(ui, &entry.path, session)?;
    }
    let mut operation = args.operation.clone();
    for file in &args.files {
        let plugin = host.load(ui, file, session)?;
        // Within one component the bare name of a function is enough.
        let mut named = plugin.operations.iter().filter(|offered| offered.name.function == args.operation);
        if let (Some(only), None) = (named.next(), named.next()) {
            operation = only.name.to_string();
        }
    }
    let ((callee, offered), mut facts) = host.kernel().preview(&operation).map_err(|error| match error {
        ResolveError::Unknown => unknown(&args.operation),
        ResolveError::Ambiguous(names) => names.into_iter().fold(
            CommandError::new(
                Code::OperationAmbiguous,
                format!("`{}` could be more than one operation", args.operation),
            ),
            CommandError::detail,
        ),
    })?;
    let caller = args.caller.as_ref().map(|id| caller(ui, host, session, id)).transpose()?;
    if let Some(caller) = &caller {
        facts.caller =
            Principal::Component { plugin: caller.id.clone(), digest: caller.digest, tier: caller.tier };
        facts.depth = 1;
    }
    let granted = caller.as_ref().map(|caller| caller.grants.operation(&offered.name));
    let explanation = host.kernel().policy().explain(&facts);
    let caller_name = caller.as_ref().map_or_else(|| "person".to_owned(), |caller| caller.id.to_string());
    if ui.json() {
        let value = json!({
            "operation": offered.name, "plugin": callee.id, "version": callee.version, "digest": callee.digest, "tier": callee.tier,
            "risk": facts.risk, "pure": facts.callee_pure, "caller": caller_name, "granted": granted, "explanation": explanation,
        });
        ui.document("loong.policy.explain/1", &value);
        return Ok(());
    }
    ui.line(format!("{caller_name} → {}", offered.name));
    let mut rows = vec![("offered by".to_owned(), described(&callee, &facts))];
    if let Some(granted) = granted {
        let text = if granted {
            "its grants cover the operation"
        } else {
            "its grants do not cover the operation, so the call is refused before policies are asked"
        };
        rows.push(("caller".to_owned(), text.to_owned()));
    }
    rows.push((
        "verdict".to_owned(),
        format!("{}: {}", explanation.decision.verdict.as_str(), explanation.decision.reason),
    ));
    rows.push(("as it is".to_owned(), answer_text(&explanation.now)));
    rows.push(("if approved".to_owned(), answer_text(&explanation.approved)));
    rows.extend(explanation.changes.iter().map(|change| ("would be".to_owned(), change.to_string())));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name, text]).collect();
    ui.table(2, &rows);
    Ok(())
}

fn unknown(operation: &str) -> CommandError {
    CommandError::new(Code::OperationUnknown, format!("no component here offers `{operation}`"))
        .hint("name the file that offers it, or a folder with `--plugins DIR`")
}

/// The plugin that would call: a loaded one, or one on the plugin path.
fn caller(
    ui: &Ui,
    host: &Host,
    session: &Session,
    id: &PluginId,
) -> Result<Arc<Active<Plugin>>, CommandError> {
    if let Some(caller) = host.kernel().catalog().plugin(id) {
        return Ok(Arc::clone(caller));
    }
    let path = host.path().find(&id.to_string())?;
    host.load(ui, &path, session)
}

fn described(callee: &Active<Plugin>, facts: &CallFacts) -> String {
    let risk = facts.risk.map_or("undeclared, so taken as irreversible", |risk| risk.as_str());
    let pure = if facts.callee_pure { ", holds no grant but log" } else { "" };
    format!("{} {} ({}), risk {risk}{pure}", callee.id, callee.version, callee.tier)
}

fn answer_text(answer: &Answer) -> String {
    let policies = answer.policies.join(", ");
    match (&answer.failed, answer.allowed) {
        (Some(failed), _) => format!("denied: {failed}"),
        (None, true) => format!("permitted by {policies}"),
        (None, false) if policies.is_empty() => "denied: no policy permits it".to_owned(),
        (None, false) => format!("forbidden by {policies}"),
    }
}
