//! `loong registry tuf`: the client protocol of the TUF conformance tests, for any TUF repository.

use std::path::PathBuf;

use loong_manifest::{Code, Digest};
use loong_repository::{Client, Http};
use loong_trust::file;

use super::keep::now;
use crate::error::CommandError;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::registries::access;

/// Largest root document.
const ROOT_BYTES_MAX: u64 = 512 << 10;

/// Speak the client protocol of the TUF conformance tests
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry tuf --metadata-dir seen init root.json
  loong registry tuf --metadata-dir seen --metadata-url https://tuf.example/metadata refresh
  loong registry tuf --metadata-dir seen --metadata-url https://tuf.example/metadata \\
      --target-name a/b.txt --target-base-url https://tuf.example/targets --target-dir out download

The exit code is 0 if everything was verified and 1 otherwise.")]
pub struct TufArgs {
    /// The folder for what was seen and holds
    #[arg(long, value_name = "DIR")]
    metadata_dir: PathBuf,
    /// Where the documents are served
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// A file of the repository (may be repeated)
    #[arg(long, value_name = "PATH")]
    target_name: Vec<String>,
    /// Where the files are served
    #[arg(long, value_name = "URL")]
    target_base_url: Option<String>,
    /// The folder that files are written to
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: TufCommand,
}

/// What is done
#[derive(clap::Subcommand)]
enum TufCommand {
    /// Trust a root document
    Init {
        /// The document
        root: PathBuf,
    },
    /// Take over what is newer
    Refresh,
    /// The same, and fetch files
    Download,
}

pub(super) fn run(places: &Places, args: &TufArgs) -> Result<(), CommandError> {
    // The protocol knows one code of failure.
    tuf(places, args).map_err(|error| {
        CommandError::new(Code::RepositoryUnreachable, error.headline)
            .detail(error.code.to_string())
            .hint("see above")
    })
}

fn tuf(places: &Places, args: &TufArgs) -> Result<(), CommandError> {
    let root = args.metadata_dir.join("root.json");
    if let TufCommand::Init { root: given } = &args.command {
        let bytes = locate::read_bounded(given, ROOT_BYTES_MAX)?;
        make(&args.metadata_dir)?;
        return Ok(file::write_atomically(&root, &bytes, 0o644)?);
    }
    let missing =
        |what: &str| CommandError::new(Code::CommandLineInvalid, format!("`{what}` is needed for this"));
    let metadata = args.metadata_url.as_ref().ok_or_else(|| missing("--metadata-url"))?;
    let targets = args.target_base_url.as_ref().unwrap_or(metadata);
    let source = Http::apart(metadata, targets, access(metadata, places)?.certificates)?;
    let root = locate::read_bounded(&root, ROOT_BYTES_MAX)?;
    let mut client = Client::new(source, &root, Some(&args.metadata_dir))?;
    host::wait(client.refresh(now()))??;
    if matches!(args.command, TufCommand::Refresh) {
        return Ok(());
    }
    let folder = args.target_dir.as_ref().ok_or_else(|| missing("--target-dir"))?;
    make(folder)?;
    for name in &args.target_name {
        // A name of the repository is no path of this machine; what it holds may change under the same name.
        let known = folder.join(Digest::of(name.as_bytes()).to_hex());
        let there = std::fs::read(&known).unwrap_or_default();
        if let Some(bytes) = host::wait(client.target(name, &there, now()))?? {
            file::write_atomically(&known, &bytes, 0o644)?;
        }
    }
    Ok(())
}

fn make(folder: &std::path::Path) -> Result<(), CommandError> {
    std::fs::create_dir_all(folder)
        .map_err(|error| CommandError::file(Code::FileUnwritable, "make the folder", folder, &error))
}
