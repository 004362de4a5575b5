//! The one place where facts become Cedar requests. Typed values in, an answer out; whatever goes wrong
//! on the way is a denial.

use std::collections::HashSet;

use cedar_policy::{
    Authorizer, Context, Decision as Cedar, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet as CedarSet, Request, RestrictedExpression as Value, Schema,
};

use loong_manifest::CommandPattern;

use crate::explain::Answer;
use crate::source::{PolicyError, Severity};
use crate::{CallFacts, Finding, Principal};

/// Cedar with one set of policies. Names of types and actions are parsed once.
#[derive(Debug)]
pub(crate) struct Asker {
    policies: CedarSet,
    authorizer: Authorizer,
    person: EntityUid,
    host: EntityUid,
    component: EntityTypeName,
    capability: EntityTypeName,
    operation: EntityTypeName,
    admit: EntityUid,
    grant: EntityUid,
    call: EntityUid,
}

/// One scope that a component asks for, as policies see it.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) capability: &'static str,
    pub(crate) offered: bool,
    pub(crate) command: Option<&'a CommandPattern>,
    pub(crate) folder: Option<&'a str>,
    pub(crate) write: Option<bool>,
    pub(crate) key: Option<&'a str>,
    pub(crate) operations: Option<&'a str>,
    pub(crate) to: Option<Destination<'a>>,
    pub(crate) secret: Option<&'a str>,
}

/// What a scope opens on another machine.
#[derive(Debug, Default)]
pub(crate) struct Destination<'a> {
    /// A name, `*.` and a name, or an address.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) scheme: Option<&'static str>,
    pub(crate) methods: &'a [String],
}

impl Asker {
    pub(crate) fn new(policies: CedarSet) -> Result<Self, PolicyError> {
        let name = |text: &str| text.parse::<EntityTypeName>().map_err(|error| broken(&error));
        let action = |id: &str| {
            Ok::<_, PolicyError>(EntityUid::from_type_name_and_id(name("Loong::Action")?, EntityId::new(id)))
        };
        Ok(Self {
            authorizer: Authorizer::new(),
            person: EntityUid::from_type_name_and_id(name("Loong::Person")?, EntityId::new("person")),
            host: EntityUid::from_type_name_and_id(name("Loong::Host")?, EntityId::new("host")),
            component: name("Loong::Component")?,
            capability: name("Loong::Capability")?,
            operation: name("Loong::Operation")?,
            admit: action("admit")?,
            grant: action("grant")?,
            call: action("call")?,
            policies,
        })
    }

    /// May this component be loaded?
    pub(crate) fn admit(&self, component: &Principal, signer: Option<&str>, manifest: bool) -> Answer {
        self.answer(self.admit_request(component, signer, manifest, None))
    }

    /// May it hold this scope of this capability?
    pub(crate) fn grant(&self, component: &Principal, scope: &Scope<'_>) -> Answer {
        self.answer(self.grant_request(component, scope, None))
    }

    /// May this operation be called?
    pub(crate) fn call(&self, facts: &CallFacts, approved: bool) -> Answer {
        self.answer(self.call_request(facts, approved, None))
    }

    fn answer(&self, request: Result<(Request, Entities), String>) -> Answer {
        let (request, entities) = match request {
            Ok(request) => request,
            Err(failed) => return Answer { allowed: false, policies: Vec::new(), failed: Some(failed) },
        };
        let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
        let said = response.diagnostics();
        let mut policies: Vec<String> = said.reason().map(ToString::to_string).collect();
        policies.sort_unstable();
        // Cedar leaves a policy out that fails. A forbid that fails must not open anything.
        let failed = said.errors().next().map(|error| loong_manifest::escape(&error.to_string()));
        Answer { allowed: response.decision() == Cedar::Allow && failed.is_none(), policies, failed }
    }

    pub(crate) fn admit_request(
        &self,
        component: &Principal,
        signer: Option<&str>,
        manifest: bool,
        schema: Option<&Schema>,
    ) -> Result<(Request, Entities), String> {
        let mut context =
            vec![pair("digest", digest_of(component)), pair("manifest", Value::new_bool(manifest))];
        context.extend(signer.map(|signer| pair("signer", text(signer))));
        let principal = self.principal(component)?;
        let host = Entity::new_no_attrs(self.host.clone(), HashSet::new());
        request(principal, &self.admit, host, context, schema)
    }

    pub(crate) fn grant_request(
        &self,
        component: &Principal,
        scope: &Scope<'_>,
        schema: Option<&Schema>,
    ) -> Result<(Request, Entities), String> {
        let mut context =
            vec![pair("digest", digest_of(component)), pair("offered", Value::new_bool(scope.offered))];
        let texts = [
            ("folder", scope.folder),
            ("key", scope.key),
            ("operations", scope.operations),
            ("secret", scope.secret),
            ("host", scope.to.as_ref().map(|to| to.host.as_str())),
            ("scheme", scope.to.as_ref().and_then(|to| to.scheme)),
        ];
        context.extend(texts.into_iter().filter_map(|(name, value)| Some(pair(name, text(value?)))));
        context.extend(scope.write.map(|write| pair("write", Value::new_bool(write))));
        if let Some(to) = &scope.to {
            context.extend(to.port.map(|port| pair("port", Value::new_long(port.into()))));
            if !to.methods.is_empty() {
                context.push(pair("methods", Value::new_set(to.methods.iter().map(|method| text(method)))));
            }
        }
        if let Some(pattern) = scope.command {
            context.extend([
                pair("command", text(&pattern.command)),
                pair("arguments", Value::new_string(quoted(&pattern.arguments))),
                pair("options", Value::new_set(pattern.options.iter().map(|option| text(option)))),
                pair("environment", Value::new_set(pattern.environment.keys().map(|name| text(name)))),
            ]);
        }
        let capability =
            EntityUid::from_type_name_and_id(self.capability.clone(), EntityId::new(scope.capability));
        let capability = Entity::new_no_attrs(capability, HashSet::new());
        request(self.principal(component)?, &self.grant, capability, context, schema)
    }

    pub(crate) fn call_request(
        &self,
        facts: &CallFacts,
        approved: bool,
        schema: Option<&Schema>,
    ) -> Result<(Request, Entities), String> {
        if let Some(unknown) = facts.facts.keys().find(|fact| !crate::FACTS.contains(&fact.as_str())) {
            return Err(format!("the host states a fact that policies do not know: {unknown}"));
        }
        let callee = Qualified::of(&facts.callee, facts.callee_tier);
        let name = facts.operation.unversioned();
        let id = EntityId::new(format!("{} {name}", callee.plugin));
        let attributes = [
            pair("name", text(&name)),
            pair("plugin", text(&callee.plugin)),
            pair("namespace", text(&callee.namespace)),
            pair("tier", Value::new_long(facts.callee_tier.rank())),
            pair("risk", Value::new_long(facts.risk.map_or(2, loong_manifest::Risk::rank))),
            pair("declared", Value::new_bool(facts.risk.is_some())),
            pair("pure", Value::new_bool(facts.callee_pure)),
        ];
        let operation = Entity::new(
            EntityUid::from_type_name_and_id(self.operation.clone(), id),
            attributes.into_iter().collect(),
            HashSet::new(),
        )
        .map_err(|error| error.to_string())?;
        let known = facts.facts.iter().map(|(name, value)| pair(name, text(value)));
        let context = vec![
            pair("approved", Value::new_bool(approved)),
            pair("depth", Value::new_long(i64::from(facts.depth))),
            pair("facts", Value::new_record(known).map_err(|error| error.to_string())?),
        ];
        request(self.principal(&facts.caller)?, &self.call, operation, context, schema)
    }

    fn principal(&self, principal: &Principal) -> Result<Entity, String> {
        let Principal::Component { plugin, tier, .. } = principal else {
            return Ok(Entity::new_no_attrs(self.person.clone(), HashSet::new()));
        };
        let named = Qualified::of(plugin, *tier);
        let attributes = [
            pair("plugin", text(&named.plugin)),
            pair("namespace", text(&named.namespace)),
            pair("tier", Value::new_long(tier.rank())),
        ];
        let uid = EntityUid::from_type_name_and_id(self.component.clone(), EntityId::new(&named.plugin));
        Entity::new(uid, attributes.into_iter().collect(), HashSet::new()).map_err(|error| error.to_string())
    }
}

/// Names as policies see them. What an unverified component calls itself is only a claim, so it is marked
/// as one; `/` is in no id, so a claim never equals a name that was proved.
pub(crate) struct Qualified {
    pub(crate) plugin: String,
    pub(crate) namespace: String,
}

impl Qualified {
    pub(crate) fn of(plugin: &loong_manifest::PluginId, tier: loong_manifest::Tier) -> Self {
        let mark = if tier == loong_manifest::Tier::Unverified { "unverified/" } else { "" };
        Self { plugin: format!("{mark}{plugin}"), namespace: format!("{mark}{}", plugin.publisher()) }
    }
}

fn request(
    principal: Entity,
    action: &EntityUid,
    resource: Entity,
    context: Vec<(String, Value)>,
    schema: Option<&Schema>,
) -> Result<(Request, Entities), String> {
    let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
    let request = Request::new(principal.uid(), action.clone(), resource.uid(), context, schema)
        .map_err(|error| error.to_string())?;
    let entities =
        Entities::from_entities([principal, resource], schema).map_err(|error| error.to_string())?;
    Ok((request, entities))
}

fn digest_of(principal: &Principal) -> Value {
    let digest = match principal {
        Principal::Component { digest, .. } => digest.to_string(),
        Principal::Person => String::new(),
    };
    Value::new_string(digest)
}

/// Words as a POSIX shell would read them back, so that no two lists of words read the same.
pub(crate) fn quoted(words: &[String]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    let quote = |word: &String| {
        if !word.is_empty() && word.bytes().all(plain) {
            return word.clone();
        }
        format!("'{}'", word.replace('\'', r"'\''"))
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn pair(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

fn text(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

fn broken(error: &dyn std::fmt::Display) -> PolicyError {
    PolicyError {
        first: Finding {
            file: "schema.cedarschema".to_owned(),
            line: 1,
            column: 1,
            severity: Severity::Error,
            message: error.to_string(),
        },
        more: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[track_caller]
    fn check(words: &[&str], expected: &str) {
        assert_eq!(quoted(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn quotes_words_so_that_no_two_lists_read_the_same() {
        check(&["log", "--format=%H", "HEAD~1"], "log --format=%H 'HEAD~1'");
        check(&["a b"], "'a b'");
        check(&["a", "b"], "a b");
        check(&["", "'"], r"'' ''\'''");
        check(&["*"], "'*'");
    }
}
