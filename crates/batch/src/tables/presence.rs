//! Whether there are rows at all: a query that finds nothing says nothing where there is nothing.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use chrono::NaiveDate;
use chrono_tz::Tz;
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::ident;
use datafusion::prelude::DataFrame;
use datafusion::sql::sqlparser::ast::Query;
use vitral_catalog::Position;
use vitral_schemas::time::civil_day;
use vitral_schemas::topic::Topic;
use vitral_store::read_session;

use super::{Span, Stored, Tables, counted};
use crate::error::BatchError;

/// The topics that a query reads have no row that counts in a span.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRows {
    pub topics: Vec<String>,
    /// The day of the newest row that counts, if there is any.
    pub newest: Option<NaiveDate>,
}

impl Tables<'_> {
    /// None if there are rows, or if the query reads no topic.
    pub(crate) async fn no_rows(
        &self,
        (query, position): (&Query, &Position),
        span: Span,
        zone: Tz,
    ) -> Result<Option<NoRows>, BatchError> {
        let read: Vec<_> = self.read_by(query, position).collect();
        let mut newest = None;
        for (topic, stored) in &read {
            if has_rows(topic, stored, span).await? {
                return Ok(None);
            }
            newest = newest.max(newest_micros(topic, stored).await?);
        }
        let topics: Vec<String> = read.iter().map(|(topic, _)| topic.name.clone()).collect();
        let newest = newest.and_then(|micros| civil_day(zone, micros));
        Ok((!topics.is_empty()).then_some(NoRows { topics, newest }))
    }
}

async fn has_rows(topic: &Topic, stored: &Stored, span: Span) -> Result<bool, BatchError> {
    let count = async { rows(topic, stored, Some(span))?.limit(0, Some(1))?.count().await };
    Ok(count.await.map_err(BatchError::engine(&topic.name, "read"))? > 0)
}

async fn newest_micros(topic: &Topic, stored: &Stored) -> Result<Option<i64>, BatchError> {
    let time = ident(&topic.columns[topic.event_time].name);
    let found = async { rows(topic, stored, None)?.aggregate(vec![], vec![max(time)])?.collect().await };
    let found = found.await.map_err(BatchError::engine(&topic.name, "read"))?;
    let times = found.iter().flat_map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>());
    Ok(times.flatten().max())
}

fn rows(topic: &Topic, stored: &Stored, span: Option<Span>) -> PlanResult<DataFrame> {
    Ok(DataFrame::new(read_session(2).state(), counted(topic, stored, span)?))
}
