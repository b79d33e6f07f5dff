//! Jobs that read a table of another system as a whole, as it stands when they run.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use vitral_batch::BatchError;
use vitral_batch::jobs::{JobReport, Jobs, Wanted};
use vitral_catalog::Catalog;
use vitral_connect::memory::MemoryLookup;
use vitral_connect::{Lookup, WholeTables};
use vitral_store::warehouse::DeltaWarehouse;

use crate::world::{World, day};

/// The shop with its users' profiles in a database, not in a file.
fn world() -> World {
    let world = World::new();
    let table = "CREATE TABLE perfis_usuarios (id_usuario TEXT NOT NULL, segmento TEXT, cidade TEXT)
        WITH (connector = 'postgres', connection = 'clientes', key = 'id_usuario');";
    let path = world.write("catalogo/perfis.sql", table);
    let dir = path.parent().expect("a folder").to_owned();
    let catalog = Catalog::load(&[dir], &world.settings).expect("a catalog");
    World { catalog, ..world }
}

fn profiles(table: Result<[&str; 2], &str>) -> WholeTables {
    let table = table.map(|segments| {
        let texts = |texts: [&str; 2]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
        let columns = [("id_usuario", ["u1", "u2"]), ("segmento", segments), ("cidade", ["Recife", "Olinda"])];
        let rows = RecordBatch::try_from_iter(columns.map(|(name, values)| (name, texts(values)))).expect("rows");
        Box::new(MemoryLookup::new(&rows, "id_usuario").expect("a look-up")) as Box<dyn Lookup>
    });
    WholeTables::new([("perfis_usuarios".to_owned(), table.map_err(str::to_owned))])
}

async fn run(world: &World, job: &str, profiles: WholeTables) -> Result<Vec<JobReport>, BatchError> {
    let warehouse = DeltaWarehouse::new(world.store.join("warehouse"));
    let (zone, store) = (world.settings.time_zone, &world.store);
    let jobs = Jobs { catalog: &world.catalog, zone, store, warehouse: &warehouse, allow_open: true };
    let days = Wanted::Days(day("2025-05-14"), day("2025-05-14"));
    jobs.run(job, days, &world.tables().await.with_whole(profiles)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_reads_a_whole_table_as_it_stands_and_one_that_is_away_fails_that_job_alone() {
    let world = world();
    world.streamed(&["2025-05-14T12:00:00Z", "2025-05-14T13:00:00Z"], "2025-05-15T12:00:00Z").await;
    let sales = "SELECT segmento, receita FROM receita_por_segmento ORDER BY segmento";
    run(&world, "receita_por_segmento", profiles(Ok(["vip", "varejo"]))).await.expect("computed");
    let rows = world.warehouse("receita_por_segmento", sales).await;
    assert!(rows.contains("| vip      | 20.00   |") && !rows.contains("varejo"), "{rows}");

    let error = run(&world, "receita_por_segmento", profiles(Err("nobody answers"))).await.expect_err("away");
    assert!(matches!(&error, BatchError::LookupTable { table, .. } if table == "perfis_usuarios"), "{error:?}");
    assert!(error.to_string().contains("perfis_usuarios cannot be read: nobody answers"), "{error}");
    run(&world, "rfm", profiles(Err("nobody answers"))).await.expect("it reads no profiles");
    let rows = world.warehouse("receita_por_segmento", sales).await;
    assert!(rows.contains("vip"), "it stays as it was: {rows}");

    run(&world, "receita_por_segmento", profiles(Ok(["ouro", "varejo"]))).await.expect("computed again");
    let rows = world.warehouse("receita_por_segmento", sales).await;
    assert!(rows.contains("ouro") && !rows.contains("vip"), "{rows}");
}
