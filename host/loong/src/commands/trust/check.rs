//! `loong trust verify-bundle` and `verify-ed25519`: signatures over any file.

use std::path::{Path, PathBuf};

use loong_manifest::Code;
use loong_trust::{BUNDLE_BYTES_MAX, KeylessProof, PublicKey, verify_keyless, verify_with_key};
use serde_json::json;

use crate::error::CommandError;
use crate::locate;
use crate::ui::Ui;

/// Largest file whose signature is verified.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Largest key, signature or trusted root.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Verify a Sigstore bundle over any file (the client protocol of the Sigstore conformance tests)
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong trust verify-bundle --bundle file.sigstore.json --certificate-identity me@example.com \\
      --certificate-oidc-issuer https://accounts.example.com file
  loong trust verify-bundle --bundle file.sigstore.json --key key.pub --trusted-root root.json sha256:…

Offline: certificates, log entries and timestamps are held against the trusted root. The exit code is 0 if all of it
holds.")]
pub struct VerifyBundleArgs {
    /// Verify against the staging instance
    #[arg(long)]
    staging: bool,
    /// The bundle
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// The subject that the certificate has to be for
    #[arg(long, value_name = "IDENTITY", requires = "certificate_oidc_issuer", conflicts_with = "key")]
    certificate_identity: Option<String>,
    /// The issuer of the identity token
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    certificate_oidc_issuer: Option<String>,
    /// The public key (PEM) that has to have signed
    #[arg(long, value_name = "FILE", required_unless_present = "certificate_identity")]
    key: Option<PathBuf>,
    /// The trusted root; the built-in one of the public good instance without it
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// The file that was signed, or `sha256:` and its digest
    #[arg(value_name = "FILE|DIGEST")]
    artifact: String,
}

/// Verify an ed25519 signature over a file, by the strict rules (RFC 8032 with reduced scalars, no low order)
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  loong trust verify-ed25519 --key key.pub --sig file.sig file

The key is a PEM file or the base64 of its SubjectPublicKeyInfo, the signature 64 bytes or their base64.")]
pub struct VerifyEd25519Args {
    /// The public key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The signature
    #[arg(long, value_name = "FILE")]
    sig: PathBuf,
    /// What was signed
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn verify_bundle(ui: &mut Ui, args: &VerifyBundleArgs) -> Result<(), CommandError> {
    let bundle = locate::read_bounded(&args.bundle, BUNDLE_BYTES_MAX as u64)?;
    let root =
        args.trusted_root.as_deref().map(|path| locate::read_bounded(path, TEXT_BYTES_MAX)).transpose()?;
    let digest = args.artifact.strip_prefix("sha256:").filter(|digest| {
        digest.len() == 64
            && digest.bytes().all(|digit| digit.is_ascii_hexdigit())
            && !Path::new(&args.artifact).exists()
    });
    let bytes = match digest {
        Some(_) => Vec::new(),
        None => locate::read_bounded(Path::new(&args.artifact), FILE_BYTES_MAX)?,
    };
    let artifact = digest.map_or(Ok(bytes.as_slice()), Err);
    let proof = match (&args.key, &args.certificate_identity, &args.certificate_oidc_issuer) {
        (Some(key), ..) => {
            let pem = locate::read_bounded(key, TEXT_BYTES_MAX)?;
            verify_with_key(&bundle, artifact, &String::from_utf8_lossy(&pem), root.as_deref(), args.staging)?
        }
        (None, Some(subject), Some(issuer)) => {
            verify_keyless(&bundle, artifact, subject, issuer, root.as_deref(), args.staging)?
        }
        _ => {
            return Err(CommandError::new(
                Code::CommandLineInvalid,
                "neither a key nor an identity is named",
            ));
        }
    };
    let KeylessProof { issuer, subject, .. } = proof;
    if ui.json() {
        ui.document(
            "loong.trust.verify-bundle/1",
            &json!({ "subject": subject, "issuer": issuer, "ok": true }),
        );
    } else if subject.is_empty() {
        ui.line("the signature holds");
    } else {
        ui.line(format!("the signature holds: by {subject} of {issuer}"));
    }
    Ok(())
}

pub(super) fn verify_ed25519(ui: &mut Ui, args: &VerifyEd25519Args) -> Result<(), CommandError> {
    let key = locate::read_bounded(&args.key, TEXT_BYTES_MAX)?;
    let key = String::from_utf8_lossy(&key);
    let base64: String = key.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let key = PublicKey::from_base64(&base64)?;
    let signature = locate::read_bounded(&args.sig, TEXT_BYTES_MAX)?;
    let signature = match <[u8; 64]>::try_from(signature.as_slice()) {
        Ok(signature) => signature,
        Err(_) => loong_trust::signature_from_base64(String::from_utf8_lossy(&signature).trim())?,
    };
    let bytes = locate::read_bounded(&args.file, FILE_BYTES_MAX)?;
    if !key.verifies(&bytes, &signature) {
        let error =
            CommandError::new(Code::SignatureInvalid, "the signature does not fit the key and the file");
        return Err(error.detail(format!("key {}", key.key_id().short())));
    }
    if ui.json() {
        ui.document("loong.trust.verify-ed25519/1", &json!({ "key_id": key.key_id(), "ok": true }));
    } else {
        ui.line(format!("the signature holds: by key {}", key.key_id().short()));
    }
    Ok(())
}
