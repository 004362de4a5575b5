//! The risk profile that the settings name: exactly the pinned bytes, signed by a key of the trust root, or
//! nothing runs.

use std::path::{Path, PathBuf};

use loong_manifest::{Code, Digest};
use loong_policy::{RISK_PROFILE_BYTES_MAX, RiskProfile};
use loong_trust::{BUNDLE_BYTES_MAX, Document, Signer, TrustRoot, verify_document};

use crate::error::CommandError;
use crate::host;
use crate::places::Places;
use crate::policies::read_plain;
use crate::settings::{RiskSettings, Settings};

/// The name of the profile that ships with Loong.
const BUILTIN: &str = "balanced";

/// A profile that may raise risks.
pub struct Pinned {
    /// The profile.
    pub profile: RiskProfile,
    /// Who signed it; none for the one that ships with Loong.
    pub signer: Option<Signer>,
    /// What the settings call it.
    pub name: String,
}

/// The profile that the settings name, if they name one.
pub fn profile(settings: &Settings, places: &Places) -> Result<Option<Pinned>, CommandError> {
    let RiskSettings { profile, sha256 } = &settings.risk;
    let Some(name) = profile else {
        return match sha256 {
            None => Ok(None),
            Some(_) => Err(refused("the settings pin a risk profile, but `risk.profile` does not name it")),
        };
    };
    let pin = sha256.as_deref().map(pin).transpose()?;
    if name == BUILTIN {
        let profile = RiskProfile::builtin()?;
        check_pin(name, pin.unwrap_or(profile.digest()), profile.digest())?;
        return Ok(Some(Pinned { profile, signer: None, name: name.clone() }));
    }
    let pin = pin.ok_or_else(|| refused(format!("`{name}` is not pinned: `risk.sha256` is missing")))?;
    let path = places.config.join(name);
    let bytes = read(&path)?;
    check_pin(name, pin, Digest::of(&bytes))?;
    let root = host::trust_root(places)?;
    let signer = verify(&path, &bytes, &root)?;
    let profile = RiskProfile::read(&bytes)
        .map_err(|error| refused(error.to_string()).detail(format!("in `{}`", path.display())))?;
    Ok(Some(Pinned { profile, signer: Some(signer), name: name.clone() }))
}

/// The bytes of a profile.
pub fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    read_plain(path, RISK_PROFILE_BYTES_MAX as u64)
        .map_err(|error| CommandError::file(Code::RiskProfileInvalid, "read the risk profile", path, &error))
}

/// Who signed a profile, by the signature file beside it.
fn verify(path: &Path, bytes: &[u8], root: &TrustRoot) -> Result<Signer, CommandError> {
    let beside = signature_path(path);
    let bundle = match read_plain(&beside, BUNDLE_BYTES_MAX as u64) {
        Ok(bundle) => Some(bundle),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let doing = "read the signature of the risk profile";
            return Err(CommandError::file(Code::RiskProfileInvalid, doing, &beside, &error));
        }
    };
    verify_document(Document::RiskProfile, bytes, bundle.as_deref(), root, host::now_ms() / 1000).map_err(
        |error| {
            refused(format!("the risk profile `{}` is not vouched for", path.display()))
                .detail(format!("{error} [{}]", error.code()))
        },
    )
}

/// The signature file of a profile.
pub fn signature_path(profile: &Path) -> PathBuf {
    let mut path = profile.as_os_str().to_owned();
    path.push(".sigstore.json");
    path.into()
}

fn pin(text: &str) -> Result<Digest, CommandError> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text))
        .ok_or_else(|| refused("`risk.sha256` is not 64 lower-case hexadecimal digits"))
}

fn check_pin(name: &str, pin: Digest, found: Digest) -> Result<(), CommandError> {
    if pin == found {
        return Ok(());
    }
    Err(refused(format!("the risk profile `{name}` is not the pinned one"))
        .detail(format!("pinned {pin}"))
        .detail(format!("found  {found}")))
}

fn refused(problem: impl Into<String>) -> CommandError {
    CommandError::new(Code::RiskProfileInvalid, problem)
}
