//! What the README promises is run: its two commands, and every `loong` line of its examples.

use std::fs;

use loong_it::fixture::fixtures;
use loong_it::root;
use loong_it::sandbox::Sandbox;

/// The `loong` commands in the README's blocks of shell, without their comments.
fn examples() -> Vec<String> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let lines = blocks
        .flat_map(str::lines)
        .map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| line.starts_with("loong ")).collect()
}

#[test]
fn examples_are_run_by_a_case() {
    let case = fs::read_to_string(root().join("tests/cases/the_readme_holds/cmd")).unwrap();
    let examples = examples();
    assert!(examples.len() >= 5, "the examples of the README were not found: {examples:?}");
    for example in examples {
        assert!(
            case.lines().any(|line| line == format!("$ {example}")),
            "tests/cases/the_readme_holds/cmd does not run: {example}"
        );
    }
}

/// The README shows the beginning of a review that a case expects.
#[test]
fn the_review_it_shows_is_a_true_one() {
    let golden =
        fs::read_to_string(root().join("tests/cases/reviews_a_small_repository/expected.txt")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let shown = readme
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("\n[…").next())
        .expect("a review in a block of text");
    for line in shown.lines() {
        let beginning = line.split(" […").next().unwrap_or_default();
        assert!(
            golden.lines().any(|line| line.starts_with(beginning)),
            "no case prints what the README shows: {line}"
        );
    }
}

/// The first command of the README, in the folder that the tests build into and with settings of its own.
#[test]
fn start_reviews_a_repository() {
    let sandbox = Sandbox::new();
    let made = sandbox.shell(
        "git init -q -b main shop && cd shop && echo 1 > a && git add a && git commit -q -m 'feat: a shop'",
    );
    assert_eq!(made.exit, 0, "{}", made.stderr);
    let mut start = std::process::Command::new(root().join("start"));
    start.current_dir(sandbox.work()).args(["shop", "--json"]).stdin(std::process::Stdio::null());
    start.env("CARGO_TARGET_DIR", &fixtures().target).env("LOONG_HOME", sandbox.work().join("settings"));
    let ended = sandbox.run(&mut start);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let review: serde_json::Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout));
    assert!(review["schema"].is_string(), "{review}");
    assert!(ended.stdout.contains("a shop"), "{review}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(" calls, 0 denied") && last.contains("loong audit recent"), "{last}");
}
