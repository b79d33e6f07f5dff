# What is done with this repository, by hand and in CI alike: .ci/run calls these recipes, one after the other.
# `scripts/tool just RECIPE` runs them where just is not installed.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Of every package: other features would build the engines again.
features := "--workspace --features vitral/distributed"
target := env("CARGO_TARGET_DIR", "target")
# The crate with MongoDB's driver, by itself: that changes features of crates below the engine, which would be built again. Unoptimised, as
# it waits for a server.
mongodb := "--locked -p vitral-connect-mongodb --features mongodb --target-dir " + quote(target / "mongodb") + " --profile mongodb --config 'profile.mongodb.inherits=\"release\"' --config profile.mongodb.opt-level=0"

_list:
    @{{just_executable()}} --list --unsorted

# The whole product in one process.
demo *flags:
    cargo run --locked --bin vitral -- demo {{flags}}

# How the code is laid out.
format:
    cargo fmt --all --check

# How words are spelled.
spelling:
    scripts/tool typos

# Words that are not plain English, and what to say instead.
words:
    scripts/words

# Indexes that people keep by hand, compared with what they list; that no arrow between crates or files leads where it may not; how long files and comments are.
documents:
    scripts/documents
    scripts/arrows

# Licences, sources and known faults of everything that is built in.
deny:
    scripts/deny
    scripts/third-party --check

build:
    cargo build --locked --workspace --all-targets

# All tests; those that need a service say so where it is not there.
test:
    cargo test --locked --workspace

# The tests with a real Kafka, PostgreSQL, S3 store, mail server, Alertmanager and Redis. They go on running: `scripts/services stop` ends them.
test-services:
    scripts/services start kafka postgres s3 mail alertmanager redis
    env $(scripts/services env) {{just_executable()}} test

# Clippy and the tests of the crate with MongoDB's driver, with a server that speaks its protocol.
test-mongodb:
    cargo clippy {{mongodb}} --all-targets -- --deny warnings
    scripts/services start mongodb
    env $(scripts/services env) cargo test {{mongodb}}

# The tests of the oracle, which judges the numbers in scripts/verify.
test-oracle:
    scripts/verify/venv -m pytest --quiet scripts/verify

# Clippy, with every feature and with as few as can be.
lint:
    cargo clippy --locked {{features}} --all-targets -- --deny warnings
    cargo clippy --locked --workspace --no-default-features --features vitral/distributed,vitral/kafka-tls -- --deny warnings

# The documentation of the code, with its links.
docs:
    RUSTDOCFLAGS="--deny warnings" cargo doc --locked {{features}} --no-deps --document-private-items

# The built-in catalog.
check-catalog:
    cargo run --locked --quiet --bin vitral -- check

# What clients of the API rely on: its description as it was released, and as it is.
api:
    scripts/api-breaks

# Writes docs/openapi.json again; a test compares it with what the API says of itself.
api-write:
    VITRAL_WRITE_OPENAPI=1 cargo test --locked --workspace --test http openapi::the_description_is_the_one_in_docs

# That description, read by a linter, and requests made from it, sent to a demo.
openapi:
    scripts/verify/openapi "$(realpath {{target}})/debug/vitral"

# Files and messages as shops have them.
cases:
    VITRAL="$(realpath {{target}})/debug/vitral" scripts/verify/cases

# The page in a browser, its numbers against the API's, and what its scripts make of numbers and times.
page:
    node --test scripts/verify/page.test.mjs
    scripts/verify/page "$(realpath {{target}})/debug/vitral"

# The README's commands, from an empty folder.
readme:
    scripts/verify/readme "$(realpath {{target}})/debug/vitral"
    scripts/verify/recipes "$(realpath {{target}})/debug/vitral"

# Jobs and reconciliation on a cluster of this machine.
cluster:
    cargo build --locked --bins {{features}}
    VITRAL="$(realpath {{target}})/debug/vitral" scripts/verify/venv scripts/verify/cluster.py

# Inputs that break what must hold of bytes from outside, looked for: minutes for each way in (`scripts/fuzz --help`).
fuzz *flags:
    scripts/fuzz {{flags}}

# Which lines of our crates the tests run, against a floor.
coverage *flags:
    scripts/coverage {{flags}}

# Everything that CI runs.
ci:
    .ci/run
