//! Tokens: what a caller may do within one run. A token never leaves the host, so it is no secret; it is
//! the host's own note of who may do what until when, and a narrower one is all that can be made of it.

use std::sync::Arc;

use loong_manifest::{Code, Digest, OperationName, OperationPattern, PluginId, canonical};

use crate::Principal;

/// What one holder may call within one run. A component's token is good for exactly these bytes at exactly
/// this tier, and with that for their namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    run: Arc<str>,
    holder: Principal,
    /// One layer for every holder since the person; an operation has to be covered in each of them, so a
    /// layer more can only narrow.
    layers: Vec<Arc<[OperationPattern]>>,
    /// Ids of the tokens that this one was made of, the person's first: revoking one of them revokes this one.
    lineage: Vec<Arc<str>>,
    /// What the person called first: outside of what that does, the token is good for nothing.
    pack: Option<PluginId>,
    generation: u64,
    expires_ms: u64,
}

/// What a token is presented for. Everything in here is known to the host; nothing is the caller's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse<'a> {
    /// The run in which the call is made.
    pub run: &'a str,
    /// Who makes it.
    pub holder: &'a Principal,
    /// What the person called first, on the way to this call; none for a call by the person.
    pub pack: Option<&'a PluginId>,
    /// What is called.
    pub operation: &'a OperationName,
    /// The generation of tokens that is in force. Raising it revokes every earlier token.
    pub generation: u64,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenDenial {
    /// It was issued in another run.
    #[error("the token is of another run")]
    Run,
    /// It was issued for what another pack does.
    #[error("the token is of another pack")]
    Pack,
    /// Somebody else holds it.
    #[error("the token was issued to another holder")]
    Holder,
    /// It claims a generation that is not in force yet.
    #[error("the token is of generation {generation}, but {current} is in force")]
    Generation {
        /// The token's.
        generation: u64,
        /// The one in force.
        current: u64,
    },
    /// Its generation was revoked.
    #[error("the token is of generation {generation}, which was revoked")]
    Revoked {
        /// The token's.
        generation: u64,
    },
    /// It is past its expiry.
    #[error("the token expired {late_ms} ms ago")]
    Expired {
        /// For how long, in milliseconds; 0 at the very moment.
        late_ms: u64,
    },
    /// It does not cover the operation.
    #[error("the token does not cover the operation")]
    Operation,
}

impl TokenDenial {
    /// The public code.
    pub const fn code(self) -> Code {
        match self {
            Self::Run | Self::Pack | Self::Holder | Self::Generation { .. } | Self::Operation => {
                Code::TokenInvalid
            }
            Self::Revoked { .. } => Code::TokenRevoked,
            Self::Expired { .. } => Code::TokenExpired,
        }
    }
}

impl Token {
    /// The token with which a run begins: a person may call everything until it expires. What is allowed
    /// is for policies to say.
    pub fn issue(run: &str, generation: u64, expires_ms: u64) -> Self {
        Self {
            run: run.into(),
            holder: Principal::Person,
            layers: Vec::new(),
            lineage: Vec::new(),
            pack: None,
            generation,
            expires_ms,
        }
    }

    /// The token of a component that this token's holder calls: of the same run and generation, good for no
    /// operation that this one is not good for, and not for longer.
    #[must_use]
    pub fn attenuate(
        &self,
        callee: &Principal,
        operations: &Arc<[OperationPattern]>,
        expires_ms: u64,
    ) -> Self {
        let mut layers = self.layers.clone();
        if !layers.iter().any(|layer| Arc::ptr_eq(layer, operations)) {
            layers.push(Arc::clone(operations));
        }
        let mut lineage = self.lineage.clone();
        lineage.push(self.id().into());
        let first = match callee {
            Principal::Component { plugin, .. } => Some(plugin),
            Principal::Person => None,
        };
        Self {
            run: Arc::clone(&self.run),
            holder: callee.clone(),
            layers,
            lineage,
            pack: self.pack.as_ref().or(first).cloned(),
            generation: self.generation,
            expires_ms: self.expires_ms.min(expires_ms),
        }
    }

    /// Whether the token is good for this use.
    pub fn check(&self, use_of: &TokenUse<'_>) -> Result<(), TokenDenial> {
        let generation = self.generation;
        if *self.run != *use_of.run {
            return Err(TokenDenial::Run);
        }
        if self.holder != *use_of.holder {
            return Err(TokenDenial::Holder);
        }
        if self.pack.as_ref() != use_of.pack {
            return Err(TokenDenial::Pack);
        }
        if generation < use_of.generation {
            return Err(TokenDenial::Revoked { generation });
        }
        if generation > use_of.generation {
            return Err(TokenDenial::Generation { generation, current: use_of.generation });
        }
        if use_of.now_ms >= self.expires_ms {
            return Err(TokenDenial::Expired { late_ms: use_of.now_ms - self.expires_ms });
        }
        if !self.covers(use_of.operation) {
            return Err(TokenDenial::Operation);
        }
        Ok(())
    }

    /// Whether the operation is within the token's reach.
    pub fn covers(&self, operation: &OperationName) -> bool {
        self.layers.iter().all(|layer| layer.iter().any(|pattern| pattern.covers(operation)))
    }

    /// Ids of the tokens that this one was made of, the person's first.
    pub fn lineage(&self) -> &[Arc<str>] {
        &self.lineage
    }

    /// The run it is for.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The generation it belongs to.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Who may use it.
    pub const fn holder(&self) -> &Principal {
        &self.holder
    }

    /// When it ends, in milliseconds since the Unix epoch.
    pub const fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// A name for records: equal tokens have the same, different tokens different ones.
    pub fn id(&self) -> String {
        let mut bytes = b"loong.token/1".to_vec();
        let mut add = |part: &[u8]| canonical::part(&mut bytes, part);
        add(self.run.as_bytes());
        match &self.holder {
            Principal::Person => add(b"person"),
            Principal::Component { plugin, digest, tier } => {
                add(b"component");
                add(plugin.to_string().as_bytes());
                add(digest.as_bytes());
                add(tier.as_str().as_bytes());
            }
        }
        add(self.pack.as_ref().map(ToString::to_string).unwrap_or_default().as_bytes());
        add(&self.generation.to_be_bytes());
        add(&self.expires_ms.to_be_bytes());
        for layer in &self.layers {
            add(&(layer.len() as u64).to_be_bytes());
            for pattern in layer.iter() {
                add(pattern.as_str().as_bytes());
            }
        }
        Digest::of(&bytes).to_hex().chars().take(32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loong_manifest::Tier;
    use proptest::prelude::*;

    fn component(id: &str) -> Principal {
        Principal::Component {
            plugin: id.parse().unwrap(),
            digest: Digest::of(id.as_bytes()),
            tier: Tier::Official,
        }
    }

    fn patterns(texts: &[&str]) -> Arc<[OperationPattern]> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn pack() -> Token {
        Token::issue("r1", 3, 1_000).attenuate(&component("core:pack"), &patterns(&["core:git/*"]), 500)
    }

    #[track_caller]
    fn check(change: impl Fn(&mut TokenUse<'_>), expected: &str) {
        let (holder, operation) = (component("core:pack"), "core:git/git@0.1.0#log".parse().unwrap());
        let first: PluginId = "core:pack".parse().unwrap();
        let mut use_of = TokenUse {
            run: "r1",
            holder: &holder,
            pack: Some(&first),
            operation: &operation,
            generation: 3,
            now_ms: 499,
        };
        change(&mut use_of);
        let said = pack()
            .check(&use_of)
            .map_or_else(|denial| format!("{}: {denial}", denial.code()), |()| "good".to_owned());
        assert_eq!(said, expected);
    }

    #[test]
    fn is_good_for_its_run_holder_generation_time_and_operations() {
        check(|_| {}, "good");
        check(|use_of| use_of.run = "r2", "token_invalid: the token is of another run");
        check(|use_of| use_of.pack = None, "token_invalid: the token is of another pack");
        check(
            |use_of| use_of.generation = 4,
            "token_revoked: the token is of generation 3, which was revoked",
        );
        check(
            |use_of| use_of.generation = 2,
            "token_invalid: the token is of generation 3, but 2 is in force",
        );
        check(|use_of| use_of.now_ms = 500, "token_expired: the token expired 0 ms ago");
        check(|use_of| use_of.now_ms = 750, "token_expired: the token expired 250 ms ago");
    }

    #[test]
    fn is_good_for_no_other_holder() {
        let operation = "core:git/git@0.1.0#log".parse().unwrap();
        let Principal::Component { plugin, digest, tier } = component("core:pack") else { unreachable!() };
        let others = [
            Principal::Person,
            component("acme:pack"),
            Principal::Component { plugin: plugin.clone(), digest: Digest::of(b"other"), tier },
            Principal::Component { plugin, digest, tier: Tier::Unverified },
        ];
        for holder in &others {
            let use_of =
                TokenUse { run: "r1", holder, pack: None, operation: &operation, generation: 3, now_ms: 0 };
            assert_eq!(pack().check(&use_of), Err(TokenDenial::Holder), "{holder:?}");
        }
    }

    #[test]
    fn is_good_for_no_operation_outside_its_patterns() {
        let (holder, operation) = (component("core:pack"), "core:file/file@0.1.0#read".parse().unwrap());
        let use_of = TokenUse {
            run: "r1",
            holder: &holder,
            pack: Some(&"core:pack".parse().unwrap()),
            operation: &operation,
            generation: 3,
            now_ms: 0,
        };
        assert_eq!(pack().check(&use_of), Err(TokenDenial::Operation));
        assert_eq!(TokenDenial::Operation.code(), Code::TokenInvalid);
    }

    #[test]
    fn a_callee_gets_the_intersection_and_never_more_time() {
        let everything = pack().attenuate(&component("core:git"), &patterns(&["*"]), u64::MAX);
        assert_eq!(everything.expires_ms(), 500);
        assert!(everything.covers(&"core:git/git#log".parse().unwrap()));
        assert!(!everything.covers(&"core:file/file#read".parse().unwrap()));
        let nothing = pack().attenuate(&component("core:git"), &patterns(&[]), 400);
        assert!(!nothing.covers(&"core:git/git#log".parse().unwrap()));
    }

    #[test]
    fn ids_differ_where_tokens_do() {
        let tokens = [
            pack(),
            Token::issue("r1", 3, 1_000),
            Token::issue("r1", 3, 1_001),
            Token::issue("r1", 4, 1_000),
            Token::issue("r2", 3, 1_000),
            pack().attenuate(&component("core:git"), &patterns(&["a:b/c", "d:e/f"]), 500),
            pack().attenuate(&component("core:git"), &patterns(&["a:b/c"]), 500),
        ];
        let ids: std::collections::BTreeSet<String> = tokens.iter().map(Token::id).collect();
        assert_eq!(ids.len(), tokens.len());
        assert_eq!(pack().id(), pack().id());
    }

    fn any_patterns() -> impl Strategy<Value = Arc<[OperationPattern]>> {
        let pattern = prop::sample::select(vec!["*", "a:*", "a:b/*", "a:b/c", "a:b/c#x", "*#x", "b:b/c#y"]);
        prop::collection::vec(pattern, 0..4).prop_map(|texts| patterns(&texts))
    }

    proptest! {
        #[test]
        fn attenuating_never_widens(
            chain in prop::collection::vec((any_patterns(), 0..2_000_u64), 1..5),
            operation in prop::sample::select(vec!["a:b/c#x", "a:b/c#y", "a:b/d#x", "b:b/c#x", "b:b/c#y", "#x"]),
            now_ms in 0..2_000_u64,
        ) {
            let operation = operation.parse().unwrap();
            let good = |token: &Token| {
                token.check(&TokenUse { run: "r", holder: token.holder(), pack: token.pack.as_ref(), operation: &operation, generation: 0, now_ms })
                    .is_ok()
            };
            let mut token = Token::issue("r", 0, 1_000);
            for (index, (patterns, expires_ms)) in chain.iter().enumerate() {
                let narrower = token.attenuate(&component(&format!("c:c{index}")), patterns, *expires_ms);
                prop_assert!(!good(&narrower) || good(&token));
                // And it holds what the layer itself says.
                let covered = patterns.iter().any(|pattern| pattern.covers(&operation));
                prop_assert_eq!(good(&narrower), good(&token) && covered && now_ms < *expires_ms);
                token = narrower;
            }
        }
    }
}
