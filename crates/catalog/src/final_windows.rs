//! The final windows of every metric as tables of the warehouse, without a statement for each.

use datafusion::sql::sqlparser::ast::{SetExpr, Statement};

use crate::syntax::ident_text;
use crate::{Catalog, Diagnostic, DomainSettings, JobTable, Metric, Period, Position, WINDOW_START_COLUMN, reader};

/// The job that has them; what a catalog adds to it is computed with them.
pub const LIVE_JOB: &str = "tempo_real";
/// The column with the day on which a window begins, by the first of these names that the metric
/// does not have.
const DATE_COLUMNS: [&str; 3] = ["data", "janela_data", "janela_dia"];
/// Which is false in all of them.
const PROVISIONAL_COLUMN: &str = "provisoria";

impl Catalog {
    /// Adds a table for each metric, but for those whose name a table of the warehouse has already.
    pub(super) fn add_final_windows(&mut self, settings: &DomainSettings, errors: &mut Vec<Diagnostic>) {
        for metric in &self.metrics {
            // A metric of a topic that there is not has its own error.
            let is_known = self.topic(&metric.topic).is_some();
            if !is_known || self.job_tables.iter().any(|table| table.table == metric.name) {
                continue;
            }
            match final_windows(metric, settings) {
                Ok(table) => self.job_tables.push(table),
                Err(error) => errors.push(error),
            }
        }
    }
}

fn final_windows(metric: &Metric, settings: &DomainSettings) -> Result<JobTable, Diagnostic> {
    let date = DATE_COLUMNS.into_iter().find(|name| !has_column(metric, name)).unwrap_or(DATE_COLUMNS[0]);
    // Plain: it is looked up in the metric's own domain.
    let name = crate::domains::plain(&metric.name).replace('"', "\"\"");
    let zone = settings.time_zone.name();
    let text = format!(
        "SELECT CAST({WINDOW_START_COLUMN} AT TIME ZONE '{zone}' AS DATE) AS {date}, * EXCLUDE ({PROVISIONAL_COLUMN}) FROM \"{name}\""
    );
    let mut statements = reader::statements(&text, &Position::file(&metric.position.file))?;
    let Some(Statement::Query(query)) = statements.pop() else {
        return Err(metric.position.error(
            format!("metric {} cannot be a table of the warehouse", metric.name),
            "give it a plain name".into(),
        ));
    };
    Ok(JobTable {
        job: LIVE_JOB.to_owned(),
        table: metric.name.clone(),
        per: Period::Day,
        date: date.to_owned(),
        key: Vec::new(),
        query,
        position: metric.position.clone(),
    })
}

fn has_column(metric: &Metric, name: &str) -> bool {
    use datafusion::sql::sqlparser::ast::{Expr, SelectItem};
    let SetExpr::Select(select) = metric.query.body.as_ref() else { return false };
    select.projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => ident_text(alias) == name,
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident_text(ident) == name,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, SourceFile};

    #[test]
    fn every_metric_is_a_table_of_the_warehouse_unless_one_has_its_name() {
        let text = "CREATE TABLE eventos (quando TIMESTAMP NOT NULL, tipo TEXT) WITH (connector = 'kafka', event_time = 'quando');
            CREATE MATERIALIZED VIEW a AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos GROUP BY janela;
            CREATE MATERIALIZED VIEW b AS SELECT tumble(INTERVAL '1 minute') AS janela, tipo AS data FROM eventos GROUP BY janela, tipo;
            CREATE MATERIALIZED VIEW c AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos GROUP BY janela;
            CREATE TABLE c_por_dia WITH (connector = 'warehouse', table = 'c', date = 'dia') AS SELECT CURRENT_DATE AS dia;";
        let file = SourceFile { path: "a.sql".into(), text: text.into() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        let tables: Vec<_> =
            catalog.job_tables.iter().map(|t| (t.job.as_str(), t.table.as_str(), t.date.as_str())).collect();
        assert_eq!(
            tables,
            [("c_por_dia", "c", "dia"), ("tempo_real", "a", "data"), ("tempo_real", "b", "janela_data")]
        );
        let query = catalog.job_tables[1].query.to_string();
        assert_eq!(
            query,
            "SELECT CAST(janela_inicio AT TIME ZONE 'America/Sao_Paulo' AS DATE) AS data, * EXCLUDE (provisoria) FROM \"a\""
        );
        assert_eq!(catalog.job_tables[1].position.line, 2);
    }
}
