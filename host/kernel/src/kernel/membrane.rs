//! What is there for a plugin: what it was granted, less the inside of other namespaces. Whatever else has a
//! name is to it as if nothing had.

use loong_manifest::Code;
use loong_policy::CallFacts;

use super::{Found, Kernel, decide};
use crate::{Active, Executor, Ledger, Offered, ResolveError};

/// Why a name leads a plugin nowhere: what is recorded. The plugin itself is not told.
pub(super) struct Hidden {
    /// Why, as a code.
    pub(super) code: Code,
    /// The policies that decided.
    pub(super) policies: Vec<String>,
}

impl<L: Ledger, E: Executor> Kernel<L, E> {
    /// What a plugin finds by a name. What others offer under the same name does not count, so nobody learns of
    /// it and nobody can stand in the way. A name that is hidden and one that nothing has take the same way.
    pub(super) fn found_by(
        &self,
        plugin: &Active<E::Plugin>,
        name: &str,
        depth: u32,
    ) -> Result<Found<E::Plugin>, Hidden> {
        let catalog = self.catalog();
        let granted = |operation: &Offered| plugin.grants.operation(&operation.name);
        let all = catalog.resolve(name);
        let seen = catalog.resolve_among(name, |callee, operation| {
            granted(operation) && self.sees(plugin, callee, operation, depth)
        });
        let hidden = |code| Hidden { code, policies: Vec::new() };
        match (seen, all) {
            (Ok(found), _) => Ok(found),
            (Err(ResolveError::Ambiguous(_)), _) => Err(hidden(Code::OperationAmbiguous)),
            (Err(ResolveError::Unknown), Err(ResolveError::Unknown)) => Err(hidden(Code::OperationUnknown)),
            (Err(ResolveError::Unknown), Ok((callee, operation))) if granted(&operation) => {
                let decision = self.policy().decide(&facts(plugin, &callee, &operation, depth));
                Err(Hidden { code: Code::PolicyDenied, policies: decision.policies })
            }
            (Err(ResolveError::Unknown), _) => Err(hidden(Code::CapabilityDenied)),
        }
    }

    /// Whether policies let a plugin know of an operation.
    pub(super) fn sees(
        &self,
        plugin: &Active<E::Plugin>,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        depth: u32,
    ) -> bool {
        !self.policy().hides(&facts(plugin, callee, operation, depth))
    }
}

fn facts<P>(plugin: &Active<P>, callee: &Active<P>, operation: &Offered, depth: u32) -> CallFacts {
    decide::facts(plugin.principal(), callee, operation, operation.risk, depth)
}
