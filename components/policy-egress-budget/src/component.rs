//! The function as a component exports it.

#![expect(
    unsafe_code,
    reason = "the generated exports take raw pointers, and the manifest names its section"
)]

use std::cell::Cell;

use loong_sdk::host::config;

use crate::budget::{Budgets, Wanted};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/policy", "wit"],
        world: "core:egress-budget/plugin",
        generate_all,
        with: {
            "loong:host/config@0.1.0": loong_sdk::host::config,
            "loong:host/types@0.1.0": loong_sdk::host::types,
        },
    });
}

use bindings::exports::loong::policy::extension::{Guest, Question, Subject, Verdict};

struct Component;

impl Guest for Component {
    fn review(question: Question) -> Verdict {
        let Subject::Egress(egress) = question.subject else { return Verdict::Abstain };
        let unreadable = Cell::new(false);
        let get = |key: &str| {
            config::get(key).unwrap_or_else(|_| {
                unreadable.set(true);
                None
            })
        };
        let budgets = match Budgets::read(get) {
            // What could not be asked for is not the same as what is not set.
            Ok(_) if unreadable.get() => return Verdict::Deny("the budgets cannot be read".to_owned()),
            Ok(budgets) => budgets,
            Err(problem) => return Verdict::Deny(problem),
        };
        let wanted = Wanted {
            host: &egress.host,
            bytes: egress.bytes,
            requests_so_far: egress.requests_so_far,
            bytes_so_far: egress.bytes_so_far,
        };
        budgets.review(&wanted).map_or(Verdict::Abstain, Verdict::Deny)
    }
}

bindings::export!(Component with_types_in bindings);
loong_sdk::manifest!("loong.plugin.json");
