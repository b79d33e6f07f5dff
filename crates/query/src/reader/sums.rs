//! Endpoints that read sums alone: planned once, and answered from memory.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use vitral_catalog::{KeyedView, Needs};

use super::{Planned, Reader};
use crate::error::QueryError;
use crate::namespace::{Namespace, sums};
use crate::read_point::ReadPoint;
use crate::rollup::{SumsPlan, SumsQuestion};

impl Reader {
    /// The plan of an endpoint that reads the sums of one table, and nothing else that differs from
    /// one request to the next; none if it is another.
    pub async fn sums_plan(&self, planned: &Planned, needs: &Needs) -> Result<Option<SumsPlan>, QueryError> {
        let view = self.catalog().keyed.iter().find(|view| view.rollup.is_some() && needs.table(&view.name));
        match view {
            Some(view) => Ok(SumsPlan::of(&planned.plan, view, &self.state).await?),
            None => Ok(None),
        }
    }

    /// What these values ask for at this read point; none if it cannot be answered from memory.
    /// Whether the principal may ask is known. While another request makes the sums of this point,
    /// it becomes the one before.
    pub async fn sums_question(
        &self,
        point: &mut ReadPoint,
        plan: &SumsPlan,
        needs: &Needs,
        values: &HashMap<String, ScalarValue>,
    ) -> Result<Option<SumsQuestion>, QueryError> {
        let Some(view) = self.catalog().keyed_view(&plan.view) else { return Ok(None) };
        let Some(conditions) = plan.conditions(values)? else { return Ok(None) };
        let rollups = &self.namespace.rollups;
        let mut table = sums::known_table(rollups, view, point)?;
        if table.is_none()
            && let Some((earlier, shown, is_due)) = sums::earlier_table(rollups, view, point)?
        {
            if is_due {
                self.make_sums_alongside(view, point.clone(), needs)?;
            }
            point.view = Arc::new(shown);
            table = Some(earlier);
        }
        if table.is_none() {
            let session = Namespace::over(&self.namespace, point.clone(), self.state_for(point, needs)?);
            table = sums::rollup_table(rollups, &self.namespace, view, point, &session).await?;
        }
        Ok(table.and_then(|table| SumsQuestion::new(table, conditions)))
    }

    /// Nobody waits for them.
    fn make_sums_alongside(&self, view: &KeyedView, point: ReadPoint, needs: &Needs) -> Result<(), QueryError> {
        let session = Namespace::over(&self.namespace, point.clone(), self.state_for(&point, needs)?);
        let (namespace, view) = (Arc::clone(&self.namespace), view.clone());
        drop(tokio::spawn(async move {
            let made = sums::rollup_table(&namespace.rollups, &namespace, &view, &point, &session).await;
            if let Err(error) = made {
                tracing::debug!(table = view.name.as_str(), %error, "sums were not made; the next request tries again");
            }
        }));
        Ok(())
    }

    /// The rows of an endpoint, so many of them at most.
    pub async fn sums_rows(
        &self,
        plan: &SumsPlan,
        question: &SumsQuestion,
        rows: usize,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        Ok(plan.run(question.rows()?, rows).await?)
    }
}
