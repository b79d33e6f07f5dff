//! What `pg_catalog` says of databases and users: there is one of each.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::{PgCatalogContextProvider, Role};

use super::DATABASE;

/// The one database, for `pg_database`.
#[derive(Debug, Clone)]
pub(super) struct Database;

#[async_trait]
impl CatalogInfo for Database {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        Ok(vec![DATABASE.to_owned()])
    }

    async fn schema_names(&self, _catalog: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        Ok(None)
    }

    async fn table_names(&self, _catalog: &str, _schema: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        Ok(None)
    }

    async fn table_schema(
        &self,
        _catalog: &str,
        _schema: &str,
        _table: &str,
    ) -> Result<Option<SchemaRef>, DataFusionError> {
        Ok(None)
    }

    async fn table_type(
        &self,
        _catalog: &str,
        _schema: &str,
        _table: &str,
    ) -> Result<Option<TableType>, DataFusionError> {
        Ok(None)
    }
}

/// The user of the connection, who is the only one that it knows.
#[derive(Debug, Clone)]
pub(super) struct Roles(pub Arc<str>);

#[async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        vec![self.0.to_string()]
    }

    async fn role(&self, name: &str) -> Option<Role> {
        (name == &*self.0).then(|| Role {
            name: name.to_owned(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}
