//! Admission: what a verified component asks, weighed by policy. Either everything it needs is granted, or
//! it is refused with the first reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use loong_manifest::{
    Access, CommandPattern, Digest, Endpoint, ExecutionTier, Limits, LimitsAsked, Manifest, Meter,
    OperationName, OperationPattern, PluginId, Risk, Tier,
};
use loong_trust::Verified;
use serde::Serialize;

use crate::ask::{Scope, quoted};
use crate::{Denial, FolderGrant, Grants, PolicySet, Principal, Refusal};

/// Every capability, in the order in which they are weighed and shown.
pub(crate) const CAPABILITIES: [&str; 10] =
    ["log", "stream", "kv", "config", "process", "filesystem", "http", "tcp", "secrets", "tools"];

/// What the operator offers to the components of a run. It is only an upper bound: nothing is granted that
/// was not asked, and nothing that policy does not permit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Folders of the host, by the name that components ask for.
    pub folders: BTreeMap<String, OfferedFolder>,
    /// Settings of the component, by key.
    pub config: BTreeMap<String, String>,
    /// Capabilities for which a person said so with a flag; policies see `context.offered`.
    pub allow: BTreeSet<String>,
    /// Hosts that a person named with a flag; policies see `context.offered` for what goes there.
    pub hosts: BTreeSet<Endpoint>,
    /// Hosts that may be reached although their addresses are inside the operator's own network.
    pub inside: BTreeSet<Endpoint>,
    /// Count the instructions of the component, although neither it nor its tier asks for it.
    pub count_fuel: bool,
    /// The widest execution tier of the component, where the operator set one. It widens nothing.
    pub execution_tier_max: Option<ExecutionTier>,
}

/// A folder of the host that a component may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedFolder {
    /// The folder of the host.
    pub host: PathBuf,
    /// The most that may be done in it.
    pub access: Access,
    /// Whether a person named it with a flag, rather than the host by default.
    pub by_flag: bool,
}

/// What admission has to know of a component.
#[derive(Debug, Clone)]
struct Subject<'a> {
    id: &'a PluginId,
    version: String,
    digest: Digest,
    tier: Tier,
    signer: Option<&'a str>,
    manifest: Option<&'a Manifest>,
    component_bytes: u64,
}

impl<'a> Subject<'a> {
    fn of(verified: &'a Verified) -> Self {
        Self {
            id: verified.id(),
            version: verified.version().to_string(),
            digest: *verified.digest(),
            tier: verified.tier(),
            signer: verified.signer().map(|signer| signer.label.as_str()),
            manifest: verified.manifest(),
            component_bytes: verified.bytes().len() as u64,
        }
    }

    fn principal(&self, tier: Tier) -> Principal {
        Principal::Component { plugin: self.id.clone(), digest: self.digest, tier }
    }

    fn denial(&self, refusal: Refusal) -> Denial {
        Denial {
            plugin: self.id.clone(),
            version: self.version.clone(),
            tier: self.tier,
            refusal: Box::new(refusal),
        }
    }
}

/// One scope that a component asks for, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The capability.
    pub capability: &'static str,
    /// The scope, for people; empty where the capability has none.
    pub scope: String,
    /// The component's own reason; not to be trusted.
    pub reason: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of something that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is granted.
    Granted {
        /// The policies that permit it.
        policies: Vec<String>,
        /// What less than asked is granted, where the operator offers less.
        narrowed: Option<String>,
    },
    /// It is refused, and the component with it.
    Refused(Denial),
}

/// What admission would say, without admitting anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The component; of an unverified one, what it calls itself.
    pub plugin: PluginId,
    /// Its version.
    pub version: String,
    /// Its tier.
    pub tier: Tier,
    /// Everything it asks for.
    pub asked: Vec<Asked>,
    /// Everything that refuses it, the scopes in `asked` included. Empty if it would be admitted.
    pub denials: Vec<Denial>,
    /// What it would be granted.
    pub grants: Grants,
    /// What each of its calls could use.
    pub limits: Limits,
    /// How tightly it would be confined.
    pub execution_tier: ExecutionTier,
    /// How its CPU would be bounded.
    pub meter: Meter,
}

/// Exactly the grants and limits that were decided for exactly these bytes. Made by [`admit`] only.
#[derive(Debug, Clone)]
pub struct Admitted {
    verified: Verified,
    grants: Grants,
    limits: Limits,
    execution_tier: ExecutionTier,
    meter: Meter,
}

/// Admits a component, with everything it needs or not at all.
///
/// # Errors
/// The first thing that policy, the offer or the tier refuses: the component itself, its size, a scope of a
/// capability in the order of the manifest's type, a limit.
pub fn admit(policy: &PolicySet, verified: Verified, offer: &Offer) -> Result<Admitted, Denial> {
    let Preview { denials, grants, limits, execution_tier, meter, .. } = preview(policy, &verified, offer);
    match denials.into_iter().next() {
        Some(denial) => Err(denial),
        None => Ok(Admitted { verified, grants, limits, execution_tier, meter }),
    }
}

/// What [`admit`] would say, with the reasons for everything.
pub fn preview(policy: &PolicySet, verified: &Verified, offer: &Offer) -> Preview {
    weigh(policy, &Subject::of(verified), offer)
}

impl Admitted {
    /// The component, and who vouches for it.
    pub const fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What it may reach.
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What each of its calls may use.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How tightly it is confined.
    pub const fn execution_tier(&self) -> ExecutionTier {
        self.execution_tier
    }

    /// How its CPU is bounded.
    pub const fn meter(&self) -> Meter {
        self.meter
    }

    /// The component as a caller.
    pub fn principal(&self) -> Principal {
        Subject::of(&self.verified).principal(self.verified.tier())
    }

    /// What its manifest says that one of its operations can break; none where it says nothing.
    pub fn declared_risk(&self, operation: &OperationName) -> Option<Risk> {
        Some(self.verified.manifest()?.operation(operation)?.risk)
    }

    /// Whose state it keeps: its id, or its digest if nobody vouches for the id, so that a component that
    /// calls itself `core:git` never sees what `core:git` stored.
    pub fn owner(&self) -> String {
        match self.verified.tier() {
            Tier::Unverified => format!("unverified/{}", self.verified.digest()),
            Tier::VerifiedCommunity | Tier::Official => self.verified.id().to_string(),
        }
    }
}

/// Weighs everything that a component asks. Admission and preview are both this function.
fn weigh(policy: &PolicySet, subject: &Subject<'_>, offer: &Offer) -> Preview {
    let row = policy.tiers.row(subject.tier);
    let mut weighing = Weighing {
        policy,
        subject,
        offer,
        asked: Vec::new(),
        denials: Vec::new(),
        grants: Grants::default(),
    };
    weighing.component(row.limits.component_bytes_max);
    match subject.manifest {
        Some(manifest) => weighing.manifest(manifest),
        None => weighing.no_manifest(),
    }
    let nothing = LimitsAsked::default();
    let asked = subject.manifest.map_or(&nothing, |manifest| &manifest.limits);
    let limits = weighing.limits(&row.limits, asked);
    let meter = if asked.fuel_max.is_some() || offer.count_fuel { Meter::EpochAndFuel } else { row.meter };
    Preview {
        plugin: subject.id.clone(),
        version: subject.version.clone(),
        tier: subject.tier,
        asked: weighing.asked,
        denials: weighing.denials,
        grants: weighing.grants,
        limits,
        execution_tier: offer
            .execution_tier_max
            .map_or(row.execution_tier, |maximum| row.execution_tier.min(maximum)),
        meter,
    }
}

struct Weighing<'a> {
    policy: &'a PolicySet,
    subject: &'a Subject<'a>,
    offer: &'a Offer,
    asked: Vec<Asked>,
    denials: Vec<Denial>,
    grants: Grants,
}

impl Weighing<'_> {
    /// The component as a whole: may it be loaded, is it small enough?
    fn component(&mut self, component_bytes_max: u64) {
        let subject = self.subject;
        let ask = |tier| {
            self.policy.asker.admit(&subject.principal(tier), subject.signer, subject.manifest.is_some())
        };
        let answer = ask(subject.tier);
        if !answer.allowed {
            let tier_min = higher(subject.tier).find(|tier| ask(*tier).allowed);
            self.denials.push(subject.denial(Refusal::Component { tier_min, answer }));
        }
        let (bytes, maximum) = (subject.component_bytes, component_bytes_max);
        if bytes > maximum {
            self.denials.push(subject.denial(Refusal::Size { bytes, maximum }));
        }
    }

    fn manifest(&mut self, manifest: &Manifest) {
        let wanted = &manifest.capabilities;
        if let Some(log) = &wanted.log {
            self.grants.log = self.plain("log", &log.reason);
        }
        if let Some(stream) = &wanted.stream {
            self.grants.stream = self.plain("stream", &stream.reason);
        }
        if let Some(kv) = &wanted.kv {
            self.grants.kv = self.plain("kv", &kv.reason);
        }
        if let Some(config) = &wanted.config {
            let mut values = BTreeMap::new();
            for key in &config.keys {
                let scope = Scope { capability: "config", key: Some(key), ..Scope::default() };
                let granted = self.scope(scope, key.clone(), &config.reason, None);
                if let (true, Some(value)) = (granted, self.offer.config.get(key)) {
                    values.insert(key.clone(), value.clone());
                }
            }
            self.grants.config = Some(values);
        }
        if let Some(process) = &wanted.process {
            for pattern in &process.commands {
                let scope = Scope { capability: "process", command: Some(pattern), ..Scope::default() };
                let text = command_scope(pattern);
                if self.scope(scope, text, &process.reason, None) {
                    self.grants.commands.push(pattern.clone());
                }
            }
        }
        if let Some(filesystem) = &wanted.filesystem {
            for folder in &filesystem.folders {
                self.folder(&folder.name, folder.access, &filesystem.reason);
            }
        }
        self.egress(wanted);
        if let Some(tools) = &wanted.tools {
            let mut granted: Vec<OperationPattern> = Vec::new();
            for pattern in &tools.operations {
                let scope =
                    Scope { capability: "tools", operations: Some(pattern.as_str()), ..Scope::default() };
                if self.scope(scope, pattern.to_string(), &tools.reason, None) {
                    granted.push(pattern.clone());
                }
            }
            self.grants = std::mem::take(&mut self.grants).with_operations(granted);
        }
    }

    /// A component that was not written for Loong asks for nothing, so it gets only the folders that a
    /// person named for it. (What else it imports without being able to ask, `loong-trust` has refused.)
    fn no_manifest(&mut self) {
        let named = self.offer.folders.iter().filter(|(_, folder)| folder.by_flag);
        for (name, folder) in named {
            self.folder(name, folder.access, "named on the command line");
        }
    }

    fn folder(&mut self, name: &str, access: Access, reason: &str) {
        let Some(offered) = self.offer.folders.get(name) else {
            let denial = self.subject.denial(Refusal::Folder { name: name.to_owned(), access });
            self.refused("filesystem", folder_scope(name, access), reason, denial);
            return;
        };
        // The operator's folder, opened no further than both sides say.
        let granted = access.min(offered.access);
        let narrowed = (granted != access).then(|| folder_scope(name, granted));
        let scope = Scope {
            capability: "filesystem",
            offered: offered.by_flag,
            folder: Some(name),
            write: Some(granted == Access::Write),
            ..Scope::default()
        };
        if self.scope(scope, folder_scope(name, access), reason, narrowed) {
            let grant = FolderGrant { name: name.to_owned(), host: offered.host.clone(), access: granted };
            match self.grants.folders.iter_mut().find(|folder| folder.name == name) {
                Some(earlier) => earlier.access = earlier.access.max(granted),
                None => self.grants.folders.push(grant),
            }
        }
    }

    fn plain(&mut self, capability: &'static str, reason: &str) -> bool {
        self.scope(Scope { capability, ..Scope::default() }, String::new(), reason, None)
    }

    /// Weighs one scope and notes the outcome.
    fn scope(&mut self, mut scope: Scope<'_>, text: String, reason: &str, narrowed: Option<String>) -> bool {
        let subject = self.subject;
        let ask = |tier, scope: &Scope<'_>| self.policy.asker.grant(&subject.principal(tier), scope);
        scope.offered |= self.offer.allow.contains(scope.capability);
        let answer = ask(subject.tier, &scope);
        if answer.allowed {
            let outcome = Outcome::Granted { policies: answer.policies, narrowed };
            let capability = scope.capability;
            self.asked.push(Asked { capability, scope: text, reason: reason.to_owned(), outcome });
            return true;
        }
        let tier_min = higher(subject.tier).find(|tier| ask(*tier, &scope).allowed);
        let capability = scope.capability;
        let offer_helps = !std::mem::replace(&mut scope.offered, true) && ask(subject.tier, &scope).allowed;
        let denial = subject.denial(Refusal::Capability {
            capability,
            scope: text.clone(),
            offer_helps,
            tier_min,
            answer,
        });
        self.refused(capability, text, reason, denial);
        false
    }

    /// Notes that nothing is granted yet, because the operator has not said what.
    fn not_set(&mut self, capability: &'static str, scope: String, reason: &str) {
        let outcome = Outcome::Granted { policies: Vec::new(), narrowed: Some(egress::NOT_SET.to_owned()) };
        self.asked.push(Asked { capability, scope, reason: reason.to_owned(), outcome });
    }

    fn refused(&mut self, capability: &'static str, scope: String, reason: &str, denial: Denial) {
        self.denials.push(denial.clone());
        let outcome = Outcome::Refused(denial);
        self.asked.push(Asked { capability, scope, reason: reason.to_owned(), outcome });
    }

    /// The tier's limits, lowered to what was asked.
    fn limits(&mut self, tier: &Limits, asked: &LimitsAsked) -> Limits {
        let mut limits = tier.clone();
        let LimitsAsked {
            deadline_ms,
            fuel_max,
            cpu_ms_max,
            run_cpu_ms_max,
            minute_cpu_ms_max,
            memory_bytes_max,
            output_bytes_max,
            processes_max,
            requests_max,
            request_bytes_max,
            response_bytes_max,
        } = asked;
        for (limit, asked, effective) in [
            ("deadline_ms", deadline_ms, &mut limits.deadline_ms),
            ("fuel_max", fuel_max, &mut limits.fuel_max),
            ("cpu_ms_max", cpu_ms_max, &mut limits.cpu_ms_max),
            ("run_cpu_ms_max", run_cpu_ms_max, &mut limits.run_cpu_ms_max),
            ("minute_cpu_ms_max", minute_cpu_ms_max, &mut limits.minute_cpu_ms_max),
            ("memory_bytes_max", memory_bytes_max, &mut limits.memory_bytes_max),
            ("output_bytes_max", output_bytes_max, &mut limits.output_bytes_max),
            ("request_bytes_max", request_bytes_max, &mut limits.request_bytes_max),
            ("response_bytes_max", response_bytes_max, &mut limits.response_bytes_max),
        ] {
            if let Some(asked) = *asked {
                self.limit(limit, asked, *effective);
                *effective = asked.min(*effective);
            }
        }
        for (limit, asked, effective) in [
            ("processes_max", processes_max, &mut limits.processes_max),
            ("requests_max", requests_max, &mut limits.requests_max),
        ] {
            if let Some(asked) = *asked {
                self.limit(limit, u64::from(asked), u64::from(*effective));
                *effective = asked.min(*effective);
            }
        }
        limits
    }

    fn limit(&mut self, limit: &'static str, asked: u64, maximum: u64) {
        if asked > maximum {
            self.denials.push(self.subject.denial(Refusal::Limit { limit, asked, maximum }));
        }
    }
}

fn higher(tier: Tier) -> impl Iterator<Item = Tier> {
    Tier::ALL.into_iter().filter(move |other| *other > tier)
}

/// Everything that the pattern opens, for people.
fn command_scope(pattern: &CommandPattern) -> String {
    let mut scope = pattern.command.clone();
    if !pattern.arguments.is_empty() {
        scope = format!("{scope} {}", quoted(&pattern.arguments));
    }
    if !pattern.options.is_empty() {
        scope = format!("{scope}, options {}", pattern.options.join(" "));
    }
    if pattern.operands_max > 0 {
        scope = format!("{scope}, operands {}", pattern.operands_max);
    }
    for (name, value) in &pattern.environment {
        scope = format!("{scope}, {name}={}", quoted(std::slice::from_ref(value)));
    }
    scope
}

fn folder_scope(name: &str, access: Access) -> String {
    format!("{name}, {}", access.as_str())
}

mod egress;

#[cfg(test)]
mod tests;
