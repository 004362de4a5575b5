//! A repository is kept in a folder, and read as a client reads it.

use std::path::Path;

use loong_manifest::{Code, PluginId, Tier};
use loong_trust::{Candidate, SigningKey, UtcTime};
use tempfile::TempDir;

use crate::{Client, Directory, Entry, Folder, RepositoryError, RoleKeys};

const DAY_S: u64 = 86_400;

fn at(day: u64) -> UtcTime {
    UtcTime::from_unix_s(1_800_000_000 + day * DAY_S)
}

fn component(id: &str, version: &str, summary: &str) -> Vec<u8> {
    let manifest =
        format!(r#"{{"id": "{id}", "version": "{version}", "kind": "tool", "summary": "{summary}"}}"#);
    loong_inspect::with_manifest(&wat::parse_str("(component)").unwrap(), manifest.as_bytes()).unwrap()
}

fn signed(key: &SigningKey, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(loong_trust::sign(key, &Candidate::read(bytes.to_vec(), None, "x").unwrap()).unwrap())
}

fn keys(keys: &[&SigningKey], threshold: usize) -> RoleKeys {
    RoleKeys { keys: keys.iter().map(|key| key.public()).collect(), threshold }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A repository with one key for everything and `acme:greet` 1.0.0 in it, published on day 0.
struct Fixture {
    folder: TempDir,
    memory: TempDir,
    key: SigningKey,
}

impl Fixture {
    fn new() -> Self {
        let (folder, memory, key) =
            (TempDir::new().unwrap(), TempDir::new().unwrap(), SigningKey::generate().unwrap());
        let repository = Folder::init(folder.path(), &keys(&[&key], 1), at(0)).unwrap();
        repository.set_publisher("acme", Tier::VerifiedCommunity, &keys(&[&key], 1), at(0)).unwrap();
        let fixture = Self { folder, memory, key };
        fixture.add("1.0.0", "Says hello").unwrap();
        fixture.publish(0).unwrap();
        fixture
    }

    fn repository(&self) -> Folder {
        Folder::open(self.folder.path()).unwrap()
    }

    fn add(&self, version: &str, summary: &str) -> Result<bool, RepositoryError> {
        let bytes = component("acme:greet", version, summary);
        let bundle = signed(&self.key, &bytes);
        add(&self.repository(), bytes, bundle)
    }

    fn publish(&self, day: u64) -> Result<(), RepositoryError> {
        let again = SigningKey::read_file(&self.key_file()).unwrap();
        block_on(self.repository().publish(&[again], at(day))).map(drop)
    }

    fn key_file(&self) -> std::path::PathBuf {
        let path = self.memory.path().join("key");
        if !path.exists() {
            self.key.create_file(&path).unwrap();
        }
        path
    }

    fn root(&self) -> Vec<u8> {
        self.repository().first_root().unwrap()
    }

    fn read(&self, from: &Path, day: u64) -> Result<Vec<Entry>, RepositoryError> {
        self.read_at(from, at(day))
    }

    fn read_at(&self, from: &Path, now: UtcTime) -> Result<Vec<Entry>, RepositoryError> {
        let memory = self.memory.path().join("seen");
        let mut client = Client::new(Directory::new(from), &self.root(), Some(&memory))?;
        block_on(async {
            client.refresh(now).await?;
            let mut all = Vec::new();
            for (publisher, _) in client.publishers() {
                all.extend(client.entries(&publisher, now).await?);
            }
            for entry in &all {
                for file in &entry.files {
                    client.fetch(file, now).await?;
                }
            }
            Ok(all)
        })
    }

    fn versions(&self, day: u64) -> Vec<String> {
        let entries = self.read(self.folder.path(), day).unwrap();
        entries.iter().map(|entry| format!("{} {}", entry.id, entry.version)).collect()
    }

    /// A copy of what is served now.
    fn copy(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_folder(self.folder.path(), copy.path());
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn add(repository: &Folder, bytes: Vec<u8>, bundle: Option<Vec<u8>>) -> Result<bool, RepositoryError> {
    let mut adding = repository.adding(at(0));
    let (_, _, added) = adding.add(bytes, bundle.into_iter().collect(), None)?;
    adding.finish()?;
    Ok(added)
}

fn code<T>(result: Result<T, RepositoryError>) -> Option<Code> {
    result.err().map(|error| error.code())
}

#[test]
fn what_was_published_can_be_read() {
    let fixture = Fixture::new();
    assert_eq!(fixture.versions(1), ["acme:greet 1.0.0"]);
    let entries = fixture.read(fixture.folder.path(), 1).unwrap();
    assert_eq!(entries[0].facts.summary, "Says hello");
    assert_eq!(entries[0].files.len(), 3);
    fixture.add("1.10.0", "Says hello").unwrap();
    fixture.add("1.9.0", "Says hello").unwrap();
    assert_eq!(fixture.versions(1), ["acme:greet 1.0.0"], "a draft is not served");
    fixture.publish(1).unwrap();
    assert_eq!(fixture.versions(1), ["acme:greet 1.10.0", "acme:greet 1.9.0", "acme:greet 1.0.0"]);
}

#[test]
fn a_version_is_published_once() {
    let fixture = Fixture::new();
    assert!(!fixture.add("1.0.0", "Says hello").unwrap(), "the same bytes change nothing");
    assert_eq!(code(fixture.add("1.0.0", "Says something else")), Some(Code::EntryDiffers));
    assert_eq!(code(fixture.add("1.0.1+build", "Says hello")), Some(Code::RepositoryInvalid));
}

#[test]
fn only_who_may_publishes() {
    let fixture = Fixture::new();
    let repository = fixture.repository();
    let bytes = component("acme:greet", "2.0.0", "Says hello");
    let stranger = SigningKey::generate().unwrap();
    assert_eq!(code(add(&repository, bytes.clone(), None)), Some(Code::UnsignedRefused));
    assert_eq!(code(add(&repository, bytes.clone(), signed(&stranger, &bytes))), Some(Code::UnsignedRefused));
    let other = component("other:greet", "1.0.0", "Says hello");
    assert_eq!(code(add(&repository, other.clone(), signed(&fixture.key, &other))), Some(Code::RoleUnknown));
    assert!(add(&repository, bytes.clone(), signed(&fixture.key, &bytes)).is_ok());
    assert_eq!(code(block_on(repository.publish(&[stranger], at(0)))), Some(Code::RepositoryUnsigned));
    assert_eq!(fixture.versions(1), ["acme:greet 1.0.0"], "what was served before is still served");
    fixture.publish(1).unwrap();
    assert_eq!(fixture.versions(1).len(), 2);
}

#[test]
fn a_threshold_is_met_by_distinct_keys_on_different_machines() {
    let fixture = Fixture::new();
    let (first, second) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let repository = fixture.repository();
    let both = keys(&[&first, &second], 2);
    repository.set_publisher("duo", Tier::VerifiedCommunity, &both, at(1)).unwrap();
    let bytes = component("duo:tool", "1.0.0", "Does it");
    add(&repository, bytes.clone(), signed(&first, &bytes)).unwrap();
    repository.sign(&first).unwrap();
    assert!(repository.sign(&first).unwrap().is_empty(), "a key signs once");
    assert_eq!(code(fixture.publish(1)), Some(Code::RepositoryUnsigned));
    let missing = repository.missing().unwrap();
    let waiting: Vec<_> = missing.iter().map(|missing| (missing.role.as_str(), missing.signed)).collect();
    assert_eq!(waiting, [("publisher-duo", 1)]);
    assert_eq!(missing[0].may_sign, [second.key_id()]);

    // The other machine gets one file, signs it, and sends it back.
    let elsewhere = TempDir::new().unwrap();
    copy_folder(fixture.folder.path(), elsewhere.path());
    Folder::open(elsewhere.path()).unwrap().sign(&second).unwrap();
    let back = std::fs::read(elsewhere.path().join("drafts/publisher-duo.json")).unwrap();
    let changed = String::from_utf8(back.clone()).unwrap().replace("Does it", "Does that");
    assert_eq!(code(repository.import(changed.as_bytes())), Some(Code::RepositoryInvalid));
    assert_eq!(repository.import(&back).unwrap(), ("publisher-duo".to_owned(), 1));
    assert_eq!(repository.import(&back).unwrap().1, 0);
    fixture.publish(1).unwrap();
    assert_eq!(fixture.versions(1), ["acme:greet 1.0.0", "duo:tool 1.0.0"]);
}

#[test]
fn keys_are_rotated_through_the_chain_of_roots() {
    let fixture = Fixture::new();
    let next = SigningKey::generate().unwrap();
    let repository = fixture.repository();
    for role in ["root", "timestamp", "publisher-acme"] {
        repository.set_keys(role, &keys(&[&next], 1), at(1)).unwrap();
    }
    assert_eq!(code(fixture.publish(1)), Some(Code::RepositoryUnsigned), "the new keys have not signed");
    let old = SigningKey::read_file(&fixture.key_file()).unwrap();
    block_on(repository.publish(&[old, next], at(1))).unwrap();
    assert_eq!(fixture.versions(1), ["acme:greet 1.0.0"], "followed from the first root");
    assert_eq!(
        code(fixture.publish(2)),
        Some(Code::RepositoryUnsigned),
        "the old key signs no timestamp any more"
    );
}

#[test]
fn what_expired_or_is_older_than_what_was_seen_is_refused() {
    let fixture = Fixture::new();
    let old = fixture.copy();
    fixture.add("1.1.0", "Says hello").unwrap();
    fixture.publish(2).unwrap();
    assert_eq!(fixture.versions(2).len(), 2);
    assert_eq!(code(fixture.read(old.path(), 2)), Some(Code::RepositoryRollback), "a rollback");
    assert_eq!(code(fixture.read(fixture.folder.path(), 40)), Some(Code::RepositoryExpired), "a freeze");
    fixture.publish(40).unwrap();
    assert_eq!(fixture.versions(40).len(), 2);
    assert_eq!(code(fixture.read(fixture.folder.path(), 400)), Some(Code::RepositoryExpired));
}

#[test]
fn a_clock_that_is_wrong_gives_nothing_old_and_breaks_nothing() {
    let fixture = Fixture::new();
    let old = fixture.copy();
    fixture.add("1.1.0", "Says hello").unwrap();
    fixture.publish(2).unwrap();
    assert_eq!(fixture.versions(2).len(), 2);
    // In 1970 nothing is past its expiry, and still nothing older is taken than what was seen.
    let begin = UtcTime::from_unix_s(0);
    assert_eq!(fixture.read_at(fixture.folder.path(), begin).unwrap().len(), 2);
    assert_eq!(code(fixture.read_at(old.path(), begin)), Some(Code::RepositoryRollback));
    // In 2100 everything is, and after the year 9999 there is no time at all.
    let late = UtcTime::from_unix_s(4_102_444_800);
    assert_eq!(code(fixture.read_at(fixture.folder.path(), late)), Some(Code::RepositoryExpired));
    for never in [253_402_300_800, u64::MAX] {
        let never = UtcTime::from_unix_s(never);
        assert_eq!(code(fixture.read_at(fixture.folder.path(), never)), Some(Code::ClockInvalid));
    }
    // Once the clock is right again, so is the rest.
    assert_eq!(fixture.versions(2).len(), 2);
}

#[test]
fn what_cannot_be_remembered_is_not_taken() {
    let fixture = Fixture::new();
    assert!(fixture.read(fixture.folder.path(), 1).is_ok());
    let names: Vec<String> = std::fs::read_dir(fixture.memory.path().join("seen"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| !name.starts_with(|first: char| first.is_ascii_digit())), "{names:?}");
    std::fs::remove_dir_all(fixture.memory.path().join("seen")).unwrap();
    std::fs::write(fixture.memory.path().join("seen"), "").unwrap();
    assert_eq!(code(fixture.read(fixture.folder.path(), 1)), Some(Code::FileUnwritable));
}

#[test]
fn documents_of_different_times_are_not_mixed() {
    let fixture = Fixture::new();
    let old = fixture.copy();
    fixture.add("1.1.0", "Says hello").unwrap();
    fixture.publish(1).unwrap();
    let mixed = fixture.copy();
    assert!(fixture.read(mixed.path(), 1).is_ok());
    let (metadata, before) = (mixed.path().join("metadata"), old.path().join("metadata"));
    std::fs::copy(before.join("1.publisher-acme.json"), metadata.join("2.publisher-acme.json")).unwrap();
    assert_eq!(code(fixture.read(mixed.path(), 1)), Some(Code::RepositoryMismatch));
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let fixture = Fixture::new();
    let copy = fixture.copy();
    let folder = copy.path().join("targets/acme/greet/1.0.0");
    let component = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .unwrap();
    let good = std::fs::read(&component).unwrap();
    let mut changed = good.clone();
    changed[20] ^= 1;
    for bytes in [changed, good[..good.len() - 1].to_vec(), [good.as_slice(), b"x"].concat()] {
        std::fs::remove_file(&component).unwrap();
        std::fs::write(&component, bytes).unwrap();
        let refused = code(fixture.read(copy.path(), 1));
        assert!(
            matches!(refused, Some(Code::RepositoryMismatch | Code::RepositoryUnreachable)),
            "{refused:?}"
        );
    }
    std::fs::remove_file(&component).unwrap();
    assert_eq!(code(fixture.read(copy.path(), 1)), Some(Code::RepositoryUnreachable));
    std::os::unix::fs::symlink("/etc/hostname", &component).unwrap();
    assert_eq!(code(fixture.read(copy.path(), 1)), Some(Code::RepositoryUnreachable), "no link is followed");
    std::fs::remove_file(&component).unwrap();
    std::fs::write(&component, good).unwrap();
    assert!(fixture.read(copy.path(), 1).is_ok());
}

#[test]
fn a_yanked_version_says_so() {
    let fixture = Fixture::new();
    let repository = fixture.repository();
    let id: PluginId = "acme:greet".parse().unwrap();
    let version = |text: &str| text.parse().unwrap();
    assert_eq!(code(repository.yank(&id, &version("9.0.0"), "broken", at(1))), Some(Code::EntryUnknown));
    repository.yank(&id, &version("1.0.0"), "broken", at(1)).unwrap();
    fixture.publish(1).unwrap();
    let entries = fixture.read(fixture.folder.path(), 1).unwrap();
    assert_eq!(entries[0].facts.yanked.as_ref().unwrap().reason, "broken");
}

#[test]
fn a_publisher_moves_to_another_tier() {
    let fixture = Fixture::new();
    let repository = fixture.repository();
    repository.set_publisher("acme", Tier::Official, &keys(&[&fixture.key], 1), at(1)).unwrap();
    fixture.publish(1).unwrap();
    let mut client = Client::new(Directory::new(fixture.folder.path()), &fixture.root(), None).unwrap();
    block_on(client.refresh(at(1))).unwrap();
    assert_eq!(client.publishers(), [("acme".to_owned(), Tier::Official)]);
    assert_eq!(fixture.versions(1), ["acme:greet 1.0.0"]);
}

#[test]
fn a_repository_is_begun_once_and_by_keys_that_can_sign() {
    let (folder, key) = (TempDir::new().unwrap(), SigningKey::generate().unwrap());
    assert_eq!(code(Folder::open(folder.path())), Some(Code::RepositoryUnreachable));
    assert_eq!(code(Folder::init(folder.path(), &keys(&[&key], 2), at(0))), Some(Code::RepositoryInvalid));
    assert_eq!(code(Folder::init(folder.path(), &keys(&[&key], 0), at(0))), Some(Code::RepositoryInvalid));
    Folder::init(folder.path(), &keys(&[&key], 1), at(0)).unwrap();
    assert_eq!(code(Folder::init(folder.path(), &keys(&[&key], 1), at(0))), Some(Code::FileUnwritable));
}
