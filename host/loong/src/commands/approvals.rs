//! `loong approvals`: what waits for a person, and what was allowed in advance.

use std::path::PathBuf;

use loong_kernel::{ApprovalEnd, Durability, Event, Ledger, Outcome};
use loong_manifest::{Code, Digest, OperationPattern};
use loong_policy::Grant;
use loong_store::{ApprovalRow, ApprovalState, DecideError, GrantRow, Store};
use loong_trust::{Document, UtcTime, file, sign_document};
use serde_json::{Value, json};

use super::audit::{time_range, time_text};
use super::registry;
use crate::error::CommandError;
use crate::grant_file::{Allowed, GrantFile, SCHEMA};
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;
use crate::{approve, host, risk};

/// Decide what waits for a person, and allow things in advance
#[derive(clap::Subcommand)]
pub enum ApprovalsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Approve(ApproveArgs),
    Deny(DenyArgs),
    Grant(GrantArgs),
    Revoke(RevokeArgs),
}

/// List requests that wait and grants in force
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong approvals list
  loong approvals list --all --json        also what was decided, used or ran out")]
pub struct ListArgs {
    /// Also what was decided, used, taken back or ran out
    #[arg(long)]
    all: bool,
}

/// Show one request in full: who asks for what, with which arguments
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  loong approvals show 4be01c9f2a77")]
pub struct ShowArgs {
    /// The request; the first digits of its name are enough
    #[arg(value_name = "APPROVAL")]
    approval: String,
}

/// Allow what a request asks for
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong approvals approve 4be01c9f2a77                 this call with these arguments, once
  loong approvals approve 4be01c9f2a77 --session       this operation of this component, in this run
  loong approvals approve 4be01c9f2a77 --uses 3        … three times, in any run, for an hour
  loong approvals approve 4be01c9f2a77 --until 30m     … for half an hour

The first form is bound to the exact arguments; one changed byte needs a new approval. Another version of
the component or other policies make it stale.")]
pub struct ApproveArgs {
    /// The request; the first digits of its name are enough
    #[arg(value_name = "APPROVAL")]
    approval: String,
    /// Allow the operation of this component with any arguments, for the rest of this run
    #[arg(long, conflicts_with_all = ["uses", "until"])]
    session: bool,
    /// Allow the operation of this component with any arguments, so many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    uses: Option<u64>,
    /// Allow the operation of this component with any arguments, until then; `30m`, `2h` and `1d` are from now
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Deny what a request asks for; the same is denied again in this run without asking
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  loong approvals deny 4be01c9f2a77")]
pub struct DenyArgs {
    /// The request; the first digits of its name are enough
    #[arg(value_name = "APPROVAL")]
    approval: String,
}

/// Allow operations in advance, a number of times or until a time
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong approvals grant 'core:file/file#write' --uses 1          one change, within an hour
  loong approvals grant '*' --uses 1 --until 10m                 one-time full access
  loong approvals grant 'core:file/*' --component sha256:…       only of these bytes
  loong approvals grant 'core:file/*' --uses 5 --until 1d --sign nightly.json
                                      a signed file for runs that nobody watches: `loong run … --grant-file nightly.json`

Uses are counted down in the database, whoever uses them; a restart does not bring them back. What policy
forbids stays forbidden. A grant holds for the policies in force when it is given.")]
pub struct GrantArgs {
    /// Which operations: `namespace:package/interface#function`, with `*` for any run of characters
    #[arg(value_name = "OPERATION")]
    operations: OperationPattern,
    /// How many times; any number without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    uses: Option<u64>,
    /// Until when; `30m`, `2h` and `1d` are from now
    #[arg(long, value_name = "TIME", default_value = "1h")]
    until: String,
    /// Only of the component with exactly these bytes
    #[arg(long, value_name = "DIGEST")]
    component: Option<Digest>,
    /// The policies it holds for: those in force, unless a run names others with `--policy`
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Write a grant file signed with a key of yours, and allow nothing here
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// Which of your keys to sign with
    #[arg(long, value_name = "NAME", default_value = "local", requires = "sign")]
    key: String,
    /// Skip the question
    #[arg(long)]
    yes: bool,
}

/// Take back a grant, or an approval that was not used yet
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  loong approvals revoke grant-5c01e7a2")]
pub struct RevokeArgs {
    /// The grant, or the request
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: &ApprovalsCommand) -> Result<(), CommandError> {
    if let ApprovalsCommand::Grant(args @ GrantArgs { sign: Some(path), .. }) = command {
        return sign(ui, places, args, path);
    }
    let store = host::store(places)?;
    let done = match command {
        ApprovalsCommand::List(args) => list(ui, &store, args),
        ApprovalsCommand::Show(args) => show(ui, &store, &args.approval),
        ApprovalsCommand::Approve(args) => approve(ui, &store, args),
        ApprovalsCommand::Deny(args) => deny(ui, &store, &args.approval),
        ApprovalsCommand::Grant(args) => grant(ui, places, &store, args),
        ApprovalsCommand::Revoke(args) => revoke(ui, &store, &args.name),
    };
    let closed = store.close();
    done?;
    Ok(closed?)
}

fn list(ui: &mut Ui, store: &Store, args: &ListArgs) -> Result<(), CommandError> {
    let (requests, grants) =
        host::wait(async { Ok((store.approvals(args.all, 1_000).await?, store.grants(args.all).await?)) })?
            .map_err(host::unwritten)?;
    if ui.json() {
        let requests: Vec<Value> = requests.iter().map(request_json).collect();
        let grants: Vec<Value> = grants.iter().map(grant_json).collect();
        ui.document("loong.approvals/1", &json!({ "requests": requests, "grants": grants }));
        return Ok(());
    }
    if requests.is_empty() && grants.is_empty() {
        ui.note(if args.all {
            "nothing was asked for or granted"
        } else {
            "nothing waits, and nothing is granted"
        });
    }
    let rows: Vec<Vec<String>> = requests
        .iter()
        .map(|row| {
            let request = &row.request;
            let what = format!("{} → {}", request.caller, request.operation);
            let time = time_text(request.created_ms);
            vec![row.id.clone(), row.state.as_str().to_owned(), request.risk.as_str().to_owned(), time, what]
        })
        .chain(grants.iter().map(|row| {
            let left = row.uses_left.map_or_else(String::new, |left| format!("{left} left"));
            let state = if row.revoked_ms.is_some() { "revoked" } else { "granted" };
            vec![row.id.clone(), state.to_owned(), left, time_text(row.grant.expires_ms), row.grant.scope()]
        }))
        .collect();
    ui.table(0, &rows);
    Ok(())
}

fn request_json(row: &ApprovalRow) -> Value {
    json!({
        "approval": row.id, "state": row.state.as_str(), "binding": row.binding, "decided_by": row.decided_by,
        "decided": row.decided_ms.map(time_text), "created": time_text(row.request.created_ms),
        "expires": time_text(row.request.expires_ms), "request": row.request,
    })
}

fn grant_json(row: &GrantRow) -> Value {
    json!({
        "grant": row.id, "allows": row.grant, "policy": row.policy, "uses_left": row.uses_left,
        "created": time_text(row.created_ms), "expires": time_text(row.grant.expires_ms), "given_by": row.given_by,
        "revoked": row.revoked_ms.map(time_text),
    })
}

fn show(ui: &mut Ui, store: &Store, name: &str) -> Result<(), CommandError> {
    let row = host::wait(store.approval(name))??;
    if ui.json() {
        ui.document("loong.approval/1", &request_json(&row));
        return Ok(());
    }
    let decided = match (row.decided_ms, &row.decided_by) {
        (Some(time), Some(by)) => format!(" by {by}, {}", time_text(time)),
        _ => String::new(),
    };
    ui.line(format!("{} {}{decided}", row.id, row.state.as_str()));
    let mut rows: Vec<Vec<String>> =
        approve::facts(&row.request).into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    rows.push(vec!["policies".to_owned(), row.request.policies.join(", ")]);
    rows.push(vec!["asked".to_owned(), time_text(row.request.created_ms)]);
    rows.push(vec!["expires".to_owned(), time_text(row.request.expires_ms)]);
    rows.push(vec!["bound to".to_owned(), row.binding.to_string()]);
    ui.table(2, &rows);
    ui.line("  arguments");
    for line in row.request.arguments.text.lines() {
        ui.line(format!("    | {line}"));
    }
    if row.state == ApprovalState::Waiting {
        ui.note(format!("loong approvals approve {0} · loong approvals deny {0}", row.id));
    }
    Ok(())
}

fn approve(ui: &mut Ui, store: &Store, args: &ApproveArgs) -> Result<(), CommandError> {
    let now_ms = host::now_ms();
    let expires_ms = match &args.until {
        Some(until) => from_now(until, now_ms)?,
        None if args.uses.is_some() => now_ms + 3_600_000,
        None => u64::MAX,
    };
    let wide = args.session || args.uses.is_some() || args.until.is_some();
    let done = host::wait(async {
        let row = store.decide_approval(&args.approval, true, "command").await?;
        let request = &row.request;
        let mut scope = "once".to_owned();
        if wide {
            let wider = Grant {
                operations: request
                    .operation
                    .unversioned()
                    .parse()
                    .map_err(|_| DecideError::Unknown(row.id.clone()))?,
                component: Some(request.digest),
                run: args.session.then(|| request.run.clone()),
                uses: args.uses,
                expires_ms: if args.session { request.expires_ms } else { expires_ms },
            };
            scope = wider.scope();
            store.add_grant(&format!("grant-{}", row.id), &wider, request.policy, "command").await?;
        }
        let event = decided(Some(request.run.clone()), &row.id, Outcome::Allow, &scope);
        store.append(event, Durability::Durable).await?;
        Ok::<_, DecideError>((row, scope))
    })?;
    let (row, scope) = done?;
    let run = row.request.run.get(..12).unwrap_or(&row.request.run).to_owned();
    if ui.json() {
        ui.document(
            "loong.approvals.decided/1",
            &json!({ "approval": row.id, "outcome": "allow", "scope": scope, "run": row.request.run }),
        );
    } else {
        ui.line(format!("allowed {}: {scope}", row.id));
        ui.note(format!("loong run --resume {run}"));
    }
    Ok(())
}

fn deny(ui: &mut Ui, store: &Store, name: &str) -> Result<(), CommandError> {
    let done = host::wait(async {
        let row = store.decide_approval(name, false, "command").await?;
        let event = decided(Some(row.request.run.clone()), &row.id, Outcome::Deny, "this call");
        store.append(event, Durability::Durable).await?;
        Ok::<_, DecideError>(row)
    })?;
    let row = done?;
    if ui.json() {
        ui.document(
            "loong.approvals.decided/1",
            &json!({ "approval": row.id, "outcome": "deny", "run": row.request.run }),
        );
    } else {
        ui.line(format!("denied {}", row.id));
    }
    Ok(())
}

fn grant(ui: &mut Ui, places: &Places, store: &Store, args: &GrantArgs) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    let policy = host::policy(args.policy.as_deref(), &settings, places)?.digest();
    let grant = Grant {
        operations: args.operations.clone(),
        component: args.component,
        run: None,
        uses: args.uses,
        expires_ms: from_now(&args.until, host::now_ms())?,
    };
    let scope = grant.scope();
    ui.confirm(&format!("This allows {scope}, until {}", time_text(grant.expires_ms)), args.yes)?;
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).map_err(|error| {
        CommandError::new(Code::HostFailed, format!("there are no random numbers: {error}"))
    })?;
    let name = format!("grant-{}", bits.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let done = host::wait(async {
        store.add_grant(&name, &grant, policy, "command").await?;
        store.append(decided(None, &name, Outcome::Allow, &scope), Durability::Durable).await?;
        Ok::<_, DecideError>(())
    })?;
    done?;
    if ui.json() {
        let value = json!({ "grant": name, "allows": grant, "policy": policy, "expires": time_text(grant.expires_ms) });
        ui.document("loong.approvals.grant/1", &value);
    } else {
        ui.line(format!("granted {name}: {scope}, until {}", time_text(grant.expires_ms)));
    }
    Ok(())
}

fn revoke(ui: &mut Ui, store: &Store, name: &str) -> Result<(), CommandError> {
    let done = host::wait(async {
        let revoked = match store.revoke_grant(name).await {
            Ok(row) => (None, row.id),
            // What was approved and not used is taken back by denying it.
            Err(DecideError::Unknown(_)) => {
                let row = store.decide_approval(name, false, "command").await?;
                (Some(row.request.run), row.id)
            }
            Err(other) => return Err(other),
        };
        let (run, approval) = revoked;
        let event = Event::ApprovalExpired { run, approval: approval.clone(), reason: ApprovalEnd::Revoked };
        store.append(event, Durability::Durable).await?;
        Ok::<_, DecideError>(approval)
    })?;
    let name = done?;
    if ui.json() {
        ui.document("loong.approvals.revoke/1", &json!({ "revoked": name }));
    } else {
        ui.line(format!("revoked {name}"));
    }
    Ok(())
}

fn sign(ui: &mut Ui, places: &Places, args: &GrantArgs, path: &std::path::Path) -> Result<(), CommandError> {
    let expires = UtcTime::from_unix_s(from_now(&args.until, host::now_ms())? / 1_000);
    let allowed =
        Allowed { operations: args.operations.clone(), component: args.component, uses: args.uses, expires };
    let document = GrantFile { schema: SCHEMA.to_owned(), grants: vec![allowed] };
    let bytes = serde_json::to_vec_pretty(&document).map_err(|error| {
        CommandError::new(Code::HostFailed, format!("the grant file cannot be written: {error}"))
    })?;
    let key = registry::read_key(places, &args.key)?;
    ui.confirm(&format!("This signs a file that allows {} until {expires}", args.operations), args.yes)?;
    let bundle = sign_document(&key, Document::Grant, &bytes)?;
    file::write_atomically(path, &bytes, 0o644)?;
    file::write_atomically(&risk::signature_path(path), &bundle, 0o644)?;
    if ui.json() {
        let value =
            json!({ "path": path, "bundle": risk::signature_path(path), "digest": Digest::of(&bytes) });
        ui.document("loong.approvals.sign/1", &value);
    } else {
        ui.line(format!("signed `{}` with key {}", path.display(), key.key_id().short()));
        ui.note("its uses are counted on every machine by itself, from the first run that names it");
    }
    Ok(())
}

fn decided(run: Option<String>, approval: &str, outcome: Outcome, scope: &str) -> Event {
    Event::ApprovalDecided {
        run,
        approval: approval.to_owned(),
        outcome,
        scope: scope.to_owned(),
        by: "command".to_owned(),
    }
}

/// A time to come: so long from now, or a date.
fn from_now(text: &str, now_ms: u64) -> Result<u64, CommandError> {
    // So long ago, mirrored.
    let time = *time_range(text, now_ms)?.start();
    let relative = !text.contains('-') && time <= now_ms;
    let time = if relative { now_ms.saturating_add(now_ms - time) } else { time };
    if time <= now_ms {
        return Err(CommandError::new(Code::CommandLineInvalid, format!("`{text}` is over already")));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::from_now;

    #[test]
    fn a_time_to_come_is_never_over() {
        let now_ms = 1_800_000_000_000;
        let check =
            |text: &str, expected: Option<u64>| assert_eq!(from_now(text, now_ms).ok(), expected, "{text}");
        check("30m", Some(now_ms + 1_800_000));
        check("1d", Some(now_ms + 86_400_000));
        check("2027-06-01", Some(1_811_808_000_000));
        check("2026-01-01", None);
        check("0s", None);
        check("soon", None);
    }
}
