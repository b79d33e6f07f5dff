//! Expressions of columns: planned, or refused where they cannot be rules.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use vitral_schemas::topic::Topic;

use crate::volatile_function;
use crate::words::{in_sql, words};

/// Why an expression cannot be a rule, and what to do.
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, remedy: &'static str) -> Self {
        Self { what: what.into(), remedy }
    }
}

impl From<DataFusionError> for Fault {
    fn from(source: DataFusionError) -> Self {
        Self::new(words(&source), "correct the expression in the topic's file")
    }
}

/// Plans the expressions of one topic.
pub(super) struct Planner<'a> {
    pub(super) topic: &'a Topic,
    columns: SchemaRef,
    schema: DFSchema,
    session: &'a SessionContext,
}

impl<'a> Planner<'a> {
    pub(super) fn new(topic: &'a Topic, session: &'a SessionContext) -> Result<Self, Fault> {
        let columns = topic.schema();
        let schema = DFSchema::try_from(Arc::clone(&columns))?;
        Ok(Self { topic, columns, schema, session })
    }

    /// An expression that says the same of a row whenever it is read.
    pub(super) fn parsed(&self, text: &str) -> Result<Expr, Fault> {
        let expr = self.session.state().create_logical_expr(text, &self.schema)?;
        match volatile_function(&expr)? {
            None => Ok(expr),
            Some(name) => Err(Fault::new(
                format!("{name} returns a different value on every call"),
                "compute from the message's own columns only",
            )),
        }
    }

    pub(super) fn physical(&self, expr: Expr) -> Result<Arc<dyn PhysicalExpr>, Fault> {
        Ok(self.session.create_physical_expr(expr, &self.schema)?)
    }

    /// The type of an expression's values.
    pub(super) fn type_of(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<DataType, Fault> {
        Ok(expr.data_type(&self.columns)?)
    }

    /// What a row has to fulfil.
    pub(super) fn condition(&self, text: &str) -> Result<Arc<dyn PhysicalExpr>, Fault> {
        let check = self.physical(self.parsed(text)?)?;
        match self.type_of(&check)? {
            DataType::Boolean => Ok(check),
            other => Err(Fault::new(
                format!("{text} is {}, which is not a condition", in_sql(&other.to_string())),
                "write a comparison, such as price > 0",
            )),
        }
    }

    /// The one value of an expression that no column is part of.
    pub(super) fn constant(&self, expr: Expr) -> Result<ArrayRef, Fault> {
        let nothing = self.columns.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let row = RecordBatch::try_new(Arc::clone(&self.columns), nothing).map_err(DataFusionError::from)?;
        Ok(self.physical(expr)?.evaluate(&row)?.into_array(1)?)
    }
}
