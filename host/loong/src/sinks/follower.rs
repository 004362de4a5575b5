//! Delivers the audit log to sinks: in order, at least once, and moves a sink's cursor only after the sink has
//! said that it holds the records.

use std::fs::{File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::time::{Duration, Instant};

use loong_kernel::{Durability, Event, Ledger, SinkPhase};
use loong_manifest::{Code, PluginId, Tier, escape};
use loong_runtime::{Arguments, Output};
use loong_store::{AuditReader, SinkCursor};
use serde_json::Value;

use super::{Fail, OwnRuns, SinkSettings, batch, failed, lock_file, own, pause_ms};
use crate::error::CommandError;
use crate::grant::{GrantArgs, LoadArgs};
use crate::host::{self, Host, Session};
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;

/// How long one process waits for another that delivers to the same sink.
const BUSY_WAIT: Duration = Duration::from_secs(60);
/// How often it looks.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How often the cursor may be found moved by somebody else before this process gives up.
const CONFLICTS_MAX: u32 = 16;
/// Most records that a sink which may fail refuses one after another: more than that is no matter of the
/// records, and none of them may be lost for it.
const LEFT_OUT_MAX: u32 = 3;
/// Longest problem of a sink that is kept, in characters.
const PROBLEM_CHARS_MAX: usize = 300;

/// Delivers to the sinks of the settings.
pub struct Follower<'a> {
    host: Host,
    reader: AuditReader,
    places: &'a Places,
    settings: Settings,
    own: OwnRuns,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// How many records the sink accepted.
    pub records: u64,
    /// The first record that it has not accepted.
    pub next: u64,
}

/// What a sink said, or what was said for it.
enum Answer {
    /// There was nothing that it wants.
    Nothing,
    Accepted,
    Retry(String),
    Rejected(String),
}

impl<'a> Follower<'a> {
    /// Opens the log; loads nothing yet. The policies are those of the settings, whatever a run is started with.
    pub fn open(ui: &Ui, places: &'a Places) -> Result<Self, CommandError> {
        let settings = Settings::read(&places.settings())?;
        let args = LoadArgs { grant: GrantArgs::for_sinks(), ..LoadArgs::default() };
        let host = Host::open(ui, places, &args)?;
        let reader = AuditReader::open_read_only(&places.database())?;
        Ok(Self { host, reader, places, settings, own: OwnRuns::default() })
    }

    /// The sinks of the settings.
    pub fn sinks(&self) -> &[SinkSettings] {
        &self.settings.sinks
    }

    /// Ends.
    pub fn close(self) -> Result<(), CommandError> {
        self.host.close()
    }

    /// Whether there is something to deliver to a sink, and it is not let alone after a failure.
    pub fn due(&mut self, plugin: &PluginId) -> Result<bool, CommandError> {
        let sink = self.sink(plugin)?.clone();
        let cursor = self.reader.sink(plugin)?;
        Ok(cursor.retry_ms <= host::now_ms() && batch::due(&self.reader, &mut self.own, &sink, cursor.next)?)
    }

    /// Waits, unless somebody asks this process to end.
    pub fn pause(&self, pause: Duration) -> bool {
        self.host.wait(async {
            tokio::select! {
                () = tokio::time::sleep(pause) => true,
                () = host::interrupted() => false,
            }
        })
    }

    /// Writes down what a sink does now.
    pub fn note(
        &self,
        plugin: &PluginId,
        state: SinkPhase,
        problem: Option<String>,
    ) -> Result<(), CommandError> {
        let next = self.cursor(plugin)?.next;
        self.write_down(plugin, state, next, problem)
    }

    /// Delivers to a sink everything that is recorded now. Does nothing when there is nothing to deliver but
    /// what earlier deliveries wrote down.
    pub fn catch_up(&mut self, plugin: &PluginId) -> Result<Delivered, CommandError> {
        let sink = self.sink(plugin)?.clone();
        let _lock = self.lock(plugin)?;
        let cursor = self.cursor(plugin)?;
        if !batch::due(&self.reader, &mut self.own, &sink, cursor.next)? {
            return Ok(Delivered { records: 0, next: cursor.next });
        }
        let session = self.host.start(&own::request(plugin))?;
        let result = self.deliver(&session, &sink, cursor);
        let ended = self.host.end(&session, result.as_ref().err().map(|error| error.code));
        let delivered = result?;
        ended?;
        Ok(delivered)
    }

    fn sink(&self, plugin: &PluginId) -> Result<&SinkSettings, CommandError> {
        self.settings.sinks.iter().find(|sink| sink.plugin == *plugin).ok_or_else(|| {
            CommandError::new(Code::PluginUnknown, format!("the settings name no audit sink `{plugin}`"))
                .hint("`loong audit sinks` lists those of `[[sinks]]` in loong.toml")
        })
    }

    fn cursor(&self, plugin: &PluginId) -> Result<SinkCursor, CommandError> {
        self.host.wait(self.host.store().sink(plugin)).map_err(unavailable)
    }

    /// One process at a time delivers to a sink. The system takes the lock back from one that dies.
    fn lock(&self, plugin: &PluginId) -> Result<File, CommandError> {
        let path = lock_file(self.places, plugin);
        let failed_at =
            |error: &std::io::Error| CommandError::file(Code::FileUnwritable, "lock", &path, error);
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| failed_at(&error))?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| failed_at(&error))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed_at(&error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() > BUSY_WAIT => {
                    return Err(failed(plugin, "another process has been delivering to it for a minute"));
                }
                Err(TryLockError::WouldBlock) if self.pause(BUSY_PAUSE) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(CommandError::new(Code::Interrupted, "the delivery was interrupted"));
                }
            }
        }
    }

    /// Delivers batch after batch until everything is delivered that was recorded at the start. What is recorded
    /// meanwhile, be it by the delivery itself, is for the next time.
    fn deliver(
        &mut self,
        session: &Session,
        sink: &SinkSettings,
        mut cursor: SinkCursor,
    ) -> Result<Delivered, CommandError> {
        let until = self.reader.records()?;
        if cursor.is_new() {
            self.write_down(&sink.plugin, SinkPhase::Delivering, cursor.next, None)?;
        }
        if let Err(error) = self.load(session, sink) {
            return Err(self.fail(cursor, &said(&error)));
        }
        let (mut records, mut conflicts, mut most) = (0, 0, sink.batch_records);
        while cursor.next < until {
            let batch = batch::read(&self.reader, sink, cursor.next, until, most)?;
            if batch.next == cursor.next {
                break;
            }
            self.mind_the_gap(sink, &cursor, batch.first)?;
            let count = batch.records.len() as u64;
            let moved = match self.hand_over(session, &sink.plugin, &batch.records)? {
                Answer::Nothing => self.move_to(SinkCursor { next: batch.next, ..cursor })?,
                Answer::Accepted => {
                    let recovered = cursor.failures > 0;
                    let moved = self.move_to(SinkCursor {
                        next: batch.next,
                        failures: 0,
                        retry_ms: 0,
                        left_out: 0,
                        problem: None,
                        delivered_ms: Some(host::now_ms()),
                        ..cursor
                    })?;
                    if recovered && moved.is_some() {
                        self.write_down(&sink.plugin, SinkPhase::Delivering, batch.next, None)?;
                    }
                    records += if moved.is_some() { count } else { 0 };
                    most = most.saturating_mul(2).min(sink.batch_records);
                    moved
                }
                Answer::Retry(problem) => return Err(self.fail(cursor, &problem)),
                // Which of them it is, smaller batches show.
                Answer::Rejected(_) if count > 1 => {
                    most = u32::try_from(count / 2).unwrap_or(1);
                    continue;
                }
                Answer::Rejected(problem) => {
                    let problem = format!("record {} is refused for good: {problem}", batch.next - 1);
                    if sink.fail == Fail::Closed || cursor.left_out >= LEFT_OUT_MAX {
                        return Err(self.fail(cursor, &problem));
                    }
                    self.leave_out(cursor, batch.next, &problem)?
                }
            };
            cursor = match moved {
                Some(moved) => moved,
                None if conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    self.cursor(&sink.plugin)?
                }
                None => return Err(failed(&sink.plugin, "another process moves its cursor all the time")),
            };
        }
        Ok(Delivered { records, next: cursor.next })
    }

    /// Loads the sink. It is loaded anew each time, so that a key that was revoked is not used any longer.
    fn load(&self, session: &Session, sink: &SinkSettings) -> Result<(), CommandError> {
        let path = match &sink.file {
            Some(file) => file.clone(),
            None => self.host.path().find(&sink.plugin.to_string())?,
        };
        // Everything that is recorded goes through it, so nobody in particular is not enough.
        let loaded = self.host.load_one(&path, session, Tier::VerifiedCommunity)?;
        if loaded.id != sink.plugin {
            return Err(CommandError::new(
                Code::PluginUnknown,
                format!("`{}` holds `{}`, not `{}`", path.display(), loaded.id, sink.plugin),
            ));
        }
        let delivers = |operation: &loong_kernel::Offered| {
            operation.name.function == "deliver"
                && operation
                    .name
                    .interface
                    .as_ref()
                    .is_some_and(|interface| interface.path() == "loong:audit/sink")
        };
        if !loaded.operations.iter().any(delivers) {
            return Err(CommandError::new(
                Code::OperationUnknown,
                format!("`{}` is no audit sink: it does not export `loong:audit/sink`", loaded.id),
            ));
        }
        Ok(())
    }

    /// One delivery. An error is the person's who ended it; all others are the sink's.
    fn hand_over(
        &self,
        session: &Session,
        plugin: &PluginId,
        records: &[loong_store::RawRecord],
    ) -> Result<Answer, CommandError> {
        if records.is_empty() {
            return Ok(Answer::Nothing);
        }
        let operation = format!("{plugin}.deliver");
        let arguments = Arguments::Json(batch::arguments(records));
        match self.host.call(session, &operation, arguments) {
            Ok(Output::Json(value)) => Ok(answer(&value)),
            Ok(Output::Values(_)) => Ok(Answer::Retry("its answer is not JSON".to_owned())),
            Err(error) if error.code == Code::Interrupted => Err(error),
            Err(error) => Ok(Answer::Retry(said(&error))),
        }
    }

    /// Says so when records were removed before this sink had them.
    fn mind_the_gap(
        &self,
        sink: &SinkSettings,
        cursor: &SinkCursor,
        first: Option<u64>,
    ) -> Result<(), CommandError> {
        match first {
            Some(first) if first > cursor.next && !cursor.is_new() => {
                let lost = format!("records {} to {} were removed before", cursor.next, first - 1);
                let problem = Some(format!("{lost} they were delivered"));
                self.write_down(&sink.plugin, SinkPhase::Delivering, first, problem)
            }
            _ => Ok(()),
        }
    }

    /// Remembers that nothing can be delivered now, and when to try again.
    fn fail(&self, cursor: SinkCursor, problem: &str) -> CommandError {
        let plugin = cursor.plugin.clone();
        let (next, first) = (cursor.next, cursor.failures == 0);
        let failures = cursor.failures.saturating_add(1);
        let retry_ms = host::now_ms().saturating_add(pause_ms(&plugin, next, failures));
        let moved =
            self.move_to(SinkCursor { failures, retry_ms, problem: Some(problem.to_owned()), ..cursor });
        let noted = match moved {
            Ok(_) if first => self.write_down(&plugin, SinkPhase::Retrying, next, Some(problem.to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match noted {
            Ok(()) => failed(&plugin, problem),
            Err(error) => error,
        }
    }

    /// Goes on after a record that the sink never takes.
    fn leave_out(
        &self,
        cursor: SinkCursor,
        next: u64,
        problem: &str,
    ) -> Result<Option<SinkCursor>, CommandError> {
        let problem = format!("{problem}; it is left out");
        let plugin = cursor.plugin.clone();
        // Written down before it happens.
        self.write_down(&plugin, SinkPhase::Delivering, next, Some(problem.clone()))?;
        self.move_to(SinkCursor {
            next,
            left_out: cursor.left_out.saturating_add(1),
            problem: Some(problem),
            ..cursor
        })
    }

    fn move_to(&self, to: SinkCursor) -> Result<Option<SinkCursor>, CommandError> {
        self.host.wait(self.host.store().move_sink(to)).map_err(unavailable)
    }

    fn write_down(
        &self,
        plugin: &PluginId,
        state: SinkPhase,
        next: u64,
        problem: Option<String>,
    ) -> Result<(), CommandError> {
        let event = Event::SinkState { plugin: plugin.clone(), state, next, problem };
        self.host.wait(self.host.store().append(event, Durability::Written)).map_err(unavailable)
    }
}

fn unavailable(error: loong_kernel::LedgerError) -> CommandError {
    CommandError::new(error.code(), error.problem)
}

/// An error in one line.
fn said(error: &CommandError) -> String {
    let all = std::iter::once(&error.headline).chain(&error.details).cloned().collect::<Vec<_>>().join("; ");
    format!("{} [{}]", short(&all), error.code)
}

/// What a sink says is text from outside.
fn short(text: &str) -> String {
    escape(&text.chars().take(PROBLEM_CHARS_MAX).collect::<String>())
}

fn answer(value: &Value) -> Answer {
    let text = |case: &str| value.get("err")?.get(case)?.as_str().map(short);
    if value.as_object().is_some_and(|members| members.contains_key("ok")) {
        Answer::Accepted
    } else if let Some(problem) = text("rejected") {
        Answer::Rejected(problem)
    } else {
        Answer::Retry(text("retry").unwrap_or_else(|| "its answer is not understood".to_owned()))
    }
}
