//! `loong sessions`: runs that are under way or wait, ending them, and taking back what runs may do.

use loong_kernel::{Durability, Event, Ledger, LedgerError, Revocation};
use loong_manifest::Code;
use loong_store::{RunningRun, Store};
use serde_json::json;

use super::audit::time_text;
use crate::error::CommandError;
use crate::host;
use crate::places::Places;
use crate::running;
use crate::ui::Ui;

/// List runs that are under way or wait, cancel them, and revoke what runs may do
#[derive(clap::Subcommand)]
pub enum SessionsCommand {
    List(ListArgs),
    Cancel(CancelArgs),
    Revoke(RevokeArgs),
}

/// Cancel a run that is under way: what it does is stopped, and it ends
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong sessions cancel 3f9a2c41 --reason 'hangs'

The process of the run hears of it within a second, stops its plugins and its programs, and ends with exit code 1.")]
pub struct CancelArgs {
    /// The run; the first digits of its name are enough
    run: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "asked for")]
    reason: String,
}

/// List the runs that are under way, and those that wait for an approval
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong sessions list
  loong run --resume 3f9a2c41      go on with one of them, once it is approved")]
pub struct ListArgs {}

/// Revoke tokens: what is running with them ends its calls at the next one it makes
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong sessions revoke --all --reason 'laptop lost'
  loong sessions revoke --token 1f0c…      one token; `loong audit token-trail` shows its life
  loong sessions revoke --key 9a31…        everything that this key signed

Runs in other processes hear of it within a second. A key that is revoked here is refused by runs from now
on; take it out of the trust root too, so that it signs for nobody any more.")]
pub struct RevokeArgs {
    /// Every token issued so far
    #[arg(long, required_unless_present_any = ["token", "key"], conflicts_with_all = ["token", "key"])]
    all: bool,
    /// One token, and those that were made of it
    #[arg(long, value_name = "TOKEN", conflicts_with = "key")]
    token: Option<String>,
    /// Every token of a component that this key signed
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "asked for")]
    reason: String,
    /// Skip the question
    #[arg(long)]
    yes: bool,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: SessionsCommand) -> Result<(), CommandError> {
    match command {
        SessionsCommand::List(ListArgs {}) => list(ui, places),
        SessionsCommand::Cancel(args) => cancel(ui, places, &args),
        SessionsCommand::Revoke(args) => revoke(ui, places, &args),
    }
}

/// The runs that are under way. Those whose process ended otherwise are forgotten.
async fn under_way(store: &Store) -> Result<Vec<RunningRun>, LedgerError> {
    let (there, gone): (Vec<_>, Vec<_>) = store.running().await?.into_iter().partition(running::is_there);
    if !gone.is_empty() {
        store.end_runs(gone.into_iter().map(|run| run.run).collect()).await?;
    }
    Ok(there)
}

fn cancel(ui: &mut Ui, places: &Places, args: &CancelArgs) -> Result<(), CommandError> {
    let store = host::store(places)?;
    let runs = host::wait(under_way(&store))?.map_err(host::unwritten)?;
    let found: Vec<_> =
        runs.iter().filter(|run| args.run.len() >= 4 && run.run.starts_with(&args.run)).collect();
    let [one] = found.as_slice() else {
        store.close()?;
        return Err(CommandError::new(
            Code::RunUnknown,
            format!("{} runs that are under way begin with `{}`", found.len(), args.run),
        ));
    };
    let (run, reason) = (one.run.clone(), loong_manifest::escape(&args.reason));
    let done = host::wait(async {
        let (token, generation, key) = (None, None, None);
        let event =
            Event::TokenRevoked { run: Some(run.clone()), token, generation, key, reason: reason.clone() };
        store.append(event, Durability::Durable).await?;
        store.add_revocation(&Revocation::Run(run.clone()), &reason).await
    })?;
    let closed = store.close();
    done.map_err(host::unwritten)?;
    closed?;
    if ui.json() {
        ui.document("loong.sessions.cancel/1", &json!({ "run": run }));
    } else {
        ui.line(format!("cancelled {run}"));
    }
    Ok(())
}

fn list(ui: &mut Ui, places: &Places) -> Result<(), CommandError> {
    let store = host::store(places)?;
    let read =
        host::wait(async { Ok::<_, LedgerError>((under_way(&store).await?, store.waiting_runs().await?)) });
    let (running, runs) = read?.map_err(host::unwritten)?;
    store.close()?;
    if ui.json() {
        let running: Vec<_> = running
            .iter()
            .map(|run| {
                json!({
                    "run": run.run, "process": run.process.id, "started": time_text(run.started_ms),
                    "request": run.request,
                })
            })
            .collect();
        let runs: Vec<_> = runs
            .iter()
            .map(|run| {
                json!({
                    "run": run.id, "stopped": time_text(run.created_ms), "expires": time_text(run.expires_ms),
                    "calls": run.calls, "approval": run.approval, "words": run.request.words,
                    "folder": run.request.folder, "goes_on_elsewhere": run.resumed,
                })
            })
            .collect();
        ui.document("loong.sessions/1", &json!({ "runs": runs, "running": running }));
        return Ok(());
    }
    if runs.is_empty() && running.is_empty() {
        ui.note("no run is under way, and none waits");
    }
    let under_way = running.iter().map(|run| {
        let name = run.run.get(..12).unwrap_or(&run.run).to_owned();
        let process = format!("under way in process {}", run.process.id);
        vec![time_text(run.started_ms), name, process, format!("loong {}", run.request)]
    });
    let waiting = runs.iter().map(|run| {
        let waits =
            run.approval.as_ref().map_or_else(String::new, |approval| format!("waits for {approval}"));
        let name = run.id.get(..12).unwrap_or(&run.id).to_owned();
        let words = format!("loong {}", run.request.words.join(" "));
        vec![time_text(run.created_ms), name, if run.resumed { "goes on".into() } else { waits }, words]
    });
    ui.table(0, &under_way.chain(waiting).collect::<Vec<_>>());
    Ok(())
}

fn revoke(ui: &mut Ui, places: &Places, args: &RevokeArgs) -> Result<(), CommandError> {
    let (revocation, what) = match (&args.token, &args.key) {
        (Some(token), _) => (Revocation::Token(token.clone()), format!("token {token}")),
        (None, Some(key)) => (Revocation::Key(key.clone()), format!("everything that key {key} signed")),
        (None, None) => (Revocation::Generation, "every token issued so far".to_owned()),
    };
    if let Revocation::Token(name) | Revocation::Key(name) = &revocation
        && (name.len() < 8 || name.len() > 128 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        return Err(CommandError::new(
            Code::CommandLineInvalid,
            format!("`{name}` is no id of a token or a key"),
        ));
    }
    ui.confirm(&format!("This revokes {what}"), args.yes)?;
    let store = host::store(places)?;
    let reason = loong_manifest::escape(&args.reason);
    let done = host::wait(async {
        store.add_revocation(&revocation, &reason).await?;
        let (token, generation, key) = match &revocation {
            Revocation::Token(token) => (Some(token.clone()), None, None),
            Revocation::Key(key) => (None, None, Some(key.clone())),
            Revocation::Run(_) => (None, None, None),
            Revocation::Generation => {
                let all = store.revocations(0).await?;
                let count =
                    all.iter().filter(|(_, revocation, _)| *revocation == Revocation::Generation).count();
                (None, Some(count as u64), None)
            }
        };
        let event = Event::TokenRevoked { run: None, token, generation, key, reason: reason.clone() };
        store.append(event, Durability::Durable).await
    })?;
    let closed = store.close();
    done.map_err(host::unwritten)?;
    closed?;
    if ui.json() {
        ui.document("loong.sessions.revoke/1", &json!({ "revoked": what }));
    } else {
        ui.line(format!("revoked {what}"));
    }
    Ok(())
}
