# The local commands are the CI's.

# The whole product in one process.
demo *flags:
    cargo run --locked --bin vitral -- demo {{flags}}

test:
    cargo test --locked --workspace

lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- --deny warnings

# Tests against a real Kafka, PostgreSQL and S3 store too.
test-services:
    scripts/services start kafka postgres s3
    env $(scripts/services env) cargo test --locked --workspace

# Licences, sources and known faults of everything that is built in.
deny:
    scripts/deny

ci:
    .ci/run
