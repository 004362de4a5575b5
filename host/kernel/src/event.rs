//! What is written down: one typed event for everything that decides, changes or ends something.

use loong_manifest::{Code, Confinement, Digest, OperationName, PluginId, Risk, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod asked;
mod facets;
mod kind;
mod phases;

pub use asked::{Asked, Review};
pub use facets::{Facets, Severity, Triage};
pub use kind::EventKind;
pub use phases::{ApprovalEnd, PluginPhase, SinkPhase};

/// One entry of the audit log, before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// A run began.
    RunStarted {
        /// The run.
        run: String,
        /// What was asked for, as a person would name it.
        request: String,
        /// Digest of the policies in force.
        policy: Digest,
    },
    /// A run that had waited for a person goes on. What it did before is not done again.
    RunResumed {
        /// The run.
        run: String,
        /// Digest of the policies in force.
        policy: Digest,
        /// Outcomes of its earlier calls and effects that are taken from its journal.
        journaled: u64,
    },
    /// A run ended.
    RunFinished {
        /// The run.
        run: String,
        /// Calls made in it.
        calls: u64,
        /// Calls refused in it.
        denied: u64,
        /// The code of the fault it ended with; none when it succeeded.
        code: Option<Code>,
    },
    /// A component's signature, or the lack of one, gave it its tier.
    PluginVerified {
        /// The run it was verified for, if for one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Its version.
        version: String,
        /// Digest of the component.
        digest: Digest,
        /// Its tier.
        tier: Tier,
        /// The lowest tier that was asked for.
        tier_requested: Tier,
        /// Id of the key that signed it, if one that the trust root names.
        key: Option<String>,
    },
    /// Policy granted a component what it needs.
    PluginAdmitted {
        /// The run it was admitted for, if for one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Digest of the component.
        digest: Digest,
        /// Its tier.
        tier: Tier,
        /// Names of the capabilities that were granted.
        grants: Vec<String>,
    },
    /// A component passed verification and admission and was loaded.
    PluginLoaded {
        /// The run it was loaded for, if for one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Its version.
        version: String,
        /// Digest of the component.
        digest: Digest,
        /// Its tier.
        tier: Tier,
        /// Id of the key that signed it, if one that the trust root names.
        key: Option<String>,
        /// Names of the capabilities that were granted.
        grants: Vec<String>,
        /// What confines its calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confinement: Option<Confinement>,
    },
    /// A plugin took the place of another version of itself.
    PluginSwapped {
        /// The run it was swapped in, if in one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Its version now.
        version: String,
        /// Digest of the component that was active.
        before: Digest,
        /// Digest of the component that is active now.
        digest: Digest,
        /// Its tier.
        tier: Tier,
    },
    /// A plugin is active no longer.
    PluginUnloaded {
        /// The run it was unloaded in, if in one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Digest of the component.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// A plugin stands otherwise than before: it failed too often, recovered, or was looked at.
    PluginState {
        /// The run in which it showed, if in one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Digest of the component.
        digest: Digest,
        /// How it stands now.
        state: PluginPhase,
        /// Why.
        reason: Option<String>,
    },
    /// A component was scanned before it was loaded.
    ScanEvaluated {
        /// The run it was scanned for, if for one.
        run: Option<String>,
        /// The plugin.
        plugin: PluginId,
        /// Digest of the component.
        digest: Digest,
        /// Its tier.
        tier: Tier,
        /// How many findings there are of high severity.
        high: u64,
        /// How many of medium severity.
        medium: u64,
        /// How many of low severity.
        low: u64,
        /// Whether it was refused because of them.
        blocked: bool,
        /// The kinds of findings, sorted.
        categories: Vec<String>,
        /// Ids of the findings, sorted; the same finding has the same id on every machine.
        findings: Vec<String>,
    },
    /// A component was refused before anything of it ran.
    PluginRefused {
        /// The run it was wanted for, if for one.
        run: Option<String>,
        /// The plugin, or the file's name where it is not known.
        plugin: String,
        /// Digest of the file.
        digest: Option<Digest>,
        /// Why, as a code.
        code: Code,
        /// Why, in words.
        reason: String,
    },
    /// A token was issued for a run or for a nested call.
    TokenIssued {
        /// The run.
        run: String,
        /// The token's id.
        token: String,
        /// Whom it is for: `person` or a plugin id.
        holder: String,
        /// When it expires, in milliseconds since the Unix epoch.
        expires_ms: u64,
        /// The generation of tokens it belongs to.
        #[serde(default)]
        generation: u64,
    },
    /// Tokens were revoked. Exactly one of `run`, `token`, `generation` and `key` says which.
    TokenRevoked {
        /// Every token of this run, which was cancelled.
        run: Option<String>,
        /// The token.
        token: Option<String>,
        /// Every token of an earlier generation than this one.
        generation: Option<u64>,
        /// Every token of a component that this key signed.
        key: Option<String>,
        /// Who revoked, or why.
        reason: String,
    },
    /// A call was decided, before anything of it was executed.
    Decision {
        /// The run.
        run: String,
        /// The call.
        call: String,
        /// The call that made this one.
        parent: Option<String>,
        /// The caller's token.
        token: String,
        /// `person` or a plugin id.
        caller: String,
        /// Digest of the calling component.
        caller_digest: Option<Digest>,
        /// The operation; as it was given where it does not exist.
        operation: String,
        /// The plugin that offers it.
        plugin: Option<PluginId>,
        /// Digest of that component.
        digest: Option<Digest>,
        /// Tier of that component.
        tier: Option<Tier>,
        /// Risk of the operation.
        risk: Option<Risk>,
        /// What was decided.
        outcome: Outcome,
        /// Why it was refused, as a code.
        code: Option<Code>,
        /// The policies that decided.
        policies: Vec<String>,
        /// How many calls it is nested in.
        depth: u32,
        /// What the person called first in this run: the pack, if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pack: Option<PluginId>,
        /// What raised the risk above what the manifest says.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        raised: Vec<String>,
        /// What policy extensions said, in the order in which they were asked, unless they abstained.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reviews: Vec<Review>,
        /// The approval that allowed it, or that it waits for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<String>,
        /// What else policies were asked by, so that others can be asked the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Asked>,
    },
    /// A call that was allowed begins.
    CallStarted {
        /// The run.
        run: String,
        /// The call.
        call: String,
        /// The operation.
        operation: OperationName,
        /// The plugin that offers it.
        plugin: PluginId,
        /// Digest of that component.
        digest: Digest,
        /// Digest of the arguments, where it was made before the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<Digest>,
        /// The arguments as JSON, where policy says that they are recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments_json: Option<String>,
    },
    /// A call that was allowed ended.
    CallFinished {
        /// The run.
        run: String,
        /// The call.
        call: String,
        /// The operation.
        operation: OperationName,
        /// The code of the fault it ended with; none when it succeeded.
        code: Option<Code>,
        /// What it used.
        usage: Usage,
        /// Digest of the arguments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<Digest>,
        /// Digest of the result, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Digest>,
        /// Whether the outcome was taken from the run's journal and nothing was executed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        journaled: bool,
    },
    /// A plugin used a capability on something outside, or was refused to. Written before the effect.
    Effect {
        /// The run.
        run: String,
        /// The call in which it happened.
        call: String,
        /// The plugin.
        plugin: PluginId,
        /// The capability.
        capability: String,
        /// On what: a command, a key, a folder; never contents.
        target: String,
        /// What was decided.
        outcome: Outcome,
        /// Why it was refused, as a code.
        code: Option<Code>,
        /// What policy extensions said, in the order in which they were asked, unless they abstained.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reviews: Vec<Review>,
        /// What confines a program that was started, as that program itself reported before it ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confinement: Option<Confinement>,
    },
    /// The host put a secret into a request. The value is never recorded.
    SecretUsed {
        /// The run.
        run: String,
        /// The call in which it was used.
        call: String,
        /// The plugin whose request it is.
        plugin: PluginId,
        /// The secret's name.
        secret: String,
        /// The host that it was sent to.
        host: String,
    },
    /// Tools were searched for.
    SearchEvaluated {
        /// The run.
        run: String,
        /// The call in which the search was made; none for a person's search.
        call: Option<String>,
        /// `person` or a plugin id.
        caller: String,
        /// The words.
        query: String,
        /// The tiers that the query asks for; empty where it does not care.
        tiers_requested: Vec<Tier>,
        /// The tiers that were looked through.
        tiers_effective: Vec<Tier>,
        /// How many tools were found.
        returned: u64,
        /// How many were left out because of their tier.
        filtered: u64,
        /// The first of them.
        top: Vec<String>,
    },
    /// A call waits for a person.
    ApprovalRequested {
        /// The run.
        run: String,
        /// The call.
        call: String,
        /// The request.
        approval: String,
        /// The operation.
        operation: String,
        /// The plugin that offers it.
        plugin: PluginId,
        /// Digest of that component.
        digest: Digest,
        /// Tier of that component.
        tier: Tier,
        /// `person` or a plugin id.
        caller: String,
        /// The risk that was decided by.
        risk: Risk,
        /// What the approval is bound to.
        binding: Digest,
        /// When the request expires, in milliseconds since the Unix epoch.
        expires_ms: u64,
    },
    /// A person decided: about a request, or in advance.
    ApprovalDecided {
        /// The run that waits, if it is one request.
        run: Option<String>,
        /// The request or the grant.
        approval: String,
        /// What was decided: `allow` or `deny`.
        outcome: Outcome,
        /// How far it reaches, such as `once` or `core:file/*, 3 uses, until …`.
        scope: String,
        /// By which way: `terminal`, `command` or `grant file signed by KEY`.
        by: String,
    },
    /// A call was allowed by an approval. Recorded with the decrement of its uses.
    ApprovalUsed {
        /// The run.
        run: String,
        /// The call.
        call: String,
        /// The request or the grant.
        approval: String,
        /// How many uses are left; none where they are not counted.
        uses_left: Option<u64>,
    },
    /// An approval can be used no longer.
    ApprovalExpired {
        /// The run that waited, if it was one request.
        run: Option<String>,
        /// The request or the grant.
        approval: String,
        /// Why.
        reason: ApprovalEnd,
    },
    /// Other settings are in force than in the last run.
    ConfigChanged {
        /// Digest of the settings before; none the first time.
        before: Option<Digest>,
        /// Digest of the settings now.
        after: Digest,
    },
    /// Other policies are in force than in the last run.
    PolicyChanged {
        /// Digest of the policies before; none the first time.
        before: Option<Digest>,
        /// Digest of the policies now.
        after: Digest,
    },
    /// Other plugins are installed than before.
    CatalogChanged {
        /// The generation of the installation that holds now.
        generation: u64,
        /// Digest of the lock file before; none the first time.
        before: Option<Digest>,
        /// Digest of the lock file now.
        after: Digest,
        /// What a person asked for, as words of a command line.
        command: String,
        /// What changed, a line each: `+ID VERSION`, `-ID VERSION`, `ID VERSION → VERSION`.
        changes: Vec<String>,
    },
    /// The delivery to an audit sink began, failed, recovered or ended.
    SinkState {
        /// The sink.
        plugin: PluginId,
        /// What it does now.
        state: SinkPhase,
        /// The first record that it has not accepted.
        next: u64,
        /// What is wrong, if anything is.
        problem: Option<String>,
    },
    /// The oldest records were removed, as the retention policy says. The Merkle tree still proves them.
    AuditPruned {
        /// The first record that was removed.
        from: u64,
        /// The first record that was kept.
        until: u64,
        /// Root of the Merkle tree over all records before the first that was kept.
        root: Digest,
    },
    /// The clock of the machine went backwards. Records keep the later time.
    ClockWentBack {
        /// The time of the record before, in milliseconds since the Unix epoch.
        before_ms: u64,
        /// The time that the clock told.
        now_ms: u64,
    },
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may happen.
    Allow,
    /// It may not.
    Deny,
    /// It may once a person approved.
    NeedsApproval,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Wall-clock time, in microseconds.
    pub duration_us: u64,
    /// Fuel consumed; 0 where fuel is not counted.
    pub fuel: u64,
    /// CPU time of the guest and of what the host did for it on the same thread, in microseconds; without that of
    /// the calls it made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_us: u64,
    /// Largest sum of all linear memories, in bytes.
    pub memory_peak_bytes: u64,
    /// Bytes of log, standard output and standard error.
    pub output_bytes: u64,
    /// Bytes of the arguments, in the form in which they came.
    #[serde(default)]
    pub arguments_bytes: u64,
    /// Bytes of the result, in the form in which it was handed on.
    #[serde(default)]
    pub result_bytes: u64,
    /// Bytes sent to and received from other machines.
    #[serde(default)]
    pub egress_bytes: u64,
}

#[cfg(test)]
mod tests;
