//! Columns of imported rows that are looked up: those without an answer are counted, and filled
//! when the file is imported in its own place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use vitral_batch::Unanswered;
use vitral_batch::import::{Files, Import, ImportReport};
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, builtin_files};
use vitral_connect::memory::MemoryLookup;
use vitral_connect::{ConnectError, Lookup, Lookups, Portion, TableLookup, TopicLookups};
use vitral_schemas::lookup::OnFailure;

use crate::world::{Read, World};

const SALES: &str = "id_pedido,id_produto,valor,data
A1,p1,10.00,2025-05-14
A2,p2,5.00,2025-05-15
A3,p3,x,2025-05-15
A4,p9,5.00,2025-05-15
";

/// Brands of products, one by one; while it is away, of `p1` alone.
#[derive(Debug)]
struct Brands {
    known: MemoryLookup,
    is_away: Arc<AtomicBool>,
}

#[async_trait]
impl Lookup for Brands {
    fn schema(&self) -> SchemaRef {
        self.known.schema()
    }

    fn portion(&self) -> Portion {
        Portion { keys: 1, calls: 2 }
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let rows = self.known.get(keys).await?;
        let is_first = keys.as_string::<i32>().iter().all(|key| key == Some("p1"));
        match self.is_away.load(Ordering::SeqCst) && !is_first {
            true => Err(ConnectError::outage("away")),
            false => Ok(rows),
        }
    }
}

fn world() -> World {
    let world = World::new();
    let files = builtin_files(&[DEFAULT_DOMAIN]);
    let topic = files.iter().find(|file| file.text.contains("CREATE TABLE eventos_clientes (")).expect("the topic");
    let looked_up = "CREATE TABLE eventos_clientes (
        marca TEXT GENERATED ALWAYS AS (lookup('marcas', id_produto, 'marca')) STORED,";
    let topic = topic.text.replace("CREATE TABLE eventos_clientes (", looked_up);
    let table = "CREATE TABLE marcas (id_produto VARCHAR(256) NOT NULL, marca TEXT) WITH (connector = 'file', key = 'id_produto');";
    let path = world.write("catalogo/eventos_clientes.sql", &format!("{topic}\n{table}"));
    let dir = path.parent().expect("a folder").to_owned();
    let catalog = Catalog::load(&[dir], &world.settings).expect("a catalog");
    World { catalog, ..world }
}

fn import(world: &World, is_away: &Arc<AtomicBool>) -> Import {
    let texts = |texts: [&str; 2]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    let columns = [("id_produto", texts(["p1", "p2"])), ("marca", texts(["alfa", "beta"]))];
    let known = RecordBatch::try_from_iter(columns).expect("rows");
    let brands =
        Brands { known: MemoryLookup::new(&known, "id_produto").expect("a look-up"), is_away: Arc::clone(is_away) };
    let table = TableLookup::cached("marcas", Box::new(brands), "id_produto", Duration::ZERO, OnFailure::Null);
    let lookups = Lookups::new([("marcas".to_owned(), table.expect("a table"))]);
    let import = world.understood("vendas", Read::default());
    Import { lookups: TopicLookups::new(&import.topic, &lookups).expect("open"), ..import }
}

const BRANDS: &str = "SELECT id_pedido, marca FROM eventos_clientes ORDER BY id_pedido";

#[tokio::test(flavor = "multi_thread")]
async fn imported_rows_without_an_answer_are_counted_and_filled_by_a_second_import() {
    let world = world();
    let is_away = Arc::new(AtomicBool::new(true));
    let path = world.write("maio.csv", SALES);
    let mut files = Files::new(&[path.display().to_string()], &BTreeMap::new()).await.expect("a file");
    let file = files.at_hand(0).await.expect("a file");
    let first: ImportReport = import(&world, &is_away).run(&file, &world.store, |_, _| {}).await.expect("imported");
    assert_eq!((first.accepted, first.refused), (3, 1));
    assert_eq!(first.unanswered, Unanswered::of("marca", 2), "what was answered is kept");
    assert_eq!(first.unanswered.to_string(), "marca of 2 rows");
    let rows = world.sql(BRANDS).await;
    assert!(rows.contains("| A1        | alfa  |") && rows.contains("| A2        |       |"), "{rows}");

    is_away.store(false, Ordering::SeqCst);
    let again = import(&world, &is_away).replace(&first.id, &file, &world.store, |_, _| {}).await.expect("replaced");
    assert_eq!((again.accepted, again.id == first.id), (3, true));
    assert!(again.unanswered.is_empty(), "an unknown product has its answer: {}", again.unanswered);
    let rows = world.sql(BRANDS).await;
    assert!(rows.contains("| A2        | beta  |") && rows.contains("| A4        |       |"), "{rows}");
}
