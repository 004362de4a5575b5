//! `loong policy explain`: which policies decide about a call, and what would change that.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use loong_kernel::{Active, ResolveError};
use loong_manifest::{Code, PluginId, strict};
use loong_policy::{Answer, CallFacts, Explanation, Place, PolicySet, Principal, Verdict};
use loong_runtime::Plugin;
use serde_json::{Value, json};

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
  loong policy explain file.write --arguments '{\"path\": \"/etc/hosts\"}' --policy balanced
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
    /// The arguments of the call, for the risk profile
    #[arg(long, value_name = "JSON", value_parser = arguments)]
    arguments: Option<Value>,
    #[command(flatten)]
    load: LoadArgs,
}

fn arguments(text: &str) -> Result<Value, String> {
    strict::read(text.as_bytes()).map_err(|error| error.to_string())
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
    let policy = host.kernel().policy();
    let declared = facts.risk;
    // A call without arguments is explained; what they could add is said.
    let raised = policy.raise(&mut facts, Some(args.arguments.as_ref().unwrap_or(&Value::Null)));
    let explanation = policy.explain(&facts);
    let caller_name = caller.as_ref().map_or_else(|| "person".to_owned(), |caller| caller.id.to_string());
    let named = named(policy, &explanation);
    let hidden = policy.hides(&facts);
    if ui.json() {
        let value = json!({
            "operation": offered.name, "plugin": callee.id, "version": callee.version, "digest": callee.digest, "tier": callee.tier,
            "risk": facts.risk, "risk_declared": declared, "raised": raised, "pure": facts.callee_pure, "caller": caller_name,
            "granted": granted, "hidden": hidden, "explanation": explanation, "policies": named.iter().map(|(policy, place)| json!({ "policy": policy, "place": place })).collect::<Vec<_>>(),
        });
        ui.document("loong.policy.explain/1", &value);
        return Ok(());
    }
    ui.line(format!("{caller_name} → {}", offered.name));
    let mut rows = vec![("offered by", described(&callee, &facts))];
    if let Some(granted) = granted {
        let text = if granted {
            "its grants cover the operation"
        } else {
            "its grants do not cover the operation, so the call is refused before policies are asked"
        };
        rows.push(("caller", text.to_owned()));
    }
    if hidden {
        let text =
            "to the caller the operation does not exist: it is of another namespace, and nothing opens it";
        rows.push(("hidden", text.to_owned()));
    }
    if !raised.is_empty() {
        let declared = declared.map_or("undeclared", |risk| risk.as_str());
        rows.push(("raised", format!("from {declared}: {}", raised.join(", "))));
    }
    if args.arguments.is_none() && policy.risk_profile().is_some_and(|profile| profile.needs_arguments()) {
        rows.push((
            "arguments",
            "not given: the risk profile may raise a call with some, see `--arguments`".to_owned(),
        ));
    }
    rows.push((
        "verdict",
        format!("{}: {}", explanation.decision.verdict.as_str(), explanation.decision.reason),
    ));
    rows.push(("as it is", answer_text(&explanation.now)));
    rows.push(("if approved", answer_text(&explanation.approved)));
    rows.extend(explanation.changes.iter().map(|change| ("would be", change.to_string())));
    for (name, place) in &named {
        let id = name.strip_prefix(&format!("{}:", place.file)).unwrap_or(name);
        rows.push(("policy", format!("{}:{} {id}: {}", place.file, place.line, place.comment)));
    }
    if explanation.decision.verdict == Verdict::NeedsApproval {
        rows.push(("approval", "`loong approvals list` shows the request once it is called; `loong approvals grant` allows it in advance".to_owned()));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
    ui.table(2, &rows);
    Ok(())
}

/// Every policy that had a say, once, with its place.
fn named<'a>(policy: &'a PolicySet, explanation: &Explanation) -> Vec<(String, &'a Place)> {
    let all: BTreeSet<&String> =
        explanation.now.policies.iter().chain(&explanation.approved.policies).collect();
    all.into_iter().filter_map(|name| Some((name.clone(), policy.place(name)?))).collect()
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
