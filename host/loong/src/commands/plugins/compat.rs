//! `loong plugins compat`: the contracts that this host offers, and those that components are built for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use loong_inspect::Contents;
use loong_manifest::contract::{self, CONTRACTS, Fit};
use loong_manifest::{Code, Compatibility, InterfaceName};
use loong_repository::Installed;
use loong_trust::Verified;
use semver::Version;
use serde::Serialize;
use serde_json::json;

use super::subject::{Finder, Subject};
use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Show which contracts the host offers, and which ones components need
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins compat                             what this Loong offers, and what every installed plugin needs
  loong plugins compat acme:weather@1.2.0          a version in a connected registry, before it is installed
  loong plugins compat word-count.wasm --json

`built with` and `tested` are what the component's manifest says: `loong plugins build` writes the one, `loong plugins
test --record` the contracts of the host under which its tests passed last. `newer` loads if it uses nothing
that is new; what is `unsupported` is refused when it is installed and when it is loaded.")]
pub struct CompatArgs {
    /// Only these
    #[arg(value_name = "FILE|ID[@VERSION]")]
    plugins: Vec<String>,
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long = "plugins", value_name = "DIR")]
    folders: Vec<PathBuf>,
}

/// One WIT package that a component needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Need {
    /// `namespace:package`.
    pub(super) package: String,
    /// The version that it is built for.
    pub(super) needs: Option<Version>,
    /// What its manifest says that it was built with.
    pub(super) built_with: Option<String>,
    /// Under which version its manifest says that its tests passed last.
    pub(super) tested: Option<String>,
    /// Every version that the host offers.
    pub(super) offers: Vec<String>,
    /// How the two stand to each other.
    pub(super) fit: Fit,
}

/// The contracts that a component imports or exports, by package; of several versions the one that fits least.
pub(super) fn needs(verified: &Verified) -> Vec<Need> {
    let said = verified.manifest().and_then(|manifest| manifest.compatibility.clone()).unwrap_or_default();
    by_package(contracts(verified.contents()), &said)
}

/// What a component is built with here: of each contract that it needs, the version that is offered.
pub(super) fn offered_to(contents: &Contents) -> Vec<String> {
    let needs = by_package(contracts(contents), &Compatibility::default());
    needs.iter().filter_map(|need| Some(format!("{}@{}", need.package, need.offers.last()?))).collect()
}

fn contracts(contents: &Contents) -> impl Iterator<Item = &InterfaceName> {
    let imports = contents.imports.iter().filter_map(|import| import.interface.as_ref());
    let exports = contents.exports.iter().filter_map(|export| export.interface.as_ref());
    let exports = exports.filter(|interface| contract::is_known(interface.package()));
    imports.chain(exports)
}

fn by_package<'a>(interfaces: impl Iterator<Item = &'a InterfaceName>, said: &Compatibility) -> Vec<Need> {
    let mut packages: BTreeMap<&str, (Fit, Option<&Version>)> = BTreeMap::new();
    for interface in interfaces {
        let Some(fit) = contract::fit(interface) else { continue };
        let found = (fit, interface.version());
        let kept = packages.entry(interface.package()).or_insert(found);
        *kept = found.max(*kept);
    }
    let need = |(package, (fit, version)): (&str, (Fit, Option<&Version>))| Need {
        package: package.to_owned(),
        needs: version.cloned(),
        built_with: version_of(package, &said.wit),
        tested: version_of(package, &said.tested),
        offers: offers(package),
        fit,
    };
    packages.into_iter().map(need).collect()
}

/// The version of a package in a list such as `loong:host@0.1.0`.
fn version_of(package: &str, listed: &[String]) -> Option<String> {
    listed.iter().find_map(|text| {
        let (of, version) = text.split_once('@')?;
        (of == package).then(|| version.to_owned())
    })
}

fn offers(package: &str) -> Vec<String> {
    let same = CONTRACTS.iter().filter(|contract| contract.package == package);
    same.map(|contract| contract.version.to_string()).collect()
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &CompatArgs) -> Result<(), CommandError> {
    let named = if args.plugins.is_empty() {
        Installed::new(places.installed()).lock()?.plugins.keys().map(ToString::to_string).collect()
    } else {
        args.plugins.clone()
    };
    let mut found = Vec::new();
    {
        let mut finder = Finder::new(ui, places, &args.folders)?;
        for text in &named {
            match finder.find(text) {
                Ok(Subject { verified, .. }) => {
                    let name = format!("{} {}", verified.id(), verified.version());
                    found.push((name, needs(&verified), None));
                }
                // Refused for just this: said in the table, as a component would be.
                Err(error) if error.code == Code::ContractUnsupported => {
                    found.push((text.clone(), Vec::new(), Some(error)));
                }
                Err(error) => return Err(error),
            }
        }
    }
    if ui.json() {
        let plugins: Vec<_> = found
            .iter()
            .map(|(name, needs, error)| {
                json!({ "plugin": name, "needs": needs, "refused": error.as_ref().map(|error| &error.headline) })
            })
            .collect();
        let offers: Vec<_> = CONTRACTS.iter().map(ToString::to_string).collect();
        ui.document("loong.plugins.compat/1", &json!({ "offers": offers, "plugins": plugins }));
    } else {
        show(ui, args.plugins.is_empty(), &found);
    }
    match found.into_iter().find_map(|(name, _, error)| Some(error?.detail(format!("in `{name}`")))) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn show(ui: &mut Ui, all: bool, found: &[(String, Vec<Need>, Option<CommandError>)]) {
    if all {
        ui.line("this Loong offers");
        let rows: Vec<Vec<String>> = CONTRACTS
            .iter()
            .map(|contract| vec![contract.package.to_owned(), contract.version.to_string()])
            .collect();
        ui.table(2, &rows);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .flat_map(|(name, needs, error)| {
            let refused = error.iter().map(|error| {
                let said = format!("{}: {}", Fit::Unsupported.as_str(), error.headline);
                [name, "", "", "", "", "", &said].map(str::to_owned).to_vec()
            });
            let nothing = (needs.is_empty() && error.is_none())
                .then(|| [name, "none", "–", "–", "–", "–", Fit::Fits.as_str()].map(str::to_owned).to_vec());
            needs.iter().map(|need| row(name, need)).chain(refused).chain(nothing).collect::<Vec<_>>()
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    if all {
        ui.line("");
    }
    let mut table = vec![
        ["PLUGIN", "PACKAGE", "NEEDS", "BUILT WITH", "TESTED", "OFFERED", ""].map(str::to_owned).to_vec(),
    ];
    table.extend(rows);
    ui.table(0, &table);
}

fn row(name: &str, need: &Need) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    vec![
        name.to_owned(),
        need.package.clone(),
        or_none(need.needs.as_ref().map(ToString::to_string)),
        or_none(need.built_with.clone()),
        or_none(need.tested.clone()),
        or_none(Some(need.offers.join(", ")).filter(|text| !text.is_empty())),
        need.fit.as_str().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(interfaces: &[&str], built_with: &[&str], expected: &[&str]) {
        let interfaces: Vec<InterfaceName> = interfaces.iter().map(|text| text.parse().unwrap()).collect();
        let wit: Vec<String> = built_with.iter().map(|text| (*text).to_owned()).collect();
        let said = Compatibility { wit, tested: vec!["wasi:io@0.2.3".to_owned()] };
        let rows: Vec<String> =
            by_package(interfaces.iter(), &said).iter().map(|need| row("x", need)[1..].join(" ")).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_package_is_there_once_with_what_fits_least() {
        check(&[], &[], &[]);
        check(&["acme:a/b@1.0.0"], &[], &[]);
        check(
            &["loong:host/kv@0.1.0", "loong:host/log@0.1.0", "wasi:io/poll@0.2.0", "wasi:io/streams@0.2.99"],
            &["loong:host@0.1.0"],
            &["loong:host 0.1.0 0.1.0 – 0.1.0 fits", "wasi:io 0.2.99 – 0.2.3 0.2.12 newer"],
        );
        check(
            &["loong:gateway/routes@0.1.0", "loong:host/kv"],
            &[],
            &["loong:gateway 0.1.0 – – – unsupported", "loong:host – – – 0.1.0 unsupported"],
        );
    }
}
