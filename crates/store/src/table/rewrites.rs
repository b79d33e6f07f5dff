//! Commits that remove files. Of two that are under way together, only one succeeds
//! (docs/adr/0016).

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::Expr;
use deltalake::protocol::SaveMode;

use super::{Table, with_transactions};
use crate::error::StoreError;

/// The application whose transactions mark rewrites.
const REWRITES: &str = "vitral/rewrites";

impl Table {
    /// One commit: removes the rows that `wanted` names and adds these. Appends in between are
    /// kept; another rewrite is a conflict.
    pub(crate) async fn replace(
        &mut self,
        wanted: Expr,
        rows: RecordBatch,
        transactions: &[(String, i64)],
    ) -> Result<(), StoreError> {
        let failed = StoreError::table(&self.name, "repaired");
        let properties = with_transactions(&[transactions, &[self.rewrite()]].concat());
        let session = Arc::clone(&self.session) as _;
        self.delta = if rows.num_rows() == 0 {
            let delete = self.delta.clone().delete().with_predicate(wanted).with_session_state(session);
            delete
                .with_writer_properties(self.writer_properties())
                .with_commit_properties(properties)
                .await
                .map_err(&failed)?
                .0
        } else {
            self.delta
                .clone()
                .write(vec![self.filled_up(rows)?])
                .with_save_mode(SaveMode::Overwrite)
                .with_replace_where(wanted)
                .with_session_state(session)
                .with_writer_properties(self.writer_properties())
                .with_commit_properties(properties)
                .await
                .map_err(&failed)?
        };
        Ok(())
    }

    /// One commit: removes the rows that `wanted` names and adds those of `rows`, batch by batch;
    /// how many. Another commit to those rows in the meantime is a conflict.
    pub(crate) async fn replace_by_plan(&mut self, wanted: Expr, rows: DataFrame) -> Result<u64, StoreError> {
        self.replace_by_plan_with(wanted, rows, &[]).await
    }

    /// The same, with transactions.
    pub(crate) async fn replace_by_plan_with(
        &mut self,
        wanted: Expr,
        rows: DataFrame,
        transactions: &[(String, i64)],
    ) -> Result<u64, StoreError> {
        let failed = StoreError::table(&self.name, "replaced in part");
        let (state, plan) = self.filled_up_by_plan(rows)?.into_parts();
        let before = self.version();
        self.delta = self
            .delta
            .clone()
            .write(Vec::new())
            .with_input_plan(plan)
            .with_save_mode(SaveMode::Overwrite)
            .with_replace_where(wanted)
            .with_session_state(Arc::new(state) as _)
            .with_writer_properties(self.writer_properties())
            .with_commit_properties(with_transactions(&[transactions, &[self.rewrite()]].concat()))
            .await
            .map_err(&failed)?;
        tracing::debug!(table = self.name, ?before, after = ?self.version(), "replaced in part");
        self.written_rows().await
    }

    /// One commit: removes the rows that `wanted` names.
    pub(crate) async fn delete(&mut self, wanted: Expr) -> Result<(), StoreError> {
        self.delta = self
            .delta
            .clone()
            .delete()
            .with_predicate(wanted)
            .with_session_state(Arc::clone(&self.session) as _)
            .with_writer_properties(self.writer_properties())
            .with_commit_properties(with_transactions(&[self.rewrite()]))
            .await
            .map_err(StoreError::table(&self.name, "cleared in part"))?
            .0;
        Ok(())
    }

    /// What every commit carries that removes files. Of two that are under way together only one
    /// succeeds: delta-rs itself does not notice that a merge has removed what another commit
    /// removes too, and both would leave its rows (docs/adr/0016).
    pub(crate) fn rewrite(&self) -> (String, i64) {
        (REWRITES.to_owned(), self.version().and_then(|version| i64::try_from(version).ok()).unwrap_or_default())
    }
}
