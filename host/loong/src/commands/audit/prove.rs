//! `loong audit prove`: a small document that shows that a record is in the log, or that the log only grew.

use loong_manifest::Code;
use loong_store::AuditReader;
use serde_json::json;

use super::proof::{Proof, RecordLinks, SCHEMA};
use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Prove that a record is in the log, or that the log only grew between two sizes
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit prove 4711 > record.proof.json
  loong audit prove --from 1000 --to 5000 > growth.proof.json
  loong audit verify-proof record.proof.json

The proof is a JSON document that is checked without the log: a path in its Merkle tree (RFC 6962), and the signed
checkpoint that it leads to. A record that was removed by policy can still be proved to have been there.")]
pub struct ProveArgs {
    /// Index of the record
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    index: Option<u64>,
    /// Prove that the log of so many records is the beginning of a later one
    #[arg(long, value_name = "SIZE")]
    from: Option<u64>,
    /// How many records the later one has; a size that was signed. The newest one without it
    #[arg(long, value_name = "SIZE", requires = "from")]
    to: Option<u64>,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, args: &ProveArgs) -> Result<(), CommandError> {
    let reader = AuditReader::open_read_only(&places.database())?;
    let proof = match (args.index, args.from) {
        (Some(index), _) => inclusion(&reader, index)?,
        (None, Some(from)) => consistency(&reader, from, args.to)?,
        (None, None) => {
            return Err(CommandError::new(
                Code::CommandLineInvalid,
                "give the index of a record, or `--from`",
            ));
        }
    };
    // What is not so is never handed out, whatever became of the database.
    let key = reader.audit_key()?.ok_or_else(unsigned)?;
    proof.check(&key)?;
    let mut document = json!(proof);
    if let Some(members) = document.as_object_mut() {
        members.insert("key".to_owned(), key.to_string().into());
    }
    ui.document(SCHEMA, &document);
    Ok(())
}

fn unsigned() -> CommandError {
    CommandError::new(Code::CheckpointInvalid, "the log has no checkpoint yet")
        .hint("one is made whenever something was recorded")
}

fn newest(reader: &AuditReader) -> Result<(u64, String), CommandError> {
    let (size, _, note) = reader.checkpoint()?.ok_or_else(unsigned)?;
    Ok((size, note))
}

fn inclusion(reader: &AuditReader, index: u64) -> Result<Proof, CommandError> {
    let (size, checkpoint) = newest(reader)?;
    if index >= size {
        return Err(CommandError::new(
            Code::CommandLineInvalid,
            format!("record {index} is not covered by a checkpoint: the newest one is over {size} records"),
        )
        .hint("a checkpoint is made a second after a record at the latest"));
    }
    let path = reader.inclusion(index, size)?;
    let record = reader.links(index)?;
    let leaf = reader.leaf(index)?;
    let record = record.map(|links| RecordLinks {
        time_ms: links.time_ms,
        previous: links.previous,
        hash: links.hash,
    });
    Ok(Proof::Inclusion { index, leaf, record, path, checkpoint })
}

fn consistency(reader: &AuditReader, from: u64, to: Option<u64>) -> Result<Proof, CommandError> {
    let (to, checkpoint) = match to {
        None => newest(reader)?,
        Some(to) => {
            let note = reader.checkpoint_over(to)?.ok_or_else(|| {
                CommandError::new(
                    Code::CommandLineInvalid,
                    format!("the database has no checkpoint over {to} records"),
                )
                .hint("leave `--to` out for the newest one")
            })?;
            (to, note)
        }
    };
    Ok(Proof::Consistency {
        from,
        path: reader.consistency(from, to)?,
        from_root: reader.root(from)?,
        from_checkpoint: reader.checkpoint_over(from)?,
        checkpoint,
    })
}
