# Makes the repository `shop`: one release, and after it a little of everything that a review tells apart.
set -eu
commit() { # commit DAY AUTHOR MESSAGE
    git add -A
    GIT_AUTHOR_DATE="2026-02-0$1T10:00:00Z" GIT_COMMITTER_DATE="2026-02-0$1T10:00:00Z" GIT_AUTHOR_NAME=$2 GIT_AUTHOR_EMAIL="$2@example.org" git commit -q -m "$3"
}
git init -q -b main shop
cd shop
mkdir -p src wit tests .github/workflows
printf '[package]\nname = "shop"\nversion = "1.2.0"\n' > Cargo.toml
printf 'pub fn price() -> u32 { 1 }\n' > src/lib.rs
printf 'package shop:api@1.0.0;\ninterface cart { add: func(item: string); }\n' > wit/cart.wit
printf '#[test] fn adds() {}\n' > tests/cart.rs
commit 1 Ada 'feat: a cart'
git tag v1.2.0
printf 'pub fn price() -> u32 { 1 }\npub fn discount() -> u32 { 0 }\n' > src/lib.rs
commit 2 Grace 'feat(cart): discounts'
printf 'package shop:api@1.0.0;\ninterface cart { add: func(item: string, count: u32); }\n' > wit/cart.wit
commit 3 Ada 'feat(api)!: items have a count

BREAKING CHANGE: `add` takes a count'
git rm -q tests/cart.rs
commit 4 Grace 'test: remove what no longer holds'
printf '[package]\nname = "shop"\nversion = "1.2.0"\n[dependencies]\nserde = "1"\n' > Cargo.toml
commit 5 Grace 'chore: bring serde'
printf 'on: push\n' > .github/workflows/ci.yml
commit 6 Ada 'ci: run the tests'
printf 'pub fn price() -> u32 { unsafe { core::hint::black_box(1) } }\n' > src/lib.rs
commit 7 Ada 'fix: <b>prices</b> [are](http://example.com) `exact` | \\ *again*'
