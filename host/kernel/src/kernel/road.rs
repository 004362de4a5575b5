//! The kernel as a running plugin reaches it.

use std::sync::Arc;

use loong_manifest::{Code, Confinement, Tier};
use tokio::task::JoinSet;

use super::{Call, Kernel};
use crate::executor::{Boxed, Within};
use crate::{Durability, Egress, Event, Executor, Fault, Ledger, Nested, Reach, Road, ToolSummary};

/// Tools of a search that are named in its record.
const TOP_MAX: usize = 5;
/// Longest query that is recorded, in characters.
const QUERY_MAX: usize = 300;

impl<L: Ledger, E: Executor> Road<E> for Kernel<L, E> {
    fn call(self: Arc<Self>, call: Call<E>) -> Boxed<'static, Result<E::Output, Fault>> {
        Box::pin(Self::call(self, call))
    }

    fn search<'a>(
        &'a self,
        nested: &'a Nested<E>,
        query: &'a str,
    ) -> Boxed<'a, Result<Vec<ToolSummary>, Fault>> {
        let caller = &nested.plugin;
        let query = Query::of(query);
        let all = self.catalog.load().search(&query.words, |callee, operation| {
            caller.grants.operation(&operation.name) && self.sees(caller, callee, operation, nested.depth + 1)
        });
        let found: Vec<ToolSummary> =
            all.iter().filter(|tool| query.looks_through(tool.tier)).cloned().collect();
        let event = Event::SearchEvaluated {
            run: nested.run.id().to_string(),
            call: Some(nested.call.clone()),
            caller: nested.plugin.id.to_string(),
            query: loong_manifest::escape(&query.text.chars().take(QUERY_MAX).collect::<String>()),
            tiers_effective: Tier::ALL.into_iter().filter(|tier| query.looks_through(*tier)).collect(),
            tiers_requested: query.tiers,
            returned: found.len() as u64,
            filtered: (all.len() - found.len()) as u64,
            top: found.iter().take(TOP_MAX).map(|tool| tool.operation.to_string()).collect(),
        };
        Box::pin(async move {
            self.append(event, Durability::Queued).await?;
            Ok(found)
        })
    }

    fn reach(
        self: Arc<Self>,
        within: Within<E>,
        reach: Reach,
        so_far: Egress,
        durability: Durability,
    ) -> Boxed<'static, Result<(), Fault>> {
        if !self.has_extensions() {
            return Box::pin(self.reviewed_reach(within, reach, so_far, durability));
        }
        // In a task of its own: a host function runs on the small stack of its guest, and an extension is a guest too.
        Box::pin(async move {
            let mut task = JoinSet::new();
            task.spawn(self.reviewed_reach(within, reach, so_far, durability));
            let lost = || Fault::Host { problem: "a review ended without an answer".to_owned() };
            task.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(lost()))
        })
    }

    fn record(&self, event: Event, durability: Durability) -> Boxed<'_, Result<(), Fault>> {
        Box::pin(self.append(event, durability))
    }

    fn effect<'a>(
        &'a self,
        nested: &'a Nested<E>,
        capability: &'static str,
        target: String,
        refused: Option<Code>,
        confinement: Option<Confinement>,
        durability: Durability,
    ) -> Boxed<'a, Result<(), Fault>> {
        if refused.is_some() {
            if let Err(fault) = nested.run.may_be_refused() {
                return Box::pin(std::future::ready(Err(fault)));
            }
            nested.run.count_denied();
        }
        let event = Event::Effect {
            run: nested.run.id().to_string(),
            call: nested.call.clone(),
            plugin: nested.plugin.id.clone(),
            capability: capability.to_owned(),
            target,
            outcome: Nested::<E>::outcome(refused),
            code: refused,
            reviews: Vec::new(),
            confinement,
        };
        Box::pin(self.append(event, durability))
    }
}

/// What is searched for: words, and the tiers that are looked through (`tier:official`); all of them where no tier is
/// named. A tier that does not exist finds nothing.
struct Query {
    text: String,
    words: String,
    tiers: Vec<Tier>,
    by_tier: bool,
}

impl Query {
    fn of(text: &str) -> Self {
        let (named, words): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| word.starts_with("tier:"));
        let tiers = named.iter().filter_map(|word| {
            let name = word.strip_prefix("tier:")?;
            Tier::ALL.into_iter().find(|tier| tier.as_str() == name)
        });
        let mut tiers: Vec<Tier> = tiers.collect();
        tiers.sort_unstable();
        tiers.dedup();
        Self { text: text.to_owned(), words: words.join(" "), tiers, by_tier: !named.is_empty() }
    }

    fn looks_through(&self, tier: Tier) -> bool {
        !self.by_tier || self.tiers.contains(&tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, words: &str, tiers: &[Tier]) {
        let query = Query::of(text);
        let looked: Vec<Tier> = Tier::ALL.into_iter().filter(|tier| query.looks_through(*tier)).collect();
        assert_eq!((query.words.as_str(), looked.as_slice()), (words, tiers), "{text}");
    }

    #[test]
    fn a_query_is_words_and_tiers() {
        check("git log", "git log", &Tier::ALL);
        check("git tier:official log", "git log", &[Tier::Official]);
        check("tier:unverified tier:official", "", &[Tier::Unverified, Tier::Official]);
        check("git tier:root", "git", &[]);
    }
}
