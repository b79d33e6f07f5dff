//! The query engine: how DataFusion sessions are made, the SQL functions that they all know, and a
//! topic's rules for its rows.
//!
//! Architecture invariant: every session that plans SQL gets its functions from here, so that a
//! statement that plans in one place plans everywhere. Sessions are made here too, but for what
//! only others know: `store` adds what Delta needs, and spilling where states are merged; a
//! cluster's, in `batch`, are Ballista's. A function of one use lives with it: `difference` with
//! imports, `part_of_payload` with the ledger. No I/O and no tasks.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod aggregates;
mod conditions;
mod distinct;
mod distinct_texts;
mod exact;
mod functions;
mod growing;
pub mod rules;
pub mod session;
mod volatile;
mod words;
mod yielding;

pub use aggregates::aggregates;
pub use conditions::filter_fault;
pub use distinct::{count_distinct_text, count_distinct_text_of_batches};
pub use distinct_texts::DistinctTexts;
pub use exact::{exact_aggregates, make_exact};
pub use functions::{
    CivilDates, EARLIEST, LATEST, SUM_SINCE, SUM_SINCE_MERGE, SUM_SINCE_STATE, TruncatedDates, WATERMARK_FUNCTION,
    add_functions, committed_watermark, divide_half_up, functions, in_key_bucket, newest_and_oldest, row_order,
    starts_of, sum_since_bound, sum_since_value, sums_since, text_bucket, text_of_bytes,
};
pub use growing::bounded;
pub use session::{EngineConfig, engine_session, file_session, query_state, table_state};
pub use volatile::volatile_function;
pub use words::{plain, words};
