//! What imports have added to a table: replaced as a whole whenever the history says that an import
//! has changed.

use arrow::array::AsArray;
use datafusion::logical_expr::{ident, lit};
use vitral_catalog::names::ORIGIN_COLUMN;
use vitral_schemas::topic::history_columns;

use super::{ATTEMPTS, FEW_OFFSETS, KeyedTable};
use crate::error::StoreError;
use crate::history::History;
use crate::keyed::source::{IMPORT, imported_rows};
use crate::session::read_session;

impl KeyedTable {
    /// Whether the history has changed since it was taken in.
    pub async fn lacks_imports(&self, history: &History) -> Result<bool, StoreError> {
        Ok(history.sequence().await? != self.transaction("importacoes").await?.unwrap_or_default())
    }

    /// Takes in what the history has changed since; true if it has.
    pub async fn take_imports(&mut self, history: &History) -> Result<bool, StoreError> {
        if !self.lacks_imports(history).await? {
            return Ok(false);
        }
        let mut attempt = 1;
        loop {
            let known = self.transaction("importacoes").await?.unwrap_or_default();
            match self.take_imports_since(history, known).await {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    self.table.refresh().await?;
                    attempt += 1;
                }
                outcome => {
                    outcome?;
                    return self.check_sums().await.map(|()| true);
                }
            }
        }
    }

    pub(super) async fn take_imports_since(&mut self, history: &History, known: i64) -> Result<(), StoreError> {
        let imports = history.changed_after(known).await?;
        let origins = imports.iter().map(|import| lit(format!("{IMPORT}{import}"))).collect();
        let wanted = ident(ORIGIN_COLUMN).in_list(origins, false);
        let transactions = [(self.name("importacoes"), history.sequence().await?)];
        if imports.is_empty() {
            return self.table.append(Vec::new(), &transactions).await.map(|_| ());
        }
        let rows = imported_rows(&self.plan.topic, history, Some(&imports)).await?;
        let count = self.plan.frame(rows.clone()).count().await.map_err(self.failed())?;
        let is_few = i64::try_from(count).is_ok_and(|count| count <= FEW_OFFSETS);
        let states = self.plan.partial(rows).map_err(self.failed())?;
        let provider = self.table.provider().await?;
        let replaced =
            async { read_session(1).read_table(provider)?.filter(wanted.clone())?.limit(0, Some(1))?.count().await };
        if replaced.await.map_err(self.failed())? == 0 {
            return self.append(states, is_few, &transactions).await;
        }
        self.replace(wanted, states, is_few, &transactions).await
    }
}

impl History {
    /// The imports of which commits after this number have changed anything.
    async fn changed_after(&self, sequence: i64) -> Result<Vec<String>, StoreError> {
        let provider = self.provider().await?;
        let run = async {
            let changed = ident(history_columns::SEQUENCE).gt(lit(sequence));
            let frame = read_session(1).read_table(provider)?.filter(changed)?;
            frame.aggregate(vec![ident(history_columns::IMPORT)], vec![])?.collect().await
        };
        let rows = run.await.map_err(StoreError::read("the history"))?;
        let imports = rows.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        Ok(imports.map(str::to_owned).collect())
    }
}
