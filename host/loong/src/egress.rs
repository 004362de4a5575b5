//! What the way to other machines takes from this machine: certificates, secrets.

use std::sync::Arc;

use loong_manifest::Code;
use loong_runtime::EgressSettings;

use crate::error::CommandError;
use crate::places::Places;
use crate::secrets::SecretFiles;
use crate::settings::Settings;

/// The certificates (DER) that vouch for other machines: those of the system and those of the settings.
pub fn certificates(places: &Places) -> Result<Vec<Vec<u8>>, CommandError> {
    let settings = self::settings(&Settings::read(&places.settings())?, places)?;
    Ok((settings.roots)())
}

/// The certificates of the system and of the settings, and the secrets of this user. The file that the settings
/// name is read now, so that a wrong one is not found out in the middle of a run; those of the system are read when
/// they are needed.
pub fn settings(settings: &Settings, places: &Places) -> Result<EgressSettings, CommandError> {
    let mut own = Vec::new();
    if let Some(file) = &settings.egress.ca_file {
        // A relative path is beside the settings, not wherever the command was typed.
        let path = places.config.join(file);
        let read = rustls_native_certs::load_certs_from_paths(Some(&path), None);
        let problem = match read.errors.first() {
            Some(error) => Some(error.to_string()),
            None => read.certs.is_empty().then(|| "it holds no certificate".to_owned()),
        };
        if let Some(problem) = problem {
            let headline = format!("the certificates in `{}` cannot be used", path.display());
            return Err(CommandError::new(Code::ConfigInvalid, headline)
                .detail(problem)
                .detail("named by `egress.ca_file` in loong.toml"));
        }
        own = read.certs.iter().map(|certificate| certificate.to_vec()).collect();
    }
    let roots = move || {
        let system = rustls_native_certs::load_native_certs().certs;
        system.iter().map(|certificate| certificate.to_vec()).chain(own.iter().cloned()).collect()
    };
    Ok(EgressSettings { roots: Arc::new(roots), secrets: Arc::new(SecretFiles::new(places.secrets())) })
}
