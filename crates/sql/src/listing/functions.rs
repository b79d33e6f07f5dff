//! Functions of PostgreSQL that clients call when they look around. Most of them have one answer
//! here.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::catalog::MemoryCatalogProvider;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use vitral_catalog::{DomainSettings, Setting};
use vitral_query::QueryError;

use super::DATABASE;
use crate::dialect;
use crate::settings::{SERVER_VERSION, default_of};

/// A session that knows PostgreSQL's functions and types besides the engine's own.
pub(crate) fn base_session(state: SessionState, settings: &DomainSettings) -> Result<SessionState, QueryError> {
    let context = SessionContext::new_with_state(state);
    context.register_catalog(DATABASE, Arc::new(MemoryCatalogProvider::new()));
    // It registers tables too, which each principal has of its own.
    setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(|error| QueryError::from(*error))?;
    for (name, value) in constants() {
        context.register_udf(ScalarUDF::new_from_impl(Constant::new(name, value)));
    }
    context.register_udf(ScalarUDF::new_from_impl(CurrentSetting::new(settings)));
    context.register_udf(ScalarUDF::new_from_impl(SetConfig { signature: texts() }));
    let mut state = context.state();
    dialect::add(&mut state)?;
    // Ours is made of what is known, without planning each table.
    state.config_mut().options_mut().catalog.information_schema = false;
    Ok(state)
}

/// Functions that are true of everything here.
const YES: &[&str] = &[
    "has_column_privilege",
    "has_function_privilege",
    "has_sequence_privilege",
    "has_tablespace_privilege",
    "has_type_privilege",
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_function_is_visible",
    "pg_has_role",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_statistics_obj_is_visible",
    "pg_ts_config_is_visible",
    "pg_type_is_visible",
];

/// Functions that are true of nothing here.
const NO: &[&str] = &[
    "pg_column_is_updatable",
    "pg_is_in_recovery",
    "pg_is_other_temp_schema",
    "pg_is_wal_replay_paused",
    "pg_terminate_backend",
];

/// Functions that have nothing to say here.
const NOTHING: &[&str] = &[
    "inet_client_addr",
    "inet_server_addr",
    "oidvectortypes",
    "pg_advisory_unlock_all",
    "pg_get_constraintdef",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_function_sqlbody",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_triggerdef",
    "pg_get_viewdef",
    "pg_tablespace_location",
    "shobj_description",
];

fn constants() -> Vec<(&'static str, ScalarValue)> {
    let yes = || ScalarValue::Boolean(Some(true));
    let no = || ScalarValue::Boolean(Some(false));
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let nothing = || ScalarValue::Utf8(None);
    let mut all = vec![
        ("_pg_expandarray", nothing_expanded()),
        ("getdatabaseencoding", text("UTF8")),
        ("version", text(&format!("PostgreSQL {SERVER_VERSION}, read-only"))),
        ("generate_subscripts", ScalarValue::Int32(Some(1))),
        ("inet_client_port", ScalarValue::Int32(None)),
        ("inet_server_port", ScalarValue::Int32(None)),
        ("pg_char_to_encoding", ScalarValue::Int32(Some(6))),
        ("pg_indexes_size", ScalarValue::Int64(Some(0))),
        ("pg_my_temp_schema", ScalarValue::Int32(Some(0))),
        ("pg_relation_is_updatable", ScalarValue::Int32(Some(0))),
        ("pg_size_pretty", text("0 bytes")),
        ("pg_table_size", ScalarValue::Int64(Some(0))),
        ("pg_database_size", ScalarValue::Int64(Some(0))),
        ("txid_current", ScalarValue::Int64(Some(1))),
    ];
    all.extend(YES.iter().map(|name| (*name, yes())));
    all.extend(NO.iter().map(|name| (*name, no())));
    all.extend(NOTHING.iter().map(|name| (*name, nothing())));
    all
}

/// `information_schema._pg_expandarray` of the keys of an index, of which there is none.
fn nothing_expanded() -> ScalarValue {
    let fields = ["x", "n"].map(|name| Arc::new(Field::new(name, DataType::Int32, true)));
    ScalarValue::Struct(Arc::new(StructArray::new_null(fields.to_vec().into(), 1)))
}

/// Who is signed in.
pub(super) fn own_names(id: &str) -> [ScalarUDF; 4] {
    let value = || ScalarValue::Utf8(Some(id.to_owned()));
    ["session_user", "current_user", "current_role", "user"]
        .map(|name| ScalarUDF::new_from_impl(Constant::new(name, value())))
}

/// The same answer whatever is asked.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    value: ScalarValue,
    signature: Signature,
}

impl Constant {
    fn new(name: &'static str, value: ScalarValue) -> Self {
        let arguments = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        Self { name, value, signature: Signature::one_of(arguments, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

fn texts() -> Signature {
    Signature::one_of(vec![TypeSignature::VariadicAny], Volatility::Stable)
}

/// The first argument, as texts.
fn first_texts(arguments: &ScalarFunctionArgs, index: usize) -> EngineResult<ArrayRef> {
    let Some(value) = arguments.args.get(index) else {
        return Err(DataFusionError::Plan("an argument is missing".to_owned()));
    };
    let values = value.to_array(arguments.number_rows)?;
    Ok(cast(&values, &DataType::Utf8)?)
}

/// `current_setting('domain.currency')` and the settings of PostgreSQL, as they are at first.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    domain: BTreeMap<String, String>,
    signature: Signature,
}

impl CurrentSetting {
    fn new(settings: &DomainSettings) -> Self {
        let text = |setting: &Setting| match setting {
            Setting::Integer(number) => number.to_string(),
            Setting::Decimal(number) => f64::from(number.clone()).to_string(),
            Setting::Text(text) => text.clone(),
        };
        let own = settings.settings.iter().map(|(name, setting)| (format!("domain.{name}"), text(setting)));
        let mut domain: BTreeMap<String, String> = own.collect();
        domain.insert("domain.currency".to_owned(), settings.currency.clone());
        domain.insert("domain.time_zone".to_owned(), settings.time_zone.name().to_owned());
        Self { domain, signature: texts() }
    }

    fn find(&self, name: &str) -> Option<String> {
        self.domain.get(name).cloned().or_else(|| default_of(name).map(str::to_owned))
    }
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let may_be_missing = arguments.args.len() > 1;
        let names = first_texts(&arguments, 0)?;
        let found = names.as_string::<i32>().iter().map(|name| match name.map(|name| (name, self.find(name))) {
            Some((name, None)) if !may_be_missing => {
                Err(DataFusionError::Plan(format!("unrecognized configuration parameter \"{name}\"")))
            }
            found => Ok(found.and_then(|(_, value)| value)),
        });
        let found: StringArray = found.collect::<EngineResult<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// `set_config(name, value, is_local)`: settings are set by SET alone; what would be set is the
/// answer.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SetConfig {
    signature: Signature,
}

impl ScalarUDFImpl for SetConfig {
    fn name(&self) -> &str {
        "set_config"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        Ok(ColumnarValue::Array(first_texts(&arguments, 1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_find_the_functions_that_they_call() {
        let state = SessionContext::new().state();
        let state = base_session(state, &DomainSettings::default()).expect("a session");
        let context = SessionContext::new_with_state(state);
        for (sql, wanted) in [
            ("SELECT version()", "PostgreSQL 17.0"),
            ("SELECT pg_is_in_recovery()", "false"),
            ("SELECT current_setting('server_version_num')", "170000"),
            ("SELECT current_setting('domain.currency')", "BRL"),
            ("SELECT current_setting('nada', true) IS NULL", "true"),
            ("SELECT set_config('bytea_output', 'hex', false)", "hex"),
            ("SELECT pg_type_is_visible(5)", "true"),
        ] {
            let rows = context.sql(sql).await.expect(sql).collect().await.expect(sql);
            let shown = arrow::util::pretty::pretty_format_batches(&rows).expect("a table").to_string();
            assert!(shown.contains(wanted), "{sql}: {shown}");
        }
    }
}
