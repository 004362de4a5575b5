//! Why a file could not be inspected.

use loong_manifest::{Code, escape};

/// Why a file could not be inspected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// The file is something else.
    #[error("not WebAssembly: this is {found}")]
    NotWasm {
        /// What it looks like.
        found: &'static str,
    },
    /// The file is a core module.
    #[error("a core module, not a component; build for wasm32-wasip2 or run `loong plugins build`")]
    CoreModule,
    /// The file ends too early.
    #[error("cut off: the file ends at byte {offset}, in the middle of the component")]
    Truncated {
        /// The length of the file.
        offset: usize,
    },
    /// The file breaks a rule of the component model.
    #[error("not a valid component: {} (at byte {offset})", short(message))]
    Invalid {
        /// Where.
        offset: usize,
        /// Which rule, in the words of the validator; may quote the file.
        message: String,
    },
    /// The component uses a proposal or a size that the host does not offer.
    #[error("uses what this host does not offer: {} (at byte {offset})", short(message))]
    Unsupported {
        /// Where.
        offset: usize,
        /// What, in the words of the validator; may quote the file.
        message: String,
    },
    /// One of the [`Bounds`](crate::Bounds) is exceeded.
    #[error("{what} is larger than {bytes_max} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound.
        bytes_max: usize,
    },
    /// Two core modules inside hold different manifests and the component holds none of its own.
    #[error("holds two different manifests; pack it with `loong plugins build` to say which one counts")]
    ManifestTwice,
}

impl InspectError {
    /// The public code of this error.
    pub const fn code(&self) -> Code {
        match self {
            Self::NotWasm { .. } => Code::NotWasm,
            Self::CoreModule => Code::ComponentCoreModule,
            Self::Truncated { .. } => Code::ComponentTruncated,
            Self::Invalid { .. } => Code::ComponentInvalid,
            Self::Unsupported { .. } => Code::ComponentUnsupported,
            Self::TooLarge { .. } => Code::ComponentTooLarge,
            Self::ManifestTwice => Code::ManifestTwice,
        }
    }
}

impl From<wasmparser::Error> for InspectError {
    fn from(error: wasmparser::Error) -> Self {
        let (offset, message) = (error.offset(), error.message().to_owned());
        match error.missing_wasm_feature() {
            Some(_) => Self::Unsupported { offset, message },
            None => Self::Invalid { offset, message },
        }
    }
}

/// A validator's message may quote names of 100 kB from the file.
fn short(message: &str) -> String {
    const CHARS_MAX: usize = 300;
    let mut shown = escape(&message.chars().take(CHARS_MAX).collect::<String>());
    if message.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
