//! `loong audit export`: records for others to read, and to hold against the chain.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use loong_manifest::{Code, escape, escape_json};
use loong_store::{AuditFilter, AuditReader, Record};
use serde_json::json;

use super::describe::time_text;
use super::filters::{FilterArgs, TIMES};
use crate::error::CommandError;
use crate::ui::Ui;

/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 4_096;

/// Write records to a file or to standard output, the oldest first
#[derive(clap::Args)]
#[command(after_help = format!("\
Examples:
  loong audit export -o audit.jsonl                 the whole log
  loong audit export --format csv --since 7d -o week.csv
  loong audit export --run 3f9a2c41                 one run, to standard output

A line of JSON holds a record's place, time, event and hash. The hash is over them and the hash of the
record before, so whoever has the whole log can compute it anew. The file is for its owner only, and it is
there whole or not at all.
{TIMES}"))]
pub struct ExportArgs {
    /// How to write them
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    format: Format,
    /// Write to this file; to standard output when it is left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Most records; all when it is left out
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    filter: FilterArgs,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON document a line, with all that there is
    Jsonl,
    /// A table with the members that most records have
    Csv,
}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, args: &ExportArgs) -> Result<(), CommandError> {
    let reader = AuditReader::open_read_only(database)?;
    let filter = args.filter.filter(Some(&reader), args.limit.unwrap_or(u32::MAX))?;
    let Some(path) = &args.output else {
        let stdout = std::io::stdout().lock();
        return match write(ui, &reader, &filter, args.format, &mut BufWriter::new(stdout)) {
            // Whoever reads has seen enough.
            Err(Failed::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(failed) => Err(failed.of("standard output")),
            Ok(_) => Ok(()),
        };
    };
    let mut draft = Draft::create(path).map_err(|error| Failed::Output(error).of(&shown(path)))?;
    let written = write(ui, &reader, &filter, args.format, &mut draft.file);
    let count = written.and_then(|count| draft.publish(path).map(|()| count).map_err(Failed::Output));
    let count = count.map_err(|failed| failed.of(&shown(path)))?;
    if ui.json() {
        ui.document("loong.audit.export/1", &json!({ "path": path, "records": count }));
    } else {
        ui.note(format!("{count} {} in {}", if count == 1 { "record" } else { "records" }, shown(path)));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    format!("`{}`", escape(&path.display().to_string()))
}

/// Why nothing was exported.
enum Failed {
    Output(std::io::Error),
    Log(CommandError),
}

impl Failed {
    fn of(self, place: &str) -> CommandError {
        match self {
            Self::Output(error) => CommandError::new(Code::FileUnwritable, format!("cannot write {place}"))
                .detail(error.to_string()),
            Self::Log(error) => error,
        }
    }
}

fn write(
    ui: &Ui,
    reader: &AuditReader,
    filter: &AuditFilter,
    format: Format,
    to: &mut impl Write,
) -> Result<u64, Failed> {
    let spinner = ui.spinner();
    let mut count = 0_u64;
    let mut failed = None;
    if format == Format::Csv {
        writeln!(to, "{}", COLUMNS.join(",")).map_err(Failed::Output)?;
    }
    let each = reader.each(filter, &mut |record, text| {
        let written = match format {
            Format::Jsonl => jsonl(to, record, text),
            Format::Csv => csv(to, record),
        };
        count += 1;
        if count.is_multiple_of(PROGRESS_RECORDS) {
            spinner.set_message(format!("{count} records so far"));
            spinner.tick();
        }
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    spinner.finish_and_clear();
    if let Some(error) = failed {
        return Err(Failed::Output(error));
    }
    each.map_err(|error| Failed::Log(error.into()))?;
    to.flush().map_err(Failed::Output)?;
    Ok(count)
}

/// A line of an export: a record with its event as it is stored and hashed.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it is written piece by piece; the schema is made from it")]
pub struct ExportedRecord {
    /// The record's place in the log, counted from 0.
    index: u64,
    /// Its time, in UTC.
    time: String,
    /// Its time, in milliseconds since the Unix epoch.
    time_ms: u64,
    /// What happened.
    event: loong_kernel::Event,
    /// Its hash, which includes that of the record before.
    hash: loong_manifest::Digest,
}

fn jsonl(to: &mut impl Write, record: &Record, text: &str) -> std::io::Result<()> {
    let Record { index, time_ms, hash, .. } = record;
    let time = time_text(*time_ms);
    // The event is JSON already, and not read and written again, so that its hash stays that of its text.
    let line = format!(
        r#"{{"schema":"loong.audit.exported/1","index":{index},"time":"{time}","time_ms":{time_ms},"event":{text},"hash":"{hash}"}}"#
    );
    writeln!(to, "{}", escape_json(&line))
}

/// The columns of the table.
const COLUMNS: [&str; 16] = [
    "index", "time", "kind", "run", "call", "agent", "pack", "plugin", "token", "tier", "outcome", "code",
    "approval", "triage", "what", "hash",
];

fn csv(to: &mut impl Write, record: &Record) -> std::io::Result<()> {
    let facets = record.event.facets();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let [_, _, _, what, outcome, _] = super::describe::cells(record);
    let tiers: Vec<&str> = facets.tiers.iter().map(|tier| tier.as_str()).collect();
    let cells = [
        record.index.to_string(),
        time_text(record.time_ms),
        record.event.kind().0.to_owned(),
        text(facets.run),
        text(facets.call),
        text(facets.agent.as_deref()),
        text(facets.pack.as_deref()),
        text(facets.plugin.as_deref()),
        text(facets.token),
        tiers.join(" "),
        outcome,
        facets.code.map(|code| code.to_string()).unwrap_or_default(),
        text(facets.approval),
        facets.triage.map(|label| label.to_string()).unwrap_or_default(),
        what,
        record.hash.to_string(),
    ];
    writeln!(to, "{}", cells.map(|cell| cell_of(&cell)).join(","))
}

/// A cell of the table. What a spreadsheet would compute gets a quote before it, so that it is text.
fn cell_of(text: &str) -> String {
    let text = escape(text);
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
    if text.contains(['"', ',']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A file that has its name once it is whole.
struct Draft {
    file: BufWriter<File>,
    temporary: PathBuf,
    published: bool,
}

impl Draft {
    /// Begins it, for its owner only, in the folder that it will be in.
    fn create(path: &Path) -> std::io::Result<Self> {
        let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let start: String = name.to_string_lossy().chars().take(32).collect();
        let temporary = path.with_file_name(format!(".{start}.{:016x}.tmp", u64::from_le_bytes(random)));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { file: BufWriter::new(file), temporary, published: false })
    }

    /// Gives it its name, in the place of what had it before.
    fn publish(mut self, path: &Path) -> std::io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.temporary, path)?;
        self.published = true;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // The name is random, so what is left over never stands in the way.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_to_every_spreadsheet() {
        assert_eq!(cell_of("core:git"), "core:git");
        assert_eq!(cell_of("a,b"), "\"a,b\"");
        assert_eq!(cell_of("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(cell_of("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(cell_of("@SUM(1,1)"), "\"'@SUM(1,1)\"");
        assert_eq!(cell_of("a\nb\u{1b}"), "a\\nb\\u{1b}");
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("loong-draft-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        std::fs::write(&path, "before").unwrap();
        drop(Draft::create(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        let mut draft = Draft::create(&path).unwrap();
        draft.file.write_all(b"after").unwrap();
        draft.publish(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
