//! `core:egress-budget` on the requests of a run. The requests are those of a sink, which asks twice where it is
//! first told to come back.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use loong_it::fixture::plugins;
use loong_it::sandbox::{Ended, Sandbox};

use super::{configure, record};
use crate::servers::{Server, request, respond};

/// What a delivery comes to with this budget, and how many requests arrived.
fn deliver(budget: &str) -> (Ended, usize) {
    let count = AtomicU32::new(0);
    let server = Server::start(move |stream| {
        let asked = request(stream);
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        respond(stream, if first { "503 Service Unavailable" } else { "200 OK" }, "", "");
        asked
    });
    let sandbox = Sandbox::new();
    let installed = sandbox.loong_home().join("data/plugins");
    fs::create_dir_all(&installed).unwrap();
    for file in ["policy-egress-budget.wasm", "policy-egress-budget.wasm.sigstore.json"] {
        fs::copy(plugins().join(file), installed.join(file)).unwrap();
    }
    record(&sandbox, 1);
    let (file, at) = (plugins().join("sink-http.wasm"), server.endpoint());
    configure(
        &sandbox,
        &format!(
            "extensions = [\"core:egress-budget\"]\n\
             [[sinks]]\nplugin = \"core:sink-http\"\nfile = \"{}\"\nfail = \"open\"\n\
             [egress]\nallow_private = [\"{at}\"]\n\
             [plugins.\"core:sink-http\"]\nurl = \"http://{at}/loong\"\n\
             [plugins.\"core:egress-budget\"]\n{budget}\n",
            file.display()
        ),
    );
    let ended = sandbox.loong(["audit", "deliver"]);
    (ended, server.heard().len())
}

#[track_caller]
fn check_denied(budget: &str, requests: usize, why: &str) {
    let (ended, heard) = deliver(budget);
    assert_eq!((ended.exit, heard), (70, requests), "{}", ended.stderr);
    assert!(ended.stderr.contains("[extension_denied]") && ended.stderr.contains(why), "{}", ended.stderr);
}

#[test]
fn a_run_within_its_budget_goes_on() {
    let (ended, heard) = deliver("requests_max = \"2\"\nbytes_max = \"1000000\"");
    assert_eq!((ended.exit, heard), (0, 2), "{}", ended.stderr);
}

#[test]
fn requests_run_out() {
    check_denied("requests_max = \"1\"", 1, "has made 1 of the 1 requests");
}

#[test]
fn bytes_run_out() {
    check_denied("bytes_max = \"100\"", 1, "may exchange 100 bytes with this host: it has exchanged");
}

#[test]
fn a_host_of_its_own_budget() {
    check_denied("requests_max = \"9\"\nhosts = \"127.0.0.1 = 0 / -\"", 0, "has made 0 of the 0 requests");
}

#[test]
fn a_budget_that_cannot_be_read_denies() {
    check_denied("requests_max = \"many\"", 0, "the setting `requests_max` is no number");
}
