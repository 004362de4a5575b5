//! What a component still lacks for its next step. Pure: everything that is known of it is in [`Facts`].

use loong_manifest::contract::Fit;
use loong_manifest::{Code, Manifest, OperationEntry, PluginId};
use loong_trust::Standing;
use serde::Serialize;

use super::super::check_list::{Check, Status};
use super::super::compat::Need;

/// What a component is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) enum Profile {
    /// To be run here, with this machine's settings, policies and trust root
    Runtime,
    /// To be handed to others
    Release,
    /// To be taken into a registry that others install from
    Marketplace,
}

/// What kind of work mends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) enum Class {
    /// Build it again, or otherwise.
    Build,
    /// Change `loong.plugin.json`.
    Manifest,
    /// Write something for people.
    Document,
    /// Write tests.
    Test,
    /// Have it signed.
    Sign,
    /// Say whom you trust.
    Trust,
    /// Change a policy or what is granted.
    Policy,
    /// Set something up on this machine.
    Setup,
    /// Call it something else.
    Rename,
    /// Change what the scan found in it.
    Scan,
}

impl Class {
    pub(in super::super) const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Manifest => "manifest",
            Self::Document => "document",
            Self::Test => "test",
            Self::Sign => "sign",
            Self::Trust => "trust",
            Self::Policy => "policy",
            Self::Setup => "setup",
            Self::Rename => "rename",
            Self::Scan => "scan",
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) enum State {
    /// Nothing is missing.
    Ok,
    /// It goes without, and would be better with it.
    Warn,
    /// It does not go without.
    Block,
}

impl State {
    pub(in super::super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in super::super) struct Diagnosis {
    /// What was looked at.
    pub(in super::super) check: &'static str,
    /// How it ended.
    pub(in super::super) state: State,
    /// What kind of work mends it.
    pub(in super::super) class: Class,
    /// What was found.
    pub(in super::super) found: String,
    /// The public code, where loading would refuse it.
    pub(in super::super) code: Option<Code>,
    /// What to do next: a command, or a phrase.
    pub(in super::super) next: Option<String>,
}

/// What is known of a project; nothing of it where only a component was given.
#[derive(Debug, Clone, Default)]
pub(super) struct Project {
    /// Whether a source is newer than the component.
    pub(super) is_stale: bool,
    /// How many tests for `loong plugins test` there are.
    pub(super) tests: usize,
    /// The files for people that are missing.
    pub(super) texts_missing: Vec<&'static str>,
    /// Whether the versions of what it is built from are written down.
    pub(super) is_locked: bool,
}

/// Everything that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The component, as a shell takes it.
    pub(super) component: String,
    /// The folder of the project, as a shell takes it.
    pub(super) dir: String,
    /// The checks of loading.
    pub(super) checks: Vec<Check>,
    /// How many findings of the scan weigh something without blocking.
    pub(super) findings: usize,
    pub(super) manifest: Option<Manifest>,
    pub(super) standing: Option<Standing>,
    /// How many attestations say where it was built.
    pub(super) provenance: usize,
    pub(super) needs: Vec<Need>,
    pub(super) project: Option<Project>,
    /// What its manifest asks a person to set up, and is not there.
    pub(super) setup_missing: Vec<String>,
    /// A path of this machine that is in the component.
    pub(super) own_path: Option<String>,
    /// Whether registries could be asked.
    pub(super) is_connected: bool,
    /// What its name is easily taken for.
    pub(super) similar: Vec<PluginId>,
    /// The registry that has this version with other bytes.
    pub(super) other_bytes: Option<String>,
}

/// What a rule says: nothing where it does not apply, what is good, or what is missing.
type Said = Option<Result<String, Problem>>;

struct Problem {
    found: String,
    next: Option<String>,
    code: Option<Code>,
}

/// A check: its name, what mends it, what its failing means for each profile, and how it is looked at. `Ok` for a
/// profile means that it is not looked at.
type Rule = (&'static str, Class, [State; 3], fn(&Facts) -> Said);

use State::{Block, Ok as Pass, Warn};

const RULES: [Rule; 19] = [
    ("component", Class::Build, [Block, Block, Block], component),
    ("fresh", Class::Build, [Warn, Block, Block], fresh),
    ("contracts", Class::Build, [Warn, Warn, Warn], contracts),
    ("paths", Class::Build, [Pass, Block, Block], paths),
    ("locked", Class::Build, [Pass, Warn, Block], locked),
    ("tests", Class::Test, [Pass, Warn, Block], tests),
    ("licence", Class::Manifest, [Pass, Block, Block], licence),
    ("tags", Class::Manifest, [Pass, Warn, Warn], tags),
    ("texts", Class::Document, [Pass, Warn, Block], texts),
    ("operations", Class::Document, [Pass, Warn, Block], documented),
    ("examples", Class::Document, [Pass, Warn, Warn], examples),
    ("setup", Class::Setup, [Block, Pass, Pass], setup),
    ("guidance", Class::Document, [Pass, Warn, Block], guidance),
    ("publisher", Class::Rename, [Pass, Warn, Block], publisher),
    ("name", Class::Rename, [Pass, Pass, Block], name),
    ("version", Class::Manifest, [Pass, Pass, Block], version),
    ("signature", Class::Sign, [Warn, Block, Block], signature),
    ("trust", Class::Trust, [Warn, Pass, Pass], trust),
    ("provenance", Class::Sign, [Pass, Pass, Warn], provenance),
];

/// The two that come of loading itself and fail for reasons of their own.
const LOADING: [(&str, Class, [State; 3]); 2] =
    [("scan", Class::Scan, [Block, Block, Block]), ("admission", Class::Policy, [Block, Warn, Warn])];

/// Looks at everything that matters for a profile.
pub(super) fn judge(facts: &Facts, profile: Profile) -> Vec<Diagnosis> {
    let failing = |states: [State; 3]| {
        let [runtime, release, marketplace] = states;
        match profile {
            Profile::Runtime => runtime,
            Profile::Release => release,
            Profile::Marketplace => marketplace,
        }
    };
    let mut all = Vec::new();
    for (check, class, states, look) in RULES {
        let state = failing(states);
        if state == Pass {
            continue;
        }
        all.extend(look(facts).map(|said| match said {
            Ok(found) => Diagnosis { check, state: Pass, class, found, code: None, next: None },
            Err(Problem { found, next, code }) => Diagnosis { check, state, class, found, code, next },
        }));
    }
    for (check, class, states) in LOADING {
        let found = facts.checks.iter().find(|one| one.name == check);
        all.extend(found.filter(|one| one.status != Status::NotReached).map(|one| {
            let state = match one.status {
                Status::Failed => failing(states),
                _ if check == "scan" && facts.findings > 0 => Warn,
                _ => Pass,
            };
            let next = (state != Pass).then(|| {
                let see = format!("loong plugins check {}", facts.component);
                one.hint.clone().unwrap_or(see)
            });
            Diagnosis { check, state, class, found: one.found.clone(), code: one.code, next }
        }));
    }
    all
}

fn problem(found: impl Into<String>, next: impl Into<String>) -> Result<String, Problem> {
    Err(Problem { found: found.into(), next: Some(next.into()), code: None })
}

/// What has to hold before anything else is looked at.
fn component(facts: &Facts) -> Said {
    const OF_LOADING: [&str; 7] =
        ["file", "type", "structure", "manifest", "imports", "operations", "schemas"];
    let failed =
        facts.checks.iter().find(|one| one.status == Status::Failed && OF_LOADING.contains(&one.name));
    Some(match failed {
        None => Ok(format!("{}: what loading looks at holds", facts.component)),
        Some(check) if check.name == "file" && facts.project.is_some() => {
            problem(format!("{} is not built", facts.component), format!("loong plugins build {}", facts.dir))
        }
        Some(check) => {
            let build = || match &facts.project {
                Some(_) => format!("loong plugins build {}", facts.dir),
                None => format!("loong plugins check {}", facts.component),
            };
            let next = check.hint.clone().unwrap_or_else(build);
            Err(Problem {
                found: format!("{}: {}", check.name, check.found),
                next: Some(next),
                code: check.code,
            })
        }
    })
}

fn fresh(facts: &Facts) -> Said {
    let project = facts.project.as_ref().filter(|_| facts.manifest.is_some())?;
    Some(if project.is_stale {
        problem("sources are newer than the component", format!("loong plugins build {}", facts.dir))
    } else {
        Ok("built from the sources as they are".to_owned())
    })
}

fn contracts(facts: &Facts) -> Said {
    facts.manifest.as_ref()?;
    let newer: Vec<&str> =
        facts.needs.iter().filter(|need| need.fit == Fit::Newer).map(|need| need.package.as_str()).collect();
    Some(if newer.is_empty() {
        Ok(match facts.needs.len() {
            0 => "it needs none".to_owned(),
            count => format!("{count} of {count} fit what this Loong offers"),
        })
    } else {
        problem(
            format!("{} of a newer version than this Loong offers", newer.join(", ")),
            format!("loong plugins compat {}", facts.component),
        )
    })
}

fn paths(facts: &Facts) -> Said {
    facts.manifest.as_ref()?;
    Some(match &facts.own_path {
        None => Ok("no path of this machine is in it".to_owned()),
        Some(path) => problem(
            format!("`{path}` is in it, so others build other bytes"),
            format!("loong plugins build {}", facts.dir),
        ),
    })
}

fn locked(facts: &Facts) -> Said {
    Some(if facts.project.as_ref()?.is_locked {
        Ok("the versions of what it is built from are written down".to_owned())
    } else {
        problem(
            "nothing says which versions it is built from",
            "commit the lock file of its build: Cargo.lock, package-lock.json or requirements.txt",
        )
    })
}

fn tests(facts: &Facts) -> Said {
    Some(match facts.project.as_ref()?.tests {
        0 => problem(
            "no test runs it under the real host",
            "write tests/NAME.loong-test.json, see `loong plugins test --help`",
        ),
        1 => Ok("1 test".to_owned()),
        count => Ok(format!("{count} tests")),
    })
}

fn licence(facts: &Facts) -> Said {
    Some(match facts.manifest.as_ref()?.licence.as_deref().map(str::trim) {
        Some(licence) if !licence.is_empty() => Ok(licence.to_owned()),
        _ => problem(
            "the manifest names no licence",
            "add \"licence\" with an SPDX expression to loong.plugin.json",
        ),
    })
}

fn tags(facts: &Facts) -> Said {
    Some(match facts.manifest.as_ref()?.tags.as_slice() {
        [] => problem("no word to find it by", "add \"tags\" to loong.plugin.json"),
        tags => Ok(tags.join(", ")),
    })
}

fn texts(facts: &Facts) -> Said {
    Some(match facts.project.as_ref()?.texts_missing.as_slice() {
        [] => Ok("README.md and LICENSE are there".to_owned()),
        missing => {
            let names = missing.join(" and ");
            problem(format!("{names} missing"), format!("write {names}"))
        }
    })
}

fn documented(facts: &Facts) -> Said {
    let manifest = facts.manifest.as_ref()?;
    let bare: Vec<String> = manifest
        .operations
        .iter()
        .filter(|one| one.doc.as_deref().is_none_or(str::is_empty))
        .map(|one| one.name.to_string())
        .collect();
    Some(if bare.is_empty() {
        Ok(format!("{} of {} say what they do", manifest.operations.len(), manifest.operations.len()))
    } else {
        problem(
            format!("nothing says what {} does", bare.join(", ")),
            "write `///` comments in the WIT, and build again",
        )
    })
}

fn examples(facts: &Facts) -> Said {
    let manifest = facts.manifest.as_ref()?;
    // What takes nothing needs none, and functions of contracts are not called by hand.
    let takes = |one: &OperationEntry| {
        let named = one.input.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        named.is_some_and(|named| !named.is_empty())
    };
    let bare = manifest.operations.iter().filter(|one| takes(one) && one.examples.is_empty()).count();
    Some(match bare {
        0 => Ok("every operation shows how it is called".to_owned()),
        _ => problem(
            format!("{bare} of {} operations show no arguments", manifest.operations.len()),
            "add \"examples\" to `operations` of loong.plugin.json",
        ),
    })
}

fn setup(facts: &Facts) -> Said {
    facts.manifest.as_ref()?;
    Some(match facts.setup_missing.as_slice() {
        [] => Ok("nothing is left to set up".to_owned()),
        missing => {
            let manifest = facts.manifest.as_ref();
            let setup = manifest.and_then(|manifest| manifest.setup.as_ref());
            let help = setup.and_then(|setup| setup.remediation.clone().or_else(|| setup.docs_url.clone()));
            problem(missing.join("; "), help.unwrap_or_else(|| missing.join("; ")))
        }
    })
}

fn guidance(facts: &Facts) -> Said {
    let manifest = facts.manifest.as_ref()?;
    let asked = &manifest.capabilities;
    let needs: Vec<&str> = [
        ("settings", asked.config.is_some()),
        ("secrets", asked.secrets.is_some()),
        ("programs", asked.process.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_asked)| is_asked.then_some(name))
    .collect();
    Some(match (needs.as_slice(), &manifest.setup) {
        ([], _) => Ok("it needs nothing set up".to_owned()),
        (_, Some(_)) => Ok("the manifest says what a person sets up".to_owned()),
        (needs, None) => problem(
            format!("it asks for {} and says nothing of setting them up", needs.join(", ")),
            "add \"setup\" to loong.plugin.json",
        ),
    })
}

fn publisher(facts: &Facts) -> Said {
    Some(match facts.manifest.as_ref()?.id.publisher() {
        "local" => problem(
            "`local` is what everybody's own components are called",
            "change the part of its id before the colon, in loong.plugin.json and the WIT",
        ),
        publisher => Ok(publisher.to_owned()),
    })
}

fn name(facts: &Facts) -> Said {
    facts.manifest.as_ref().filter(|_| facts.is_connected)?;
    Some(match facts.similar.as_slice() {
        [] => Ok("no other name in the connected registries looks like it".to_owned()),
        others => {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            problem(format!("is easily taken for {}", others.join(", ")), "choose another name")
        }
    })
}

fn version(facts: &Facts) -> Said {
    let manifest = facts.manifest.as_ref().filter(|_| facts.is_connected)?;
    Some(match &facts.other_bytes {
        None => Ok(manifest.version.to_string()),
        Some(registry) => Err(Problem {
            found: format!("registry `{registry}` has {} with other bytes", manifest.version),
            next: Some("raise \"version\" in loong.plugin.json, and build again".to_owned()),
            code: Some(Code::EntryDiffers),
        }),
    })
}

fn signature(facts: &Facts) -> Said {
    let failed = facts.checks.iter().find(|one| one.status == Status::Failed && one.name == "signature");
    if let Some(check) = failed {
        let next =
            Some(check.hint.clone().unwrap_or_else(|| format!("loong plugins sign {}", facts.component)));
        return Some(Err(Problem { found: check.found.clone(), next, code: check.code }));
    }
    Some(match facts.standing.as_ref()? {
        Standing::Unsigned => {
            problem("nobody signed it", format!("loong plugins sign {} --key NAME", facts.component))
        }
        Standing::UnknownKey { .. } => Ok("signed, by a key that your trust root does not name".to_owned()),
        Standing::Signed { signer, .. } => Ok(format!("signed by {}", signer.text())),
    })
}

fn trust(facts: &Facts) -> Said {
    Some(match facts.standing.as_ref()? {
        Standing::UnknownKey { .. } => problem(
            "your trust root does not name who signed it, so it is unverified here",
            "connect the registry that names its publisher, see `loong registry connect --help`",
        ),
        Standing::Signed { tier, .. } => Ok(tier.to_string()),
        Standing::Unsigned => return None,
    })
}

fn provenance(facts: &Facts) -> Said {
    facts.standing.as_ref()?;
    Some(match facts.provenance {
        0 => problem("nothing says where it was built", "attach a SLSA provenance bundle where it is built"),
        count => Ok(format!("{count} attested")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(manifest: &str) -> Facts {
        Facts {
            component: "x.wasm".to_owned(),
            dir: ".".to_owned(),
            manifest: Some(Manifest::read(manifest.as_bytes()).unwrap()),
            standing: Some(Standing::Unsigned),
            project: Some(Project { tests: 1, is_locked: true, ..Project::default() }),
            ..Facts::default()
        }
    }

    const BARE: &str = r#"{"id":"local:x","version":"0.1.0","kind":"tool","summary":"s",
        "operations":[{"name":"local:x/x@0.1.0#do","risk":"read","input":{"properties":{"a":{}}}}],
        "capabilities":{"config":{"reason":"r","keys":["a"]}}}"#;
    const FULL: &str = r#"{"id":"acme:x","version":"0.1.0","kind":"tool","summary":"s","tags":["t"],"licence":"MIT",
        "operations":[{"name":"acme:x/x@0.1.0#do","risk":"read","doc":"Does.","examples":[{}]}]}"#;

    /// Everything that is not good, as `state check`.
    #[track_caller]
    fn check(facts: &Facts, profile: Profile, expected: &[&str]) {
        let all = judge(facts, profile);
        let found: Vec<String> = all
            .iter()
            .filter(|one| one.state != State::Ok)
            .map(|one| format!("{} {}", one.state.as_str(), one.check))
            .collect();
        assert_eq!(found, expected, "{profile:?}");
        for one in all.iter().filter(|one| one.state != State::Ok) {
            assert!(one.next.as_ref().is_some_and(|next| !next.is_empty()), "{one:?} says what to do next");
        }
    }

    #[test]
    fn each_profile_asks_for_more() {
        let facts = facts(BARE);
        check(&facts, Profile::Runtime, &["warn signature"]);
        check(
            &facts,
            Profile::Release,
            &[
                "block licence",
                "warn tags",
                "warn operations",
                "warn examples",
                "warn guidance",
                "warn publisher",
                "block signature",
            ],
        );
        check(
            &facts,
            Profile::Marketplace,
            &[
                "block licence",
                "warn tags",
                "block operations",
                "warn examples",
                "block guidance",
                "block publisher",
                "block signature",
                "warn provenance",
            ],
        );
    }

    #[test]
    fn what_is_complete_passes() {
        let mut facts = facts(FULL);
        facts.standing = Some(Standing::UnknownKey { hint: "k".to_owned() });
        facts.provenance = 1;
        facts.is_connected = true;
        check(&facts, Profile::Release, &[]);
        check(&facts, Profile::Marketplace, &[]);
        check(&facts, Profile::Runtime, &["warn trust"]);
    }

    #[test]
    fn a_project_and_its_surroundings_are_looked_at() {
        let mut facts = facts(FULL);
        facts.standing = Some(Standing::UnknownKey { hint: "k".to_owned() });
        facts.provenance = 1;
        facts.is_connected = true;
        facts.similar = vec!["core:xx".parse().unwrap()];
        facts.other_bytes = Some("main".to_owned());
        facts.own_path = Some("/home/ada".to_owned());
        facts.setup_missing = vec!["set the variable `A`".to_owned()];
        facts.project =
            Some(Project { is_stale: true, texts_missing: vec!["README.md"], ..Project::default() });
        check(&facts, Profile::Runtime, &["warn fresh", "block setup", "warn trust"]);
        check(
            &facts,
            Profile::Marketplace,
            &[
                "block fresh",
                "block paths",
                "block locked",
                "block tests",
                "block texts",
                "block name",
                "block version",
            ],
        );
        facts.checks = vec![Check {
            name: "file",
            status: Status::Failed,
            found: "not there".to_owned(),
            code: Some(Code::FileUnreadable),
            hint: None,
        }];
        facts.manifest = None;
        facts.standing = None;
        facts.project = Some(Project::default());
        let all = judge(&facts, Profile::Runtime);
        assert_eq!(all[0].next.as_deref(), Some("loong plugins build ."));
    }
}
