//! Grant files: what a person allows in advance, signed by a key of the trust root, for runs that nobody watches.

use std::path::Path;

use loong_manifest::{Code, Digest, OperationPattern, strict};
use loong_policy::Grant;
use loong_trust::{BUNDLE_BYTES_MAX, Document, Signer, TrustRoot, UtcTime, verify_document};
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::policies::read_plain;
use crate::{host, risk};

/// The form of a grant file.
pub const SCHEMA: &str = "loong.grant/1";
/// Largest grant file, in bytes.
const BYTES_MAX: u64 = 64 << 10;
/// Most grants in one file.
const GRANTS_MAX: usize = 64;

/// A grant file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantFile {
    /// Names the form; always `loong.grant/1`.
    pub schema: String,
    /// What is allowed.
    pub grants: Vec<Allowed>,
}

/// One thing that is allowed in advance.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Which operations.
    pub operations: OperationPattern,
    /// Only of the component with exactly these bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
    /// How often; as often as wanted without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// Until when.
    pub expires: UtcTime,
}

/// A grant file that was verified.
pub struct Signed {
    /// Who signed it.
    pub signer: Signer,
    digest: Digest,
    file: GrantFile,
}

impl Signed {
    /// The grants with their names, which are made of the file's bytes: using the file again counts on.
    pub fn grants(&self) -> Vec<(String, Grant)> {
        let name = |index: usize| format!("file-{}-{index}", self.digest.short());
        let grant = |allowed: &Allowed| Grant {
            operations: allowed.operations.clone(),
            component: allowed.component,
            run: None,
            uses: allowed.uses,
            expires_ms: allowed.expires.unix_s().saturating_mul(1_000),
        };
        self.file.grants.iter().enumerate().map(|(index, allowed)| (name(index), grant(allowed))).collect()
    }
}

/// Reads and verifies a grant file; its signature lies beside it.
pub fn read(path: &Path, root: &TrustRoot) -> Result<Signed, CommandError> {
    let unreadable = |path: &Path, error: &std::io::Error| {
        CommandError::file(Code::GrantInvalid, "read the grant file", path, error)
    };
    let bytes = read_plain(path, BYTES_MAX).map_err(|error| unreadable(path, &error))?;
    let beside = risk::signature_path(path);
    let bundle = match read_plain(&beside, BUNDLE_BYTES_MAX as u64) {
        Ok(bundle) => Some(bundle),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&beside, &error)),
    };
    let refused = |problem: String| {
        CommandError::new(Code::GrantInvalid, format!("the grant file `{}` allows nothing", path.display()))
            .detail(problem)
            .hint("make one with `loong approvals grant OPERATION --sign FILE`")
    };
    let now_s = host::now_ms() / 1000;
    let signer = verify_document(Document::Grant, &bytes, bundle.as_deref(), root, now_s)
        .map_err(|error| refused(format!("{error} [{}]", error.code())))?;
    let file: GrantFile = strict::read(&bytes).map_err(|error| refused(error.to_string()))?;
    if file.schema != SCHEMA || file.grants.len() > GRANTS_MAX {
        return Err(refused(format!("it is no `{SCHEMA}` with at most {GRANTS_MAX} grants")));
    }
    if let Some(late) = file.grants.iter().find(|allowed| allowed.expires.unix_s() <= now_s) {
        return Err(refused(format!("`{}` was allowed until {}", late.operations, late.expires)));
    }
    Ok(Signed { signer, digest: Digest::of(&bytes), file })
}
