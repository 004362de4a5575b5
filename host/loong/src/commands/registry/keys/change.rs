//! `loong registry keys rotate` and `expire`: a key of yours gets a successor, or an end.

use loong_manifest::Code;
use loong_trust::{RootKey, SigningKey, UtcTime};
use serde_json::json;

use super::{key_path, named, read_key, write_root};
use crate::error::CommandError;
use crate::host;
use crate::places::Places;
use crate::ui::Ui;

/// Put a new key in the place of one of yours; what the old one signed holds for some days more
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry keys rotate local
  loong registry keys rotate release --keep-days 7

The new key signs for the same publishers under the same name, and counts as the old one wherever several signers are
needed; both together are one signer. The old one is kept as NAME-OLD, for repositories whose roles name it: give them
the new key with `loong registry role` before it expires. A key that somebody else may have is not rotated but revoked.")]
pub struct RotateArgs {
    /// The name of the key
    #[arg(value_name = "NAME")]
    name: String,
    /// For how many days the old key's signatures hold
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3650))]
    keep_days: u32,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Refuse what a key signed from a time on
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry keys expire release --at 2027-01-01T00:00:00Z
  loong registry keys expire 4f1c…(64 digits) --at 2027-01-01T00:00:00Z --yes")]
pub struct ExpireArgs {
    /// The id of a key (64 digits), or the name of one of yours
    key: String,
    /// When
    #[arg(long, value_name = "TIME")]
    at: UtcTime,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn rotate(ui: &mut Ui, places: &Places, args: &RotateArgs) -> Result<(), CommandError> {
    let old = read_key(places, &args.name)?;
    let root = host::own_trust_root(places)?;
    let known = root.key(&old.key_id()).cloned().ok_or_else(|| {
        CommandError::new(Code::KeyInvalid, format!("your trust root does not name the key `{}`", args.name))
            .hint("`loong registry keys list` shows what it names")
    })?;
    let path = key_path(places, &args.name)?;
    let kept_as = format!("{}-{}", args.name, old.key_id().short());
    let kept = key_path(places, &kept_as)?;
    let until = UtcTime::from_unix_s(host::now_ms() / 1000 + u64::from(args.keep_days) * 86_400);
    let until = known.expires.map_or(until, |expires| expires.min(until));
    let new = SigningKey::generate()?;
    let successor = RootKey {
        key_id: new.key_id(),
        public_key: new.public(),
        expires: None,
        not_before: None,
        replaces: Some(old.key_id()),
        ..known
    };
    let next = root.expire_key(&old.key_id(), until)?.with_key(successor)?;
    ui.confirm(
        &format!("`{}` gets a new key; what the old one signed holds until {until}", args.name),
        args.yes,
    )?;
    // In an order in which a stop anywhere leaves a key under its name, and no key is ever lost.
    let fresh = key_path(places, &format!("{}-next", args.name))?;
    new.create_file(&fresh)?;
    let moved = |from: &std::path::Path, to: &std::path::Path| {
        std::fs::rename(from, to)
            .map_err(|error| CommandError::file(Code::FileUnwritable, "write", to, &error))
    };
    std::fs::hard_link(&path, &kept)
        .map_err(|error| CommandError::file(Code::FileUnwritable, "write", &kept, &error))?;
    write_root(places, &next)?;
    moved(&fresh, &path)?;
    if ui.json() {
        let value = json!({
            "name": args.name, "key_id": new.key_id(), "old_key_id": old.key_id(), "old_name": kept_as,
            "old_expires": until, "version": next.version(),
        });
        ui.document("loong.registry.keys.rotate/1", &value);
    } else {
        ui.line(format!("`{}` is now key {}", args.name, new.key_id().short()));
        ui.line(format!("the old key is `{kept_as}`; what it signed holds until {until}"));
    }
    Ok(())
}

pub(super) fn expire(ui: &mut Ui, places: &Places, args: &ExpireArgs) -> Result<(), CommandError> {
    let key_id = named(places, &args.key)?;
    let next = host::own_trust_root(places)?.expire_key(&key_id, args.at)?;
    ui.confirm(&format!("What key {} signed is refused from {} on", key_id.short(), args.at), args.yes)?;
    write_root(places, &next)?;
    if ui.json() {
        let value = json!({ "key_id": key_id, "expires": args.at, "version": next.version() });
        ui.document("loong.registry.keys.expire/1", &value);
    } else {
        ui.line(format!("key {} holds until {}", key_id.short(), args.at));
    }
    Ok(())
}
