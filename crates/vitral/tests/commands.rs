//! The command line as people meet it: help, answers, errors and exit codes, in `commands/*.trycmd`
//! as a terminal shows them.
//!
//! `TRYCMD=overwrite cargo test --workspace --test commands` writes down what is printed now: read
//! the difference.

#[test]
fn commands_answer_as_written_down() {
    trycmd::TestCases::new().case("tests/commands/*.trycmd");
}
