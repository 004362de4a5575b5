//! Sigstore bundle files (`NAME.wasm.sigstore.json`): `dev.sigstore.bundle.v1.Bundle` of the Sigstore
//! protobuf specs in its JSON form, version 0.3, with a public key and a DSSE envelope in it. Exactly this
//! is read and written here; a bundle with a certificate in it is [`keyless`](crate::keyless)'s, and a log entry
//! or a timestamp without a certificate is refused.

use loong_manifest::strict;
use serde::{Deserialize, Serialize};

use crate::{SigningKey, TrustError, base64_text};

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The type of what is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Largest bundle, in bytes. One for a component with a hundred imports has about 10 KiB.
pub const BUNDLE_BYTES_MAX: usize = 128 << 10;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Material {
    public_key: Hint,
    // Written although it is empty: some readers of bundles insist on it.
    #[serde(default)]
    tlog_entries: [(); 0],
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "only its emptiness is read")]
    timestamp_verification_data: Timestamps,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    hint: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Timestamps {
    #[serde(default, rename = "rfc3161Timestamps")]
    #[expect(dead_code, reason = "only its emptiness is read")]
    timestamps: [(); 0],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: [EnvelopeSignature; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

/// The names of the bundles that may lie beside a component's file, in the order in which they are read.
pub fn bundle_names(component: &str) -> Vec<String> {
    let mut names = vec![format!("{component}.sigstore.json")];
    names.extend((2..=crate::BUNDLES_MAX).map(|number| format!("{component}.sigstore.{number}.json")));
    names
}

/// Whether a bundle is by somebody with a certificate instead of a key.
pub(crate) fn holds_certificate(bytes: &[u8]) -> Result<bool, TrustError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        verification_material: Kinds,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kinds {
        public_key: Option<serde::de::IgnoredAny>,
        certificate: Option<serde::de::IgnoredAny>,
        x509_certificate_chain: Option<serde::de::IgnoredAny>,
    }
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(TrustError::malformed(format!("larger than {BUNDLE_BYTES_MAX} bytes")));
    }
    // What is no JSON at all is for the strict reader to say.
    let kinds = serde_json::from_slice::<Head>(bytes).ok().map(|head| head.verification_material);
    Ok(kinds.is_some_and(|kinds| {
        kinds.public_key.is_none() && (kinds.certificate.is_some() || kinds.x509_certificate_chain.is_some())
    }))
}

/// A well-formed bundle, of which nothing is proved.
pub(crate) struct Bundle {
    /// Which key may have signed it; not covered by the signature.
    pub(crate) hint: String,
    /// The statement, unread.
    pub(crate) payload: Vec<u8>,
    /// The signature over [`pae`] of the payload.
    pub(crate) signature: [u8; 64],
}

impl Bundle {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(TrustError::malformed(format!("larger than {BUNDLE_BYTES_MAX} bytes")));
        }
        let document: Document =
            strict::read(bytes).map_err(|error| TrustError::malformed(error.to_string()))?;
        let Document { media_type, verification_material, dsse_envelope } = document;
        let Envelope { payload, payload_type, signatures: [signature] } = dsse_envelope;
        if media_type != MEDIA_TYPE {
            return Err(TrustError::malformed(format!("the media type is not `{MEDIA_TYPE}`")));
        }
        if payload_type != PAYLOAD_TYPE {
            return Err(TrustError::malformed(format!("the payload type is not `{PAYLOAD_TYPE}`")));
        }
        let hint = verification_material.public_key.hint;
        if !signature.keyid.is_empty() && signature.keyid != hint {
            return Err(TrustError::malformed("it names two different keys"));
        }
        let decode = |what: &str, text: &str| {
            base64_text::decode(text)
                .ok_or_else(|| TrustError::malformed(format!("`{what}` is not canonical base64")))
        };
        let signature = decode("sig", &signature.sig)?;
        let signature =
            signature.try_into().map_err(|_| TrustError::malformed("`sig` does not have 64 bytes"))?;
        Ok(Self { hint, payload: decode("payload", &payload)?, signature })
    }

    /// Signs the payload and writes it as a bundle file.
    pub(crate) fn sign(key: &SigningKey, payload: &[u8]) -> Result<Vec<u8>, TrustError> {
        let key_id = key.key_id().to_string();
        let document = Document {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Material {
                public_key: Hint { hint: key_id.clone() },
                tlog_entries: [],
                timestamp_verification_data: Timestamps::default(),
            },
            dsse_envelope: Envelope {
                payload: base64_text::encode(payload),
                payload_type: PAYLOAD_TYPE.to_owned(),
                signatures: [EnvelopeSignature {
                    sig: base64_text::encode(&key.sign(&pae(payload))),
                    keyid: key_id,
                }],
            },
        };
        let bytes =
            serde_json::to_vec(&document).map_err(|error| TrustError::malformed(error.to_string()))?;
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(TrustError::malformed(format!("it would be larger than {BUNDLE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }
}

/// The pre-authentication encoding of DSSE 1.0: what is signed binds the payload and its type.
pub(crate) fn pae(payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_dsse_specification_does() {
        assert_eq!(pae(b"hello world"), b"DSSEv1 28 application/vnd.in-toto+json 11 hello world");
        assert_eq!(pae(b""), b"DSSEv1 28 application/vnd.in-toto+json 0 ");
    }
}
