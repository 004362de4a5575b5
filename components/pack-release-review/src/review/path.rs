//! What the path of a file says about it.

/// What others rely on, by the form it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ContractKind {
    /// WIT.
    Wit,
    /// Protocol Buffers, Thrift, GraphQL and the like.
    Interface,
    /// JSON Schema, OpenAPI and other descriptions of data.
    Schema,
    /// A step that changes a database that is there.
    Migration,
    /// What a plugin asks for and offers.
    PluginManifest,
    /// Declarations in source code that others can use.
    PublicApi,
}

impl ContractKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wit => "WIT",
            Self::Interface => "interface",
            Self::Schema => "schema",
            Self::Migration => "migration",
            Self::PluginManifest => "plugin manifest",
            Self::PublicApi => "public API",
        }
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn has_folder(path: &str, folders: &[&str]) -> bool {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    folder.split('/').any(|part| folders.iter().any(|folder| part.eq_ignore_ascii_case(folder)))
}

fn extension(path: &str) -> &str {
    name(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// True for tests and what they are fed with.
pub(crate) fn is_test(path: &str) -> bool {
    let name = name(path);
    let stem = name.split('.').next().unwrap_or(name);
    has_folder(path, &["tests", "test", "__tests__", "spec", "testdata", "fixtures", "snapshots"])
        || ["_test", "_tests", "_spec"].iter().any(|end| stem.ends_with(end))
        || matches!(name, "tests.rs" | "test.rs" | "conftest.py")
        || (stem.starts_with("test_") && extension(path) == "py")
        || name.contains(".test.")
        || name.contains(".spec.")
}

/// True for files that are copies, examples or made by a program: others do not rely on them.
pub(crate) fn is_apart(path: &str) -> bool {
    is_test(path)
        || path.contains("wit/deps/")
        || has_folder(
            path,
            &[
                "examples",
                "example",
                "benches",
                "bench",
                "vendor",
                "third_party",
                "node_modules",
                "target",
                "dist",
                "template",
                "templates",
            ],
        )
}

/// The contract that a file is, by its path alone.
pub(crate) fn contract(path: &str) -> Option<ContractKind> {
    if is_apart(path) {
        return None;
    }
    let name = name(path).to_ascii_lowercase();
    let migrates = has_folder(path, &["migrations", "migration", "migrate", "alembic"]);
    Some(match extension(&name) {
        "wit" => ContractKind::Wit,
        "proto" | "thrift" | "capnp" | "fbs" | "graphql" | "graphqls" | "idl" | "smithy" => {
            ContractKind::Interface
        }
        "sql" | "py" | "rb" | "ts" | "js" | "rs" if migrates => ContractKind::Migration,
        "sql" if name.contains("schema") => ContractKind::Schema,
        "avsc" | "xsd" | "cedarschema" => ContractKind::Schema,
        _ if name == "loong.plugin.json" => ContractKind::PluginManifest,
        "json" | "yaml" | "yml"
            if name.contains("schema")
                || name.starts_with("openapi")
                || name.starts_with("swagger")
                || name.starts_with("asyncapi")
                || (has_folder(path, &["schema", "schemas", "openapi"]) && !is_list_of_a_tool(&name)) =>
        {
            ContractKind::Schema
        }
        _ => return None,
    })
}

fn is_list_of_a_tool(name: &str) -> bool {
    matches!(name, "package.json" | "package-lock.json" | "tsconfig.json")
}

/// True for source files whose declarations others may use.
pub(crate) fn is_library_source(path: &str) -> bool {
    if is_apart(path) || has_folder(path, &["internal", "bin", "cmd", "scripts", "migrations"]) {
        return false;
    }
    super::items::declares(path).is_some()
        && !matches!(name(path), "main.rs" | "build.rs" | "setup.py")
        && (extension(path) != "rs" || super::facts::crate_folder(path).is_some())
}

/// True for what decides how the project is built, checked or delivered.
pub(crate) fn is_build(path: &str) -> bool {
    let lower = name(path).to_ascii_lowercase();
    path.split('/').any(|part| {
        matches!(part, ".github" | ".gitlab" | ".ci" | ".circleci" | ".cargo" | ".buildkite" | ".husky")
    }) || lower == "build.rs" && !has_folder(path, &["src"])
        || !is_test(path)
            && matches!(extension(&lower), "sh" | "bash" | "ps1" | "bat" | "mk" | "cmake" | "bzl" | "nix")
        || lower.starts_with("dockerfile")
        || lower.ends_with(".dockerfile")
        || lower.starts_with("docker-compose")
        || (!path.contains('/')
            && matches!(
                lower.as_str(),
                "setup" | "start" | "check" | "configure" | "bootstrap" | "install" | "build"
            ))
        || matches!(
            lower.as_str(),
            "makefile"
                | "gnumakefile"
                | "justfile"
                | "setup.py"
                | "cmakelists.txt"
                | "meson.build"
                | "build.bazel"
                | "rust-toolchain"
                | "rust-toolchain.toml"
                | ".gitlab-ci.yml"
                | "jenkinsfile"
                | ".travis.yml"
                | "azure-pipelines.yml"
                | ".npmrc"
                | ".pre-commit-config.yaml"
                | "release.toml"
                | ".goreleaser.yml"
                | "gruntfile.js"
                | "gulpfile.js"
        )
}

/// True for what decides who may do what.
pub(crate) fn is_policy(path: &str) -> bool {
    !is_test(path)
        && (matches!(extension(path), "cedar" | "rego")
            || has_folder(path, &["policies"]) && matches!(extension(path), "toml" | "json" | "yaml" | "yml")
            || matches!(name(path), "CODEOWNERS" | "deny.toml" | "trust-root.json"))
}

/// True for names that files with secrets often have.
pub(crate) fn may_hold_secrets(path: &str) -> bool {
    let lower = name(path).to_ascii_lowercase();
    matches!(extension(&lower), "pem" | "key" | "p12" | "pfx" | "jks" | "keystore" | "kdbx")
        || lower == ".env"
        || (lower.starts_with(".env.") && !lower.ends_with("example") && !lower.ends_with("sample"))
        || ["id_rsa", "id_ed25519", "id_ecdsa", "credentials.json", ".netrc", ".htpasswd"]
            .contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_contracts_by_their_path() {
        let check =
            |path: &str, expected: Option<ContractKind>| assert_eq!(contract(path), expected, "{path}");
        check("wit/host/kv.wit", Some(ContractKind::Wit));
        check("components/a/wit/deps/host/kv.wit", None);
        check("tests/wit-released/0.1.0/kv.wit", None);
        check("api/v1/users.proto", Some(ContractKind::Interface));
        check("registry/schema/trust-root.schema.json", Some(ContractKind::Schema));
        check("docs/openapi.yaml", Some(ContractKind::Schema));
        check("registry/schema/codes.md", None);
        check("db/migrations/0001_init.sql", Some(ContractKind::Migration));
        check("db/schema.sql", Some(ContractKind::Schema));
        check("src/query.sql", None);
        check("components/a/loong.plugin.json", Some(ContractKind::PluginManifest));
        check("package.json", None);
        check("src/schema.rs", None);
    }

    #[test]
    fn knows_the_other_kinds() {
        for path in
            ["tests/a.rs", "src/a_test.go", "src/x/tests.rs", "web/a.spec.ts", "test_a.py", "pkg/testdata/x"]
        {
            assert!(is_test(path), "{path}");
        }
        for path in ["src/testing.rs", "src/latest.rs", "contest/a.py"] {
            assert!(!is_test(path), "{path}");
        }
        for path in [
            "build.rs",
            ".ci/run",
            ".github/workflows/x.yml",
            "a/Makefile",
            "tools/x.sh",
            "Dockerfile.dev",
            "setup",
        ] {
            assert!(is_build(path), "{path}");
        }
        assert!(!is_build("src/setup/mod.rs") && !is_build("docs/build.md") && !is_build("src/check"));
        assert!(
            !is_build("src/plugins/build.rs")
                && is_build("host/x/build.rs")
                && !is_build("tests/cases/a/in/make.sh")
        );
        assert!(
            is_policy("policies/default.cedar")
                && is_policy("policies/tiers.toml")
                && !is_policy("host/policy/src/lib.rs")
        );
        assert!(!is_policy("host/policy/Cargo.toml"));
        assert!(may_hold_secrets("a/.env") && may_hold_secrets("x.PEM") && !may_hold_secrets(".env.example"));
        assert!(
            is_library_source("src/lib.rs")
                && !is_library_source("src/main.rs")
                && !is_library_source("build.rs")
        );
        assert!(
            is_library_source("pkg/a.py")
                && !is_library_source("src/bin/x.rs")
                && !is_library_source("README.md")
        );
    }
}
