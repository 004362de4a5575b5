//! What is noted about a run beside its calls: other settings or policies than the last time, and the words it was
//! begun with.

use std::sync::Arc;

use loong_kernel::{Event, Kernel};
use loong_manifest::{Code, Digest};
use loong_runtime::Runtime;
use loong_store::Store;

use crate::error::CommandError;
use crate::places::Places;

/// Writes down that other policies or settings are in force than in the last run.
pub async fn note(
    kernel: &Arc<Kernel<Store, Runtime>>,
    store: &Store,
    places: &Places,
) -> Result<(), CommandError> {
    let failed = |error: loong_kernel::LedgerError| CommandError::new(error.code(), error.to_string());
    let settings = Digest::of(&std::fs::read(places.settings()).unwrap_or_default());
    for (name, after) in [("policy_in_force", kernel.policy().digest()), ("settings_in_force", settings)] {
        let known = store.meta_get(name).await.map_err(failed)?;
        let before = known.as_deref().and_then(|text| text.parse().ok());
        if before == Some(after) {
            continue;
        }
        let event = match name {
            "policy_in_force" => Event::PolicyChanged { before, after },
            _ => Event::ConfigChanged { before, after },
        };
        kernel.note(event).await?;
        store.meta_set(name, &after.to_string()).await.map_err(failed)?;
    }
    Ok(())
}

/// The words of this command line, without the program; none if they are not UTF-8.
pub fn words() -> Option<Vec<String>> {
    std::env::args_os().skip(1).map(|word| word.into_string().ok()).collect()
}

/// Why a run that somebody lets go on already cannot be taken again.
pub fn resumed_already(run: &str) -> CommandError {
    CommandError::new(Code::ResumeUnsafe, format!("run {run} goes on elsewhere, or was cut off while it did"))
        .detail("what it did since it went on is not known, so it could be done twice")
        .hint("`loong audit recent --run RUN` shows what it did; run it anew when that is right")
}
