use super::*;

fn sinks(text: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct File {
        sinks: Vec<SinkSettings>,
    }
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    check(&file.sinks)
}

#[test]
fn settings_are_read_strictly() {
    let check = |text: &str, wrong: &str| match sinks(text) {
        Ok(()) => assert_eq!(wrong, "", "{text}"),
        Err(error) => assert!(!wrong.is_empty() && error.contains(wrong), "{text}: {error}"),
    };
    let least = "[[sinks]]\nplugin = \"core:sink-file\"\nfail = \"open\"\n";
    check(least, "");
    check(&format!("{least}folder = \"/var/log/loong\"\nbatch_records = 1\nbatch_bytes = 1\n"), "");
    check(&format!("{least}kinds = [\"decision\", \"effect\"]"), "");
    check("[[sinks]]\nplugin = \"core:sink-file\"\n", "missing field `fail`");
    check("[[sinks]]\nplugin = \"sink\"\nfail = \"open\"\n", "plugin");
    check(&least.replace("open", "ajar"), "unknown variant `ajar`");
    check(&format!("{least}colour = 1"), "unknown field `colour`");
    check(&format!("{least}folder = \"log\""), "no absolute path");
    check(&format!("{least}file = \"sink.wasm\""), "no absolute path");
    check(&format!("{least}batch_records = 0"), "`batch_records`");
    check(&format!("{least}batch_records = 4097"), "`batch_records`");
    check(&format!("{least}batch_bytes = 0"), "`batch_bytes`");
    check(&format!("{least}batch_bytes = 8388609"), "`batch_bytes`");
    check(&format!("{least}kinds = [\"decisions\"]"), "`decisions` in `kinds`");
    check(&least.repeat(2), "twice");
    let many: String = (0..17).map(|n| least.replace("sink-file", &format!("sink-{n}"))).collect();
    check(&many, "at most 16");
}

#[test]
fn pauses_double_with_jitter_and_have_an_end() {
    let plugin: PluginId = "core:sink-http".parse().unwrap();
    for failures in 1..100 {
        let whole = (RETRY_MS << (failures - 1).min(20)).min(RETRY_MS_MAX);
        let pause = pause_ms(&plugin, 7, failures);
        assert!((whole / 2..=whole).contains(&pause), "{failures}: {pause}");
        assert_eq!(pause, pause_ms(&plugin, 7, failures), "the same failure waits as long");
    }
    let at = |next| pause_ms(&plugin, next, 3);
    assert!((1..20).any(|next| at(next) != at(0)), "there is no jitter");
    assert!(pause_ms(&plugin, 0, u32::MAX) <= RETRY_MS_MAX);
}
