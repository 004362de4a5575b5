//! Signed tree heads of the audit log, in the formats of <https://c2sp.org/signed-note> and
//! <https://c2sp.org/tlog-checkpoint>, so that tools and witnesses of transparency logs read them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loong_manifest::{Code, Digest};
use loong_trust::PublicKey;

/// Largest note that is read, in bytes. Room for many witnesses.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Most signatures of a note that are looked at.
const SIGNATURES_MAX: usize = 64;
/// Longest name of a log or a key, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The type of a signature that is ed25519 over the text.
const ED25519: u8 = 1;

/// The name under which a log signs: `loong/audit/` and the log's id.
pub fn origin(log_id: &str) -> String {
    format!("loong/audit/{log_id}")
}

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is no checkpoint.
    #[error("it is no checkpoint: {0}")]
    Malformed(&'static str),
    /// It is another log's.
    #[error("it is of the log `{found}`, and `{expected}` was expected")]
    OtherLog {
        /// The log it is of.
        found: String,
        /// The log that was expected.
        expected: String,
    },
    /// The key did not sign it, or not this text.
    #[error("it is not signed by `{key}`")]
    Unsigned {
        /// The key that should have signed, as a verifier key.
        key: String,
    },
}

impl CheckpointError {
    /// The public code.
    pub const fn code(&self) -> Code {
        Code::CheckpointInvalid
    }
}

/// A key that verifies notes, with its name: `NAME+ID+KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: PublicKey,
}

impl VerifierKey {
    /// The key under a name without white space and plus signs.
    pub fn new(name: impl Into<String>, key: PublicKey) -> Self {
        Self { name: name.into(), key }
    }

    /// Its name: the origin of the log that it signs for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Tells keys of one name apart; never more than that.
    fn id(&self) -> [u8; 4] {
        let text = [self.name.as_bytes(), b"\n", &[ED25519], self.key.as_bytes()].concat();
        let [a, b, c, d, ..] = *Digest::of(&text).as_bytes();
        [a, b, c, d]
    }

    /// A signature line for this text.
    fn line(&self, signature: &[u8; 64]) -> String {
        let bytes = [self.id().as_slice(), signature].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = STANDARD.encode([&[ED25519], self.key.as_bytes().as_slice()].concat());
        write!(formatter, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = CheckpointError::Malformed("a verifier key is `NAME+ID+KEY` of ed25519");
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong);
        };
        let bytes = STANDARD.decode(key).map_err(|_| wrong.clone())?;
        let Some((&ED25519, key)) = bytes.split_first() else { return Err(wrong) };
        let key = <&[u8; 32]>::try_from(key).ok().and_then(|key| PublicKey::from_bytes(key).ok());
        let key = Self::new(name, key.ok_or_else(|| wrong.clone())?);
        // The id follows from the rest, so there is one text for a key.
        if !is_name(name) || format!("{:08x}", u32::from_be_bytes(key.id())) != id {
            return Err(wrong);
        }
        Ok(key)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |character: char| !character.is_whitespace() && !character.is_control() && character != '+';
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.chars().all(allowed)
}

/// Makes the ed25519 signature of a text.
pub type Sign = Arc<dyn Fn(&[u8]) -> [u8; 64] + Send + Sync>;

/// Signs checkpoints. Where the key is kept is the caller's.
#[derive(Clone)]
pub struct Signer {
    key: PublicKey,
    sign: Sign,
}

impl Signer {
    /// A signer whose signatures this key verifies.
    pub fn new(key: PublicKey, sign: Sign) -> Self {
        Self { key, sign }
    }

    /// What verifies its signatures under this name.
    pub fn verifier(&self, name: &str) -> VerifierKey {
        VerifierKey::new(name, self.key)
    }

    /// The signed note of a checkpoint.
    pub fn note(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        let line = self.verifier(&checkpoint.origin).line(&(self.sign)(text.as_bytes()));
        format!("{text}\n{line}")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({})", self.key)
    }
}

/// What a log was like at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many records it had.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Reads a signed note, whoever signed it. What it says is not to be believed yet.
    ///
    /// # Errors
    /// If it is not such a note.
    pub fn read(note: &str) -> Result<Self, CheckpointError> {
        parts(note).map(|(checkpoint, _, _)| checkpoint)
    }

    /// Reads a signed note and verifies that this key signed it. Signatures of other keys, such as those of
    /// witnesses, are of no account.
    ///
    /// # Errors
    /// If it is no checkpoint, is of another log than the key signs for, or is not signed by the key.
    pub fn verified(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let (checkpoint, text, signatures) = parts(note)?;
        if checkpoint.origin != key.name {
            return Err(CheckpointError::OtherLog { found: checkpoint.origin, expected: key.name.clone() });
        }
        let start = format!("\u{2014} {} ", key.name);
        let own = signatures.lines().filter_map(|line| line.strip_prefix(&start)).filter_map(|line| {
            let bytes = STANDARD.decode(line).ok()?;
            let (id, signature) = bytes.split_at_checked(4)?;
            (id == key.id()).then(|| <[u8; 64]>::try_from(signature).ok())
        });
        let mut good = false;
        for signature in own {
            // One bad signature of a key that is known spoils the note.
            if !signature.is_some_and(|signature| key.key.verifies(text.as_bytes(), &signature)) {
                return Err(CheckpointError::Unsigned { key: key.to_string() });
            }
            good = true;
        }
        if good { Ok(checkpoint) } else { Err(CheckpointError::Unsigned { key: key.to_string() }) }
    }
}

/// A note's checkpoint, its text as it was signed, and its signature lines.
fn parts(note: &str) -> Result<(Checkpoint, &str, &str), CheckpointError> {
    let malformed = CheckpointError::Malformed;
    if note.len() > NOTE_BYTES_MAX {
        return Err(malformed("it is too long"));
    }
    if note.chars().any(|character| character < ' ' && character != '\n') {
        return Err(malformed("it holds control characters"));
    }
    let at = note.rfind("\n\n").ok_or(malformed("it holds no signature"))?;
    let (text, signatures) = note.split_at(at + 1);
    let signatures = signatures.strip_prefix('\n').unwrap_or_default();
    let good = |line: &str| {
        line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' ')).is_some_and(
            |(name, signature)| {
                is_name(name) && STANDARD.decode(signature).is_ok_and(|bytes| bytes.len() > 4)
            },
        )
    };
    let lines = signatures.lines().count();
    if !signatures.ends_with('\n') || lines == 0 || lines > SIGNATURES_MAX || !signatures.lines().all(good) {
        return Err(malformed("its signature lines are not such"));
    }
    let mut lines = text.split_terminator('\n');
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(malformed("it has less than three lines"));
    };
    if origin.is_empty() || origin.len() > NAME_BYTES_MAX || lines.any(str::is_empty) {
        return Err(malformed("its lines are not such"));
    }
    let size: u64 = size
        .parse()
        .ok()
        .filter(|number: &u64| number.to_string() == size)
        .ok_or(malformed("its size is no number"))?;
    let root = STANDARD
        .decode(root)
        .ok()
        .and_then(|root| <[u8; 32]>::try_from(root).ok())
        .ok_or(malformed("its root is no base64 of 32 bytes"))?;
    Ok((Checkpoint { origin: origin.to_owned(), size, root: Digest::from_bytes(root) }, text, signatures))
}

#[cfg(test)]
mod tests {
    use loong_trust::SigningKey;

    use super::*;

    /// The published example of a verifier key and a note that it signed, as the note format's first
    /// implementation documents them.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

    fn signer() -> Signer {
        let key = SigningKey::generate().unwrap();
        Signer::new(key.public(), Arc::new(move |text| key.sign(text)))
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: origin("0123456789abcdef"), size: 20_852_163, root: Digest::of(b"root") }
    }

    #[test]
    fn a_published_key_is_read_and_verifies_its_published_signature() {
        let key: VerifierKey = KEY.parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(key.name(), "PeterNeumann");
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let encoded = SIGNATURE.rsplit(' ').next().unwrap();
        let bytes = STANDARD.decode(encoded).unwrap();
        assert_eq!(bytes[..4], key.id());
        let signature: [u8; 64] = bytes[4..].try_into().unwrap();
        assert!(key.key.verifies(text.as_bytes(), &signature));
        assert_eq!(format!("{SIGNATURE}\n"), key.line(&signature));
    }

    #[test]
    fn what_was_signed_is_read_back() {
        let signer = signer();
        let note = signer.note(&checkpoint());
        let lines: Vec<&str> = note.lines().collect();
        assert_eq!(lines[..2], ["loong/audit/0123456789abcdef", "20852163"]);
        assert_eq!(lines[2].len(), 44);
        assert_eq!(lines[3], "");
        let key = signer.verifier("loong/audit/0123456789abcdef");
        assert_eq!(Checkpoint::verified(&note, &key), Ok(checkpoint()));
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        // A witness may sign it too; its signature is of no account here.
        let witness = self::signer().verifier("witness.example");
        assert_eq!(
            Checkpoint::verified(&format!("{note}{}", witness.line(&[0; 64])), &key),
            Ok(checkpoint())
        );
    }

    #[test]
    fn what_was_changed_or_signed_by_another_is_refused() {
        let signer = signer();
        let note = signer.note(&checkpoint());
        let key = signer.verifier(&checkpoint().origin);
        let check = |note: &str, key: &VerifierKey, words: &str| {
            let error = Checkpoint::verified(note, key).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        };
        check(&note.replace("20852163", "20852164"), &key, "not signed by");
        check(&note, &self::signer().verifier(&checkpoint().origin), "not signed by");
        check(&note, &signer.verifier("loong/audit/other"), "is of the log");
        check(&self::signer().note(&checkpoint()), &key, "not signed by");
        // A second line of the same key that does not verify.
        check(&format!("{note}{}", key.line(&[1; 64])), &key, "not signed by");
    }

    #[test]
    fn refuses_what_is_no_checkpoint() {
        let note = signer().note(&checkpoint());
        assert!(Checkpoint::read(&note).is_ok());
        let root = note.lines().nth(2).unwrap();
        for bad in [
            String::new(),
            "x".repeat(NOTE_BYTES_MAX + 1),
            note.trim_end().to_owned(),
            note.replace("\n\n", "\n"),
            note.replace("20852163", "020852163"),
            note.replace("20852163", "+20852163"),
            note.replace("20852163", "99999999999999999999"),
            note.replace(root, &root[4..]),
            note.replace(root, "-"),
            note.replace('\u{2014}', "-"),
            note.replace("loong/", "loong\r/"),
            note.replace(&format!("{root}\n"), ""),
            format!("{note}\n"),
            format!("{note}{}", note.lines().last().unwrap().repeat(2)),
            format!("\n{note}"),
        ] {
            assert!(Checkpoint::read(&bad).is_err(), "{bad:?}");
        }
        let key = self::signer().verifier("a").to_string();
        assert!(key.parse::<VerifierKey>().is_ok());
        for bad in [
            "",
            "a",
            "a+b",
            &key[1..],
            &key.replace("a+", "a b+"),
            &key.replace("+A", "+B"),
            &format!("{key}="),
        ] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        }
    }
}
