//! The table that a topic with a primary key is: its newest row for each key, as a whole, unless
//! that is deleted.

use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr, TableWithJoins};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::statement::{expression, named};
use super::{KeyedView, Merge, ROW_ORDER_COLUMN};
use crate::domains::plain;
use crate::names::ORIGIN_COLUMN;
use crate::{Diagnostic, Position};
use vitral_schemas::changes::{ChangeOrder, change_columns};
use vitral_schemas::topic::Topic;

/// The place of a message among all messages: generation of the log, partition, offset.
pub const PLACE_COLUMN: &str = "_lugar";
/// The place of a message without a value, which deletes what came before it.
pub const TOMBSTONE_COLUMN: &str = "_lapide";
/// In states, the place in order of the row that they hold.
pub const STATE_ORDER_COLUMN: &str = "_ordem_linha";

/// While states are made: the last tombstone of a row's key.
pub const LAST_TOMBSTONE: &str = "_ultima_lapide";

impl KeyedView {
    /// The table of a topic with a primary key, under the topic's name.
    pub(crate) fn of_changes(topic: &Topic, position: &Position) -> Result<Self, Diagnostic> {
        let Some(changes) = &topic.changes else {
            return Err(position.error(format!("topic {} has no primary key", topic.name), "add primary_key".into()));
        };
        let own = topic.columns.iter().enumerate().filter(|(index, _)| changes.is_declared(*index));
        let columns: Vec<String> = own
            .map(|(index, column)| match (quoted(&column.name), changes.key.contains(&index)) {
                (name, true) => name,
                (name, false) => format!("latest({name}) AS {name}"),
            })
            .collect();
        let keys: Vec<String> = changes.key.iter().map(|index| quoted(&topic.columns[*index].name)).collect();
        let text =
            format!("SELECT {} FROM {} GROUP BY {}", columns.join(", "), quoted(plain(&topic.name)), keys.join(", "));
        let query = Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
        let query = query.map_err(|error| position.error(error.to_string(), "rename the columns".into()))?;
        let mut view = Self::read_query(topic.name.clone(), *query, "", position)?;
        let names: Vec<&str> = changes.key.iter().map(|index| topic.columns[*index].name.as_str()).collect();
        view.description = format!("The newest row of each {}.", names.join(", "));
        view.topic.clone_from(&topic.name);
        view.is_of_changes = true;
        view.columns.iter_mut().for_each(|column| column.merge = Merge::Newest);
        // Rows of another order are another table.
        let order = match changes.order {
            ChangeOrder::Offset => " /* by offset */".to_owned(),
            ChangeOrder::Column(index) => format!(" /* by {} */", topic.columns[index].name),
        };
        view.text += &order;
        // Numbers of rows begin again with a row that was deleted and comes again; places in a
        // source's log never do.
        view.is_new_after_tombstone = changes.debezium.is_none() && matches!(changes.order, ChangeOrder::Column(_));
        let behind = if view.is_new_after_tombstone { " behind tombstones" } else { "" };
        view.lineage = Some(format!("{} FROM {}{order}{behind}", keys.join(", "), quoted(plain(&topic.name))));
        Ok(view)
    }

    /// The aggregates of a state: each column of the newest row, whether that deletes, and where it
    /// and the last tombstone stand.
    pub(super) fn newest(&self) -> Result<Vec<SelectItem>, ParserError> {
        let columns = self.columns.iter().map(|column| column.name.as_str());
        let mut counts = format!("{ROW_ORDER_COLUMN} IS NOT NULL");
        if self.is_new_after_tombstone {
            counts += &format!(" AND ({LAST_TOMBSTONE} IS NULL OR {PLACE_COLUMN} > {LAST_TOMBSTONE})");
        }
        let mut items = Vec::new();
        for name in columns.chain([change_columns::DELETED, PLACE_COLUMN]) {
            let newest = format!("last_value({} ORDER BY {ROW_ORDER_COLUMN}) FILTER (WHERE {counts})", quoted(name));
            items.push(named(expression(&newest)?, name));
        }
        let order = match self.is_new_after_tombstone {
            true => format!("max({ROW_ORDER_COLUMN}) FILTER (WHERE {counts})"),
            false => format!("max({ROW_ORDER_COLUMN})"),
        };
        items.push(named(expression(&order)?, STATE_ORDER_COLUMN));
        items.push(named(expression(&format!("max({TOMBSTONE_COLUMN})"))?, TOMBSTONE_COLUMN));
        Ok(items)
    }

    /// The topic's rows, each with the last tombstone of its key among those of its origin.
    pub(super) fn with_last_tombstone(&self) -> Result<Vec<TableWithJoins>, ParserError> {
        let keys: Vec<String> = self.key_expressions.iter().map(ToString::to_string).collect();
        let topic = quoted(plain(&self.topic));
        let text = format!(
            "SELECT 1 FROM (SELECT *, max({TOMBSTONE_COLUMN}) OVER (PARTITION BY {ORIGIN_COLUMN}, {}) AS {LAST_TOMBSTONE} FROM {topic}) \
             AS {topic}",
            keys.join(", ")
        );
        let query = Parser::new(&GenericDialect {}).try_with_sql(&text)?.parse_query()?;
        match *query.body {
            SetExpr::Select(select) => Ok(select.from),
            _ => Err(ParserError::ParserError(format!("{topic} is not a table"))),
        }
    }

    /// A message whose key could not be known is of no row.
    pub(super) fn has_key(&self) -> Option<Expr> {
        let conditions = self.key_expressions.iter().map(|key| Expr::IsNotNull(Box::new(key.clone())));
        conditions.reduce(|both, next| Expr::BinaryOp {
            left: Box::new(both),
            op: datafusion::sql::sqlparser::ast::BinaryOperator::And,
            right: Box::new(next),
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
