//! The document that a proof is: it holds all that is needed to check it, besides the key.

use loong_kernel::checkpoint::{Checkpoint, VerifierKey};
use loong_kernel::merkle;
use loong_manifest::{Code, Digest};
use serde::{Deserialize, Serialize};

use crate::error::CommandError;

/// The document's `schema`.
pub const SCHEMA: &str = "loong.audit.proof/1";

/// What is proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "proves", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proof {
    /// A record is in the log.
    Inclusion {
        /// Its index.
        index: u64,
        /// Hash of the leaf of the Merkle tree that stands for the record.
        leaf: Digest,
        /// What the record's hash is made of besides its event; none where the record was removed.
        record: Option<RecordLinks>,
        /// What leads from the leaf to the root, the lowest first.
        path: Vec<Digest>,
        /// The signed checkpoint that names the root.
        checkpoint: String,
    },
    /// The log at one time is the beginning of the log at a later time.
    Consistency {
        /// How many records the earlier one has.
        from: u64,
        /// Root over them.
        from_root: Digest,
        /// A signed checkpoint over them, where there is one.
        from_checkpoint: Option<String>,
        /// What leads from the one root to the other, the lowest first.
        path: Vec<Digest>,
        /// The signed checkpoint of the later one.
        checkpoint: String,
    },
}

/// What the hash of a record is made of besides its event.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordLinks {
    /// When it was written, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The hash of its predecessor.
    pub previous: Digest,
    /// Its own hash.
    pub hash: Digest,
}

impl Proof {
    /// Checks the proof against a key. The checkpoint that it leads to.
    pub fn check(&self, key: &VerifierKey) -> Result<Checkpoint, CommandError> {
        let note = |note: &str| {
            Checkpoint::verified(note, key).map_err(|error| {
                CommandError::new(error.code(), format!("the checkpoint is not good: {error}"))
            })
        };
        let wrong = |what: &str| Err(CommandError::new(Code::ProofInvalid, what));
        match self {
            Self::Inclusion { index, leaf, record, path, checkpoint } => {
                let checkpoint = note(checkpoint)?;
                if record.is_some_and(|record| merkle::leaf(&record.hash) != *leaf) {
                    return wrong("the leaf is not that of the record");
                }
                if path.len() > merkle::PATH_MAX
                    || !merkle::includes(leaf, *index, checkpoint.size, path, &checkpoint.root)
                {
                    return wrong("the path does not lead from the record to the root of the checkpoint");
                }
                Ok(checkpoint)
            }
            Self::Consistency { from, from_root, from_checkpoint, path, checkpoint } => {
                let checkpoint = note(checkpoint)?;
                if let Some(before) = from_checkpoint {
                    let before = note(before)?;
                    if before.size != *from || before.root != *from_root {
                        return wrong("the earlier checkpoint is of another log than the proof");
                    }
                }
                if path.len() > merkle::PATH_MAX
                    || !merkle::extends(*from, checkpoint.size, from_root, &checkpoint.root, path)
                {
                    return wrong("the path does not show that the later log goes on from the earlier one");
                }
                Ok(checkpoint)
            }
        }
    }
}
