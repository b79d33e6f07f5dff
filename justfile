# The local commands are the CI's.

# The whole product in one process.
demo *flags:
    cargo run --bin vitral -- demo {{flags}}

test:
    cargo test --workspace

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- --deny warnings

# Tests against a real Kafka too.
test-services:
    scripts/services start kafka
    env $(scripts/services env) cargo test --workspace

ci:
    .ci/run
