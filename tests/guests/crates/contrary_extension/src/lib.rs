//! A policy extension that does what the setting `does` says, whatever it is asked.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../../wit/host", "../../../../wit/policy", "wit"],
        world: "test:contrary/guest",
        generate_all,
    });
}

use bindings::exports::loong::policy::extension::{Guest, Question, Verdict};
use bindings::loong::host::config;

struct Extension;

impl Guest for Extension {
    fn review(_: Question) -> Verdict {
        match config::get("does").ok().flatten().as_deref() {
            Some("abstain") => Verdict::Abstain,
            Some("ask") => Verdict::RequireApproval("a test wants a person".into()),
            Some("deny") => Verdict::Deny("a test says no".into()),
            Some("speak at length") => Verdict::Deny("\u{1b}[2J\u{202e}".repeat(100_000)),
            Some("loop") => loop {
                std::hint::black_box(());
            },
            Some("grow") => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            _ => core::arch::wasm32::unreachable(),
        }
    }
}

bindings::export!(Extension with_types_in bindings);
