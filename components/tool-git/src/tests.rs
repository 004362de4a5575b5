//! The operations on real repositories with the real git, run exactly as the manifest allows it.

mod hostile;
mod real;
mod repo;

use serde_json::Value;

use crate::command::{self, Range};

/// What a command line may look like, as `loong.plugin.json` says it; the rule is the one of the host.
pub(crate) struct Pattern {
    arguments: Vec<String>,
    options: Vec<String>,
    operands_max: usize,
    pub(crate) environment: Vec<(String, String)>,
}

impl Pattern {
    pub(crate) fn covers(&self, arguments: &[String]) -> bool {
        let Some(rest) = arguments.strip_prefix(self.arguments.as_slice()) else { return false };
        let (options, operands): (Vec<&String>, Vec<&String>) =
            rest.iter().partition(|argument| argument.starts_with('-'));
        let matches = |pattern: &String, option: &str| match pattern.strip_suffix('*') {
            Some(begin) => option.starts_with(begin),
            None => option == pattern,
        };
        arguments.iter().all(|argument| !argument.contains('\0'))
            && operands.len() <= self.operands_max
            && options.iter().all(|option| self.options.iter().any(|pattern| matches(pattern, option)))
    }
}

pub(crate) fn patterns() -> Vec<Pattern> {
    let manifest: Value = serde_json::from_str(include_str!("../loong.plugin.json")).unwrap();
    let commands = manifest["capabilities"]["process"]["commands"].as_array().unwrap();
    commands
        .iter()
        .map(|command| {
            assert_eq!(command["command"], "git");
            let environment = command["environment"].as_object().unwrap();
            Pattern {
                arguments: texts(&command["arguments"]),
                options: texts(&command["options"]),
                operands_max: command["operands_max"].as_u64().unwrap_or(0).try_into().unwrap(),
                environment: environment
                    .iter()
                    .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                    .collect(),
            }
        })
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Every command line there is, each at its largest.
fn every_command() -> Vec<command::Command> {
    let id = "a".repeat(64);
    let range = Range { from: Some(&id), to: &id, limit: u32::MAX, first_parent: true };
    vec![
        command::rev_parse("v1~3"),
        command::log(&range),
        command::rev_list(&range),
        command::tags(Some(&id)),
        command::describe(&id),
        command::changes(&id, &id),
        command::commit_files(String::new()),
        command::diff(&id, &id, vec!["./x".to_owned(); crate::argument::PATHS_MAX], u32::MAX),
        command::ls_tree(&id, "./x".to_owned()),
        command::cat_file(&id),
    ]
}

#[test]
fn the_manifest_covers_every_command_line_by_one_pattern_and_has_no_other() {
    let patterns = patterns();
    let commands = every_command();
    assert_eq!(patterns.len(), commands.len());
    for (pattern, command) in patterns.iter().zip(&commands) {
        assert!(pattern.covers(&command.arguments), "{:?}", command.arguments);
        assert_eq!(patterns.iter().filter(|pattern| pattern.covers(&command.arguments)).count(), 1);
    }
}

#[test]
fn the_manifest_covers_nothing_more_than_that() {
    for command in every_command() {
        for more in
            ["--output=x", "--ext-diff", "--textconv", "--exec=x", "-O/dev/zero", "--no-index", "--contents"]
        {
            let mut arguments = command.arguments.clone();
            arguments.push(more.to_owned());
            assert!(!patterns().iter().any(|pattern| pattern.covers(&arguments)), "{arguments:?}");
        }
        let without: Vec<String> = command.arguments.iter().skip(2).cloned().collect();
        assert!(!patterns().iter().any(|pattern| pattern.covers(&without)), "{without:?}");
    }
}

#[test]
fn the_manifest_lists_every_function_of_the_interface_with_an_example() {
    let manifest: Value = serde_json::from_str(include_str!("../loong.plugin.json")).unwrap();
    let listed: Vec<&str> = manifest["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| {
            assert_eq!(operation["risk"], "read");
            assert_eq!(operation["examples"].as_array().unwrap().len(), 1);
            operation["name"].as_str().unwrap().strip_prefix("core:git/git@0.1.0#").unwrap()
        })
        .collect();
    let exported: Vec<&str> = include_str!("../wit/git.wit")
        .lines()
        .filter_map(|line| line.trim().split_once(": func(").map(|(name, _)| name))
        .collect();
    assert_eq!(listed, exported);
}
