//! Which plugins are active, and which of them offers an operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use loong_manifest::{
    Confinement, Digest, InterfaceName, Limits, Meter, OperationName, PluginId, Risk, Tier,
};
use loong_policy::{Admitted, Grants, Principal};

use crate::standing::Traffic;

/// A loaded plugin, with everything the kernel decides from.
pub struct Active<P> {
    /// Its id.
    pub id: PluginId,
    /// Its version; `0.0.0` for a component without a manifest.
    pub version: String,
    /// Digest of the component.
    pub digest: Digest,
    /// Its tier.
    pub tier: Tier,
    /// Id of the key that signed it, if one that the trust root names.
    pub key: Option<String>,
    /// Whether a manifest says what its operations can break.
    pub declared: bool,
    /// What it was granted.
    pub grants: Grants,
    /// The settings that its manifest names.
    pub config_keys: Vec<String>,
    /// What each of its calls may use.
    pub limits: Limits,
    /// What confines it, in the engine.
    pub confinement: Confinement,
    /// What it offers.
    pub operations: Vec<Offered>,
    /// Its calls that are under way.
    pub traffic: Traffic,
    /// What the executor made of it.
    pub plugin: P,
}

/// One operation that a plugin offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// Its full name.
    pub name: OperationName,
    /// How much it can break.
    pub risk: Risk,
    /// What it does.
    pub doc: Option<String>,
    /// JSON Schema of its arguments; none for functions of contracts.
    pub input: Option<serde_json::Value>,
    /// JSON Schema of its result; none for functions of contracts.
    pub output: Option<serde_json::Value>,
    /// Whether it is a tool: a function of an interface that is no contract.
    pub is_tool: bool,
}

impl<P> Active<P> {
    /// The name that people use: the plugin's name and the function's.
    pub fn short_name(&self, operation: &Offered) -> String {
        format!("{}.{}", self.id.name(), operation.name.function)
    }

    /// The plugin as somebody who acts.
    pub fn principal(&self) -> Principal {
        Principal::Component { plugin: self.id.clone(), digest: self.digest, tier: self.tier }
    }

    /// Whose key-value space and other belongings are this plugin's. The id of an unverified component is only
    /// its own claim, so what it owns hangs on its bytes instead.
    pub fn owner(&self) -> PluginId {
        if self.tier == Tier::Unverified {
            let name = format!("x{}", self.digest.to_hex().get(..40).unwrap_or_default());
            PluginId::new("unsigned", &name).unwrap_or_else(|_| self.id.clone())
        } else {
            self.id.clone()
        }
    }

    /// Joins what was admitted with what the executor made of it.
    pub fn new(admitted: &Admitted, plugin: P) -> Self {
        let verified = admitted.verified();
        Self {
            id: verified.id().clone(),
            version: verified.version().to_string(),
            digest: *verified.digest(),
            tier: verified.tier(),
            key: verified.signer().map(|signer| signer.key_id.to_string()),
            declared: verified.manifest().is_some(),
            grants: admitted.grants().clone(),
            config_keys: verified
                .manifest()
                .and_then(|manifest| manifest.capabilities.config.as_ref())
                .map(|config| config.keys.clone())
                .unwrap_or_default(),
            limits: admitted.limits().clone(),
            confinement: in_the_engine(admitted),
            operations: verified
                .operations()
                .iter()
                .map(|operation| Offered {
                    name: operation.name.clone(),
                    risk: operation.risk,
                    doc: operation.doc.clone(),
                    input: operation.input.clone(),
                    output: operation.output.clone(),
                    is_tool: operation.is_tool,
                })
                .collect(),
            traffic: Traffic::default(),
            plugin,
        }
    }
}

/// What confines every component: the engine has these meters and this limit in any case.
fn in_the_engine(admitted: &Admitted) -> Confinement {
    let words: &[&str] = match admitted.meter() {
        Meter::Epoch => &["wasm", "memory", "epoch"],
        Meter::EpochAndFuel => &["wasm", "memory", "epoch", "fuel"],
    };
    Confinement {
        execution_tier: admitted.execution_tier(),
        enforced: words.iter().map(|&word| word.to_owned()).collect(),
        missing: Vec::new(),
    }
}

/// What is said of a tool to whoever searches.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ToolSummary {
    /// The name that people use.
    pub name: String,
    /// The full name.
    pub operation: OperationName,
    /// What it does.
    pub doc: Option<String>,
    /// How much it can break.
    pub risk: Risk,
    /// Tier of the plugin that offers it.
    pub tier: Tier,
    /// JSON Schema of its arguments.
    pub input: serde_json::Value,
}

/// Why a name does not lead to one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveError {
    /// Nothing has this name.
    Unknown,
    /// Several have it.
    Ambiguous(Vec<String>),
}

/// All active plugins. A snapshot: changing the set makes a new one.
pub struct Catalog<P> {
    plugins: BTreeMap<PluginId, Arc<Active<P>>>,
    /// Other versions of these, for those that were built for interfaces that only they offer.
    beside: Vec<Arc<Active<P>>>,
}

impl<P> Default for Catalog<P> {
    fn default() -> Self {
        Self { plugins: BTreeMap::new(), beside: Vec::new() }
    }
}

impl<P> Clone for Catalog<P> {
    fn clone(&self) -> Self {
        Self { plugins: self.plugins.clone(), beside: self.beside.clone() }
    }
}

impl<P> Catalog<P> {
    /// All active plugins in the order of their ids; of each the version that its id leads to.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Active<P>>> {
        self.plugins.values()
    }

    /// The plugin of this id.
    pub fn plugin(&self, id: &PluginId) -> Option<&Arc<Active<P>>> {
        self.plugins.get(id)
    }

    /// The catalog with one plugin more, or with that plugin replaced.
    pub fn with(&self, plugin: Arc<Active<P>>) -> Self {
        let mut plugins = self.plugins.clone();
        plugins.insert(plugin.id.clone(), plugin);
        Self { plugins, beside: self.beside.clone() }
    }

    /// The catalog with another version of a plugin beside the one that its id leads to.
    pub fn with_beside(&self, plugin: Arc<Active<P>>) -> Self {
        let mut beside = self.beside.clone();
        beside.retain(|other| other.digest != plugin.digest);
        beside.push(plugin);
        Self { plugins: self.plugins.clone(), beside }
    }

    /// The catalog without a component.
    pub fn without(&self, digest: &Digest) -> Self {
        let other = |plugin: &Arc<Active<P>>| plugin.digest != *digest;
        let mut plugins = self.plugins.clone();
        plugins.retain(|_, plugin| other(plugin));
        Self { plugins, beside: self.beside.iter().filter(|plugin| other(plugin)).cloned().collect() }
    }

    /// Everything that is active: the plugins, and other versions of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Active<P>>> {
        self.plugins.values().chain(&self.beside)
    }

    /// The plugins that export an interface an importer wants.
    pub fn offering(&self, wanted: &InterfaceName) -> Vec<&Arc<Active<P>>> {
        let offers = |operation: &Offered| {
            operation.name.interface.as_ref().is_some_and(|interface| interface.satisfies(wanted))
        };
        self.all().filter(|plugin| plugin.operations.iter().any(offers)).collect()
    }

    /// Finds an operation by its full name (`core:git/git@0.1.0#log`, the version may be absent or an older
    /// compatible one), by the name that people use (`git.log`), or by plugin id and function
    /// (`core:git.log`).
    pub fn resolve(&self, name: &str) -> Result<(Arc<Active<P>>, Offered), ResolveError> {
        self.resolve_among(name, |_, _| true)
    }

    /// The same among the operations that whoever asks may see.
    pub(crate) fn resolve_among<'a>(
        &'a self,
        name: &str,
        may_see: impl Fn(&Active<P>, &Offered) -> bool,
    ) -> Result<(Arc<Active<P>>, Offered), ResolveError> {
        let among = |plugins: &mut dyn Iterator<Item = &'a Arc<Active<P>>>| -> Vec<_> {
            plugins
                .flat_map(|plugin| plugin.operations.iter().map(move |operation| (plugin, operation)))
                .filter(|(plugin, operation)| answers(plugin, operation, name) && may_see(plugin, operation))
                .collect()
        };
        let mut found = among(&mut self.plugins.values());
        if found.is_empty() {
            found = among(&mut self.beside.iter());
        }
        match found.len() {
            0 => Err(ResolveError::Unknown),
            1 => found
                .pop()
                .map(|(plugin, operation)| (Arc::clone(plugin), operation.clone()))
                .ok_or(ResolveError::Unknown),
            _ => Err(ResolveError::Ambiguous(
                found
                    .iter()
                    .map(|(plugin, operation)| format!("{} of {}", operation.name, plugin.id))
                    .collect(),
            )),
        }
    }

    /// Tools whose name, text or plugin holds every word of the query; all tools when it is empty.
    pub fn search<'a>(
        &'a self,
        query: &str,
        may_see: impl Fn(&Active<P>, &Offered) -> bool + 'a,
    ) -> Vec<ToolSummary> {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let mut tools: Vec<ToolSummary> = Vec::new();
        for plugin in self.plugins.values() {
            for operation in plugin.operations.iter().filter(|operation| operation.is_tool) {
                let name = plugin.short_name(operation);
                let text =
                    format!("{name} {} {}", operation.name, operation.doc.as_deref().unwrap_or_default())
                        .to_lowercase();
                // Policies are asked last, and only about what was searched for.
                if words.iter().all(|word| text.contains(word)) && may_see(plugin, operation) {
                    tools.push(ToolSummary {
                        name,
                        operation: operation.name.clone(),
                        doc: operation.doc.clone(),
                        risk: operation.risk,
                        tier: plugin.tier,
                        input: operation.input.clone().unwrap_or_default(),
                    });
                }
            }
        }
        tools
    }
}

fn answers<P>(plugin: &Active<P>, operation: &Offered, name: &str) -> bool {
    if let Some((interface, function)) = name.split_once('#') {
        if operation.name.function != function {
            return false;
        }
        return match &operation.name.interface {
            None => interface.is_empty(),
            Some(offered) => {
                offered.path() == interface
                    || interface.parse::<InterfaceName>().is_ok_and(|wanted| offered.satisfies(&wanted))
            }
        };
    }
    let Some(plugin_name) =
        name.strip_suffix(operation.name.function.as_str()).and_then(|rest| rest.strip_suffix('.'))
    else {
        return operation.name.interface.is_none() && operation.name.function == name;
    };
    plugin_name == plugin.id.name() || plugin_name == plugin.id.to_string()
}
