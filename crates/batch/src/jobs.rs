//! Jobs: the catalog's tables of the warehouse, recomputed for whole days or months.
//!
//! A job runs for the days that are named, or for those whose rows have changed since its last run.
//! What it has done is recorded after the rows are written: a crash between the two makes it do the
//! same days again, which changes nothing.

mod apart;
mod changes;
mod days;
mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{cast, ident};
use vitral_catalog::{Catalog, JobTable, Period};
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::time::{MICROS_PER_MS, civil_day, day_start_ms};
use vitral_store::warehouse::{Days, Warehouse, WarehouseTable, warehouse_field};
use vitral_store::{Location, Quarantine};

use self::days::{Parts, are_many, around, at_once, next_day, together, whole};
use self::runs::Run;
use crate::error::BatchError;
use crate::tables::{KeptRows, Published, Span, Tables, unplanned};

/// Which days a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// From the first through the last.
    Days(NaiveDate, NaiveDate),
    /// Those with rows that came since its last run.
    Changed,
}

/// What a job needs.
pub struct Jobs<'a> {
    /// Declares the jobs.
    pub catalog: &'a Catalog,
    /// The zone whose days are meant.
    pub zone: Tz,
    /// Where what they have done is recorded.
    pub store: &'a Location,
    /// What has their tables.
    pub warehouse: &'a dyn Warehouse,
    /// Whether days that are named may be computed while events of them can still count.
    pub allow_open: bool,
}

/// What became of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// The warehouse's table.
    pub table: String,
    /// The days that were computed; none if nothing had changed.
    pub days: Option<Days>,
    /// Whether the table is computed as a whole, so that the days are those of a calendar.
    pub is_whole: bool,
    /// Rows that the query gave.
    pub read: u64,
    /// Rows that the table took.
    pub written: u64,
    /// Messages and rows of files that were refused and arrived on these days: few of them have a
    /// time of their own.
    pub refused: u64,
    /// Rows that the warehouse's database cannot take.
    pub set_aside: u64,
    /// Days that have changed and are left as they are, as some of their events have expired.
    pub left: usize,
    /// Of many days that were named, those of which no row is stored, neither from messages nor
    /// from files.
    pub empty: Vec<Days>,
    /// Of a table that is computed as a whole, the last day with events that have expired.
    pub since: Option<NaiveDate>,
}

impl JobReport {
    fn of(table: &JobTable) -> Self {
        Self {
            table: table.table.clone(),
            days: None,
            is_whole: table.per == Period::All,
            read: 0,
            written: 0,
            refused: 0,
            set_aside: 0,
            left: 0,
            empty: Vec::new(),
            since: None,
        }
    }
}

impl Jobs<'_> {
    /// Runs the job of this name over one moment of everything that is stored. A table that fails
    /// keeps none of the others from being computed; its error is returned in the end, the first of
    /// several.
    pub async fn run(&self, job: &str, wanted: Wanted, tables: &Tables<'_>) -> Result<Vec<JobReport>, BatchError> {
        let of_job: Vec<&JobTable> = self.catalog.job_tables.iter().filter(|table| table.job == job).collect();
        if of_job.is_empty() {
            let known = self.catalog.jobs();
            return Err(BatchError::NoJob { job: job.to_owned(), known: known.join(", ") });
        }
        let (mut done, mut failed) = (Vec::new(), None);
        for table in of_job {
            match self.table(table, wanted, tables).await {
                Ok(table) => done.push(table),
                Err(error) => {
                    if let Some(earlier) = &failed {
                        tracing::error!(job, table = table.table, error = %error, %earlier, "another table failed too");
                    } else {
                        failed = Some(error);
                    }
                }
            }
        }
        match failed {
            Some(error) => {
                for JobReport { table, written, .. } in &done {
                    tracing::info!(job, table, written, "computed anyway");
                }
                Err(error)
            }
            None => Ok(done),
        }
    }

    async fn table(&self, table: &JobTable, wanted: Wanted, tables: &Tables<'_>) -> Result<JobReport, BatchError> {
        let began = Utc::now();
        let kept = tables.kept_by(&table.query, &table.position).await?;
        let moment = changes::moment(tables, &kept).await?;
        let is_whole = table.per == Period::All;
        if let Wanted::Days(_, last) = wanted
            && !(self.allow_open || is_whole)
        {
            self.refuse_open(table, last, tables).await?;
            self.refuse_unpublished(table, last, &kept)?;
        }
        let target = target(table, tables).await?;
        let target_id = self.warehouse.prepare(&target).await?;
        let mut done = JobReport::of(table);
        let parts = match wanted {
            Wanted::Days(first, last) => {
                let days = whole(table.per, Days { from: first, to: next_day(last) });
                self.refuse_gone(table, days, tables)?;
                self.parts(table, days, tables, &kept).await?
            }
            Wanted::Changed => {
                let before = runs::last_moment(self.store, &target_id).await?;
                let days = changes::days_since(table, (tables, &kept), before.as_ref(), self.zone).await?;
                let (days, expired): (Vec<_>, Vec<_>) = days.into_iter().partition(|day| {
                    let period = Days { from: table.per.first(*day), to: table.per.next(*day) };
                    is_whole || tables.expired_within(&table.query, &table.position, self.span(period)).is_none()
                });
                done.left = expired.len();
                let days = together(table.per, days);
                Parts {
                    filled: days.into_iter().flat_map(|days| at_once(table.per, days)).collect(),
                    empty: Vec::new(),
                }
            }
        };
        done.empty.clone_from(&parts.empty);
        // Days of which nothing is stored are computed too: what the table has of them goes.
        let mut failed = None;
        for days in parts.filled.into_iter().chain(parts.empty) {
            match self.compute_apart(table, days, (&target, tables), &mut done).await {
                Err(error @ BatchError::Uncomputable { .. }) => failed = failed.or(Some(error)),
                computed => computed?,
            }
        }
        // Not recorded, so that the next run by change computes these days again.
        if let Some(error) = failed {
            return Err(error);
        }
        let run = Run {
            job: table.job.clone(),
            began,
            ended: Utc::now(),
            done: done.clone(),
            is_by_change: wanted == Wanted::Changed,
            moment,
            target_id,
        };
        runs::record(self.store, &run).await?;
        Ok(done)
    }

    /// Puts the rows of these days into the warehouse.
    async fn compute(
        &self,
        table: &JobTable,
        days: Days,
        (target, tables): (&WarehouseTable, &Tables<'_>),
        done: &mut JobReport,
    ) -> Result<(), BatchError> {
        let started = Instant::now();
        // Of final windows and tables nobody asks how many events they are of.
        let reads_events = tables.read_by(&table.query, &table.position).next().is_some();
        let counts =
            if reads_events { changes::counts(tables, self.span(days)).await? } else { changes::Counts::default() };
        let counted = started.elapsed();
        let rows = self.rows(table, days, target, tables).await?;
        let planned = started.elapsed();
        let replaced = self.warehouse.replace(target, days, rows).await?;
        Quarantine::of(self.store).replace(&table.table, days, &replaced.set_aside).await?;
        done.written += replaced.written;
        done.set_aside += replaced.set_aside.count;
        tracing::debug!(table = table.table, ?days, ?counted, ?planned, replaced = ?started.elapsed(), "computed");
        done.read += if reads_events { counts.counted } else { replaced.written };
        done.refused += counts.refused;
        if done.is_whole {
            let expired = tables.expired_within(&table.query, &table.position, self.span(days));
            done.since = expired.and_then(|(_, last)| civil_day(self.zone, last.micros()));
        }
        done.days = Some(match done.days {
            None => days,
            Some(before) => Days { from: before.from.min(days.from), to: before.to.max(days.to) },
        });
        Ok(())
    }

    /// How the days are computed: of many, those far from any row that is stored at once.
    async fn parts(
        &self,
        table: &JobTable,
        days: Days,
        tables: &Tables<'_>,
        kept: &BTreeMap<String, KeptRows>,
    ) -> Result<Parts, BatchError> {
        let reads_nothing = kept.is_empty() && tables.read_by(&table.query, &table.position).next().is_none();
        // What reads no topic has rows for days that no event is of.
        if !are_many(days) || table.per == Period::All || reads_nothing {
            return Ok(Parts { filled: at_once(table.per, days), empty: Vec::new() });
        }
        let with_rows = changes::days_with_rows(table, (tables, kept), self.span(days), self.zone).await?;
        Ok(around(table.per, days, &with_rows))
    }

    /// What a table has of days of which rows were deleted is all that is left of them.
    fn refuse_gone(&self, table: &JobTable, days: Days, tables: &Tables<'_>) -> Result<(), BatchError> {
        if table.per == Period::All {
            return Ok(());
        }
        let Some((first, last)) = tables.expired_within(&table.query, &table.position, self.span(days)) else {
            return Ok(());
        };
        let day = |at: EventTime| civil_day(self.zone, at.micros());
        let (from, to) = (days.from, days.to.pred_opt().unwrap_or(days.to));
        let (first, last) = (day(first).unwrap_or(from), day(last).unwrap_or(to));
        Err(BatchError::Expired { table: table.table.clone(), from, to, first, last })
    }

    /// A day is over for a topic once the committed watermark has passed its end by the lateness:
    /// from then on no event of it counts.
    async fn refuse_open(&self, table: &JobTable, last: NaiveDate, tables: &Tables<'_>) -> Result<(), BatchError> {
        let end_ms = day_start_ms(self.zone, next_day(last));
        for (topic, stored) in tables.read_by(&table.query, &table.position) {
            let Some(archive) = &stored.reader else { continue };
            // Rows that are never late come when they come: a day is over with its end.
            let closes_ms = if topic.is_never_late() { end_ms } else { end_ms + topic.lateness_ms };
            // Before the first event there is no watermark, and the clock is all that is known.
            let reached_ms = archive.watermark().await?.map_or_else(|| Utc::now().timestamp_millis(), Watermark::ms);
            if reached_ms < closes_ms {
                return Err(BatchError::OpenDay {
                    table: table.table.clone(),
                    day: last,
                    topic: topic.name.clone(),
                    closes: self.local(closes_ms),
                    watermark: self.local(reached_ms),
                });
            }
        }
        Ok(())
    }

    /// The same for metrics: the last window that begins on the day must be final.
    fn refuse_unpublished(
        &self,
        table: &JobTable,
        last: NaiveDate,
        kept: &BTreeMap<String, KeptRows>,
    ) -> Result<(), BatchError> {
        let end_ms = day_start_ms(self.zone, next_day(last));
        for (name, rows) in kept {
            let Some(Published { windows, lateness_ms, .. }) = rows.published(self.zone) else { continue };
            let pane_ms = windows.pane_start_ms((end_ms - 1) * MICROS_PER_MS);
            let closes_ms = windows.last_end_ms(pane_ms).max(end_ms) + lateness_ms;
            let reached_ms = rows.through_ms().unwrap_or_else(|| Utc::now().timestamp_millis());
            if reached_ms < closes_ms {
                return Err(BatchError::OpenDay {
                    table: table.table.clone(),
                    day: last,
                    topic: name.clone(),
                    closes: self.local(closes_ms),
                    watermark: self.local(reached_ms),
                });
            }
        }
        Ok(())
    }

    /// As the domain's clocks show it.
    fn local(&self, ms: i64) -> String {
        let time = DateTime::from_timestamp_millis(ms).map(|time| time.with_timezone(&self.zone));
        time.map_or_else(|| ms.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    fn span(&self, days: Days) -> Span {
        Span { from_ms: day_start_ms(self.zone, days.from), to_ms: day_start_ms(self.zone, days.to) }
    }

    async fn rows(
        &self,
        table: &JobTable,
        days: Days,
        target: &WarehouseTable,
        tables: &Tables<'_>,
    ) -> Result<DataFrame, BatchError> {
        let failed = BatchError::engine(&table.table, "computed");
        let frame = planned(table, Some(self.span(days)), tables).await?;
        let frame = tables.engine().collect_locally(frame).map_err(&failed)?;
        let columns = target
            .schema
            .fields()
            .iter()
            .map(|field| cast(ident(field.name()), field.data_type().clone()).alias(field.name()));
        frame.select(columns.collect::<Vec<_>>()).map_err(failed)
    }
}

async fn planned(table: &JobTable, span: Option<Span>, tables: &Tables<'_>) -> Result<DataFrame, BatchError> {
    tables.plan(&table.query, &table.position, span).await
}

/// The table's columns as the warehouse has them.
pub(crate) async fn target(table: &JobTable, tables: &Tables<'_>) -> Result<WarehouseTable, BatchError> {
    let frame = planned(table, None, tables).await?;
    // Not the frame's own types: before it is analysed, CASE has that of its first branch, whatever
    // the others are.
    let plan = frame.into_optimized_plan().map_err(|source| unplanned(&table.position, &source))?;
    let wrong =
        |message: String, remedy: &str| BatchError::Catalog(Box::new(table.position.error(message, remedy.to_owned())));
    let schema = plan.schema().as_arrow();
    match schema.field_with_name(&table.date).map(Field::data_type) {
        Ok(DataType::Date32) => {}
        Ok(other) => {
            return Err(wrong(format!("column {} is {other}, not a DATE", table.date), "CAST(... AS DATE)"));
        }
        Err(_) => {
            return Err(wrong(format!("there is no column {}", table.date), "select it, or name another as date"));
        }
    }
    if let Some(unknown_name) = table.key.iter().find(|column| schema.field_with_name(column).is_err()) {
        return Err(wrong(format!("there is no column {unknown_name}"), "name columns of the query in key"));
    }
    // A catalog's views do not say what cannot be null, and a later query may find some.
    let fields = schema.fields().iter().map(|field| warehouse_field(field));
    Ok(WarehouseTable {
        name: table.table.clone(),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        date: table.date.clone(),
        key: table.key.clone(),
    })
}
