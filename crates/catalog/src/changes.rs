//! Topics whose messages change rows (`primary_key`, `format = 'debezium'`): what their options
//! say, and what cannot read them.

use super::options::Options;
use super::{Catalog, Diagnostic, KeyedView, Position};
use vitral_schemas::changes::{ChangeOrder, Changes, Debezium, NumericTime};
use vitral_schemas::topic::{Column, ColumnKind};

/// What [`ChangeOrder::Offset`] is called.
const OFFSET: &str = "offset";

/// What the options say of changes; none of a topic of events. The columns get what the key needs,
/// and those of Debezium.
pub(super) fn read(
    name: &str,
    columns: &mut Vec<Column>,
    options: &mut Options,
    position: &Position,
) -> Result<Option<Changes>, Diagnostic> {
    let debezium = match options.take_text("format")? {
        Some((format, at)) if format == "debezium" => Some(at),
        Some((format, at)) if format != "json" => {
            return Err(at.error(format!("format = '{format}' is not known"), "use 'json' or 'debezium'".into()));
        }
        _ => None,
    };
    let times = options.gather(|options| times(options, debezium.is_some()));
    let order = options.gather(|options| options.take_text("order"));
    let Some((key, key_at)) = options.take_text("primary_key")? else {
        return match (debezium, order) {
            (Some(at), _) => Err(at.error(
                format!("topic {name} of Debezium has no primary key"),
                "add primary_key = 'column, ...': what identifies a row in its source".into(),
            )),
            (None, Some((_, at))) => Err(at.error(
                "order is of no use without a primary key".to_owned(),
                "add primary_key = 'column, ...', or leave order out".into(),
            )),
            (None, None) => Ok(None),
        };
    };
    refuse_events(name, options, debezium.is_some());
    let key = options.gather(|_| primary_key(name, &key, columns, &key_at));
    if let Some(column) = columns.iter().find(|column| column.name == super::UPDATED_COLUMN) {
        options.refuse(position.error(
            format!("topic {name}: {} is the column of every such table that says when a row arrived", column.name),
            "leave it out, or have the source send it under another name".into(),
        ));
    }
    let order = options.gather(|_| match order {
        None => Ok(None),
        Some((order, _)) if debezium.is_some() && order == OFFSET => Ok(Some(ChangeOrder::Offset)),
        Some((order, at)) if debezium.is_some() => Err(at.error(
            format!("order = '{order}': changes of Debezium are in the order of the source's log"),
            format!("leave it out, or write order = '{OFFSET}' if the source's log has begun again"),
        )),
        Some((order, at)) => order_column(name, &order, columns, &at).map(Some),
    });
    let debezium = debezium.map(|_| Debezium::add_columns(columns, times));
    let order = match (order, debezium) {
        (Some(order), _) => order,
        (None, Some(debezium)) => ChangeOrder::Column(debezium.position),
        (None, None) => ChangeOrder::Offset,
    };
    Ok(Some(Changes { key, order, debezium }))
}

/// Options that speak of events, which come once and belong to a time.
fn refuse_events(name: &str, options: &mut Options, is_debezium: bool) {
    if let Some((_, at)) = options.gather(|options| options.take_text("event_id")) {
        options.refuse(at.error(
            format!("topic {name} has a primary key, and no event_id"),
            "leave event_id out: a change that comes twice changes nothing".into(),
        ));
    }
    if let Some((lateness, at)) = options.gather(|options| options.take_text("lateness"))
        && !lateness.eq_ignore_ascii_case("never")
    {
        options.refuse(at.error(
            format!("topic {name} has a primary key, so no change of it is too late"),
            "leave lateness out".into(),
        ));
    }
    if is_debezium && let Some((_, at)) = options.gather(|options| options.take_text("event_time")) {
        options.refuse(at.error(
            format!("topic {name} of Debezium takes its event time from the source"),
            "leave event_time out".into(),
        ));
    }
}

fn times(options: &mut Options, is_debezium: bool) -> Result<Option<NumericTime>, Diagnostic> {
    let Some((times, at)) = options.take_text("times")? else { return Ok(None) };
    if !is_debezium {
        return Err(at.error("times is for topics of Debezium only", "leave it out: times are RFC 3339 strings".into()));
    }
    match times.as_str() {
        "millis" => Ok(Some(NumericTime::Millis)),
        "micros" => Ok(Some(NumericTime::Micros)),
        "nanos" => Ok(Some(NumericTime::Nanos)),
        _ => Err(at.error(format!("times = '{times}' is not known"), "use 'millis', 'micros' or 'nanos'".into())),
    }
}

/// The indexes of the key's columns, which no row can lack.
fn primary_key(name: &str, key: &str, columns: &mut [Column], at: &Position) -> Result<Vec<usize>, Diagnostic> {
    let mut indexes = Vec::new();
    for part in key.split(',').map(str::trim) {
        let found = columns.iter().position(|column| column.name == part);
        let wrong = match found {
            None => format!("{part} is not a column of {name}"),
            Some(index) if columns[index].lookup.is_some() => format!("{part} is looked up only once the row counts"),
            Some(index) if indexes.contains(&index) => format!("{part} is named twice"),
            Some(index) => {
                columns[index].needed = true;
                indexes.push(index);
                continue;
            }
        };
        let remedy = "name columns of the message, with commas between them".to_owned();
        return Err(at.error(format!("primary_key = '{key}': {wrong}"), remedy));
    }
    Ok(indexes)
}

fn order_column(name: &str, order: &str, columns: &[Column], at: &Position) -> Result<ChangeOrder, Diagnostic> {
    let index = columns.iter().position(|column| column.name == order);
    let wrong = match index.map(|index| &columns[index]) {
        None => "is not a column of",
        Some(column) if !matches!(column.kind, ColumnKind::Integer | ColumnKind::Timestamp) => {
            "is neither a BIGINT nor a TIMESTAMP of"
        }
        Some(column) if column.lookup.is_some() => "is looked up only once the row counts, in",
        Some(column) if !column.needed => "can be absent, as it is not declared NOT NULL, in",
        Some(_) => return Ok(ChangeOrder::Column(index.unwrap_or_default())),
    };
    Err(at.error(
        format!("order = '{order}': {order} {wrong} {name}"),
        "name a BIGINT NOT NULL or TIMESTAMP NOT NULL column that rises with each change of a row, or leave order out: the last message counts then"
            .into(),
    ))
}

impl Catalog {
    /// Each topic with a primary key is a table that is kept up to date, under its own name.
    /// Metrics, other such tables and files are of events, and cannot be made of it.
    pub(super) fn add_tables_of_changes(&mut self, errors: &mut Vec<Diagnostic>) {
        let of_rows = |name: &str| self.topic(name).is_some_and(|topic| topic.changes.is_some());
        let remedy = "write CREATE VIEW name AS SELECT ... over it: a row that changes, or is deleted, changes what is computed from it";
        let reads = |kind: &str, name: &str, topic: &str| {
            format!("{kind} {name}: {topic} has a primary key, and so one row for each key, which are not events")
        };
        for metric in self.metrics.iter().filter(|metric| of_rows(&metric.topic)) {
            let message = reads("metric", &metric.name, &metric.topic);
            errors.push(metric.topic_position.error(message, remedy.into()));
        }
        for view in self.keyed.iter().filter(|view| !view.is_of_changes && of_rows(&view.topic)) {
            let message = reads("table", &view.name, &view.topic);
            errors.push(view.topic_position.error(message, remedy.into()));
        }
        for view in &self.views {
            if view.import.as_ref().is_some_and(|target| of_rows(&target.topic)) {
                errors.push(view.source.error(
                    format!("view {}: files cannot be imported into rows that their source keeps", view.name),
                    "leave import out".into(),
                ));
            }
        }
        let mut tables = Vec::new();
        for topic in self.topics.iter().filter(|topic| topic.changes.is_some()) {
            match KeyedView::of_changes(topic, &self.position_of(topic)) {
                Ok(view) => tables.push(view),
                Err(error) => errors.push(error),
            }
        }
        self.keyed.retain(|view| !view.is_of_changes);
        self.keyed.extend(tables);
    }
}

#[cfg(test)]
mod tests;
