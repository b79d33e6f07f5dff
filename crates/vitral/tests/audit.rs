//! The audit trail: each command that changes data writes down what it did, to what, and the counts
//! before and after it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::cast;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::archive_columns;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Advance, Archive, ArchiveCommit, Layout, Location, MetricTable};

const METRIC: &str = "vendas_por_minuto";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn vitral_with(dir: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_vitral"))
        .current_dir(dir)
        .envs(settings.iter().copied())
        .args(["--data-dir", "data"])
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// What a command answers that must end in order.
fn vitral(dir: &Path, arguments: &[&str]) -> String {
    let said = vitral_with(dir, &[], arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}: {} {}", said.out, said.err);
    said.out
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Every act so far, the oldest first.
fn acts(dir: &Path) -> Vec<Value> {
    let sql = "SELECT acao, alvo, resultado, antes, depois FROM auditoria ORDER BY instante";
    let acts: Value = serde_json::from_str(&vitral(dir, &["query", sql, "--format", "json"])).expect("JSON");
    let counts = |act: &Value, when: &str| -> Value {
        act[when].as_str().map_or(Value::Null, |counts| serde_json::from_str(counts).expect("counts as JSON"))
    };
    let shown = |act: &Value| {
        json!({
            "acao": act["acao"], "alvo": act["alvo"], "resultado": act["resultado"],
            "antes": counts(act, "antes"), "depois": counts(act, "depois"),
        })
    };
    acts.as_array().expect("rows").iter().map(shown).collect()
}

/// An act that was done in order.
fn done(name: &str, to: &str, before: Value, after: Value) -> Value {
    json!({ "acao": name, "alvo": to, "resultado": "ok", "antes": before, "depois": after })
}

/// What an act was done to.
fn target(act: &Value) -> &str {
    act["alvo"].as_str().expect("what it was done to")
}

#[test]
fn imports_and_what_replaces_or_undoes_them_are_written_down() {
    let dir = folder();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    let last = || acts(dir.path()).pop().expect("an act");
    write("maio.csv", "pedido,produto,valor,data\nA1,p1,10.00,2025-05-14\nA2,p2,5.50,2025-05-15\nA3,p3,1.00,ontem\n");
    vitral(dir.path(), &["import", "maio.csv", "--table", "vendas", "--max-refused", "50%"]);
    let imported = last();
    let id = target(&imported);
    let listed = vitral(dir.path(), &["import", "list"]);
    assert!(id.starts_with(listed.split_whitespace().next().expect("an id")), "{id}: {listed}");
    let brought = |file: &str, counted: u64, refused: u64| json!({ "arquivo": file, "contadas": counted, "duplicadas": 0, "recusadas": refused, "conhecidas": 0 });
    assert_eq!(imported, done("importar", id, json!({ "contadas": 0 }), brought("maio.csv", 2, 1)));

    write("certo.csv", "pedido,produto,valor,data\nA1,p1,11.00,2025-05-14\n");
    vitral(dir.path(), &["import", "replace", id, "certo.csv"]);
    let replaced = last();
    let counts = |counted: u64, refused: u64| json!({ "contadas": counted, "duplicadas": 0, "recusadas": refused });
    let new_id = target(&replaced);
    assert_ne!(new_id, id);
    assert_eq!(replaced, done("substituir_importacao", new_id, counts(2, 1), brought("certo.csv", 1, 0)));

    vitral(dir.path(), &["import", "undo", new_id]);
    assert_eq!(last(), done("desfazer_importacao", new_id, counts(1, 0), counts(0, 0)));

    // What has failed is written down with the reason.
    write("quando.csv", "pedido,valor,data\nB1,10.00,01/02/2025\n");
    assert_eq!(vitral_with(dir.path(), &[], &["import", "quando.csv", "--table", "vendas"]).code, Some(1));
    let failed = last();
    assert_eq!((&failed["acao"], target(&failed)), (&json!("importar"), "quando.csv"), "{failed}");
    assert!(failed["resultado"].as_str().is_some_and(|why| why.contains("--dates")), "{failed}");
    assert_eq!((&failed["antes"], &failed["depois"]), (&Value::Null, &Value::Null), "{failed}");
    assert_eq!(acts(dir.path()).len(), 4, "each of them once");
}

/// A data directory that a demo left: 600 messages.
fn kept_data(dir: &Path) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade/0.1-2026-11-24/data");
    let copied = Command::new("cp").arg("-r").arg(kept).arg(dir.join("data")).status().expect("cp runs");
    assert!(copied.success());
}

#[test]
fn retention_is_written_down_once_rows_were_moved_or_deleted() {
    let dir = folder();
    kept_data(dir.path());
    let settings = [("VITRAL__RETENTION__HOT_DAYS", "0"), ("VITRAL__RETENTION__COLD_DAYS", "0")];
    let retain = |yes: &[&str]| {
        let arguments = [["batch", "run", "retencao"].as_slice(), yes].concat();
        vitral_with(dir.path(), &settings, &arguments).code
    };
    let done = |left: u64, moved: u64, deleted: u64| {
        let after = json!({ "linhas": left, "movidas": moved, "apagadas": deleted });
        done("reter", "eventos_clientes", json!({ "linhas": 600 }), after)
    };
    assert_eq!(retain(&[]), Some(0));
    assert_eq!(acts(dir.path()), [done(600, 600, 0)]);
    assert_eq!(retain(&[]), Some(1), "nobody has agreed");
    assert_eq!(acts(dir.path()).len(), 1, "nothing was done");
    assert_eq!(retain(&["--yes"]), Some(0));
    assert_eq!(acts(dir.path()), [done(600, 600, 0), done(0, 0, 600)]);
}

#[test]
fn compaction_is_written_down_with_how_many_files_it_left() {
    let dir = folder();
    for (name, order) in [("a.csv", "A1"), ("b.csv", "B1")] {
        let text = format!("pedido,valor,data\n{order},10.00,2025-05-14\n");
        std::fs::write(dir.path().join(name), text).expect("written");
        vitral(dir.path(), &["import", name, "--table", "vendas"]);
    }
    // `history/eventos_clientes: 2 files became 1, 0 old ones deleted`, and so on.
    let said = vitral(dir.path(), &["batch", "run", "compactacao"]);
    let sum = |place: usize| -> u64 {
        let number = |line: &str| line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).nth(place);
        said.lines().filter_map(number).sum()
    };
    assert!(sum(0) > sum(1) && sum(1) > 0, "{said}");
    let act = acts(dir.path()).pop().expect("an act");
    let after = json!({ "arquivos": sum(1), "apagados": sum(2) });
    assert_eq!(act, done("compactar", target(&act), json!({ "arquivos": sum(0) }), after), "{said}");
}

/// A shop with a metric that is published up to `through`, without a row so far.
async fn shop(dir: &Path, through: &str) -> (Catalog, Location) {
    let settings = DomainSettings::default();
    let catalog = Catalog::load(&[], &settings).expect("the catalog");
    let store = Location::folder(&dir.join("data")).expect("a store");
    let metric = catalog.metric(METRIC).expect("the metric");
    let topic = catalog.topic(&metric.topic).expect("its topic");
    let session = engine_session(EngineConfig::default()).expect("a session");
    let plan = MetricPlan::new(metric, topic, &settings, &session).expect("planned");
    let (version, place) = (metric.version(&settings, topic.lateness_ms), Layout::of(&store).metrics());
    let schema = Arc::clone(plan.rows_schema());
    let mut table = MetricTable::open(&metric.name, &version, schema, &place).await.expect("opened");
    table.publish(Vec::new(), micros(through) / 1_000).await.expect("published");
    (catalog, store)
}

fn micros(time: &str) -> i64 {
    time.parse::<DateTime<Utc>>().expect("a time").timestamp_micros()
}

/// Archives a sale of 10.00 as a stream does, next after those that are there.
async fn archive(catalog: &Catalog, store: &Location, time: &str, verdict: Verdict) {
    use archive_columns::*;
    let topic = catalog.topic("eventos_clientes").expect("a topic");
    let partition = PartitionId(0);
    let mut archive = Archive::open(topic, "log", [partition], store).await.expect("opened");
    let from = archive.next_offsets().get(&partition).copied();
    let offset = from.unwrap_or_default().0;
    let schema = topic.archive_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let number = |number: i64| cast(&Int64Array::from(vec![number]), field.data_type()).expect("a number");
        match field.name().as_str() {
            PARTITION => number(0),
            OFFSET => number(offset),
            ARRIVAL | "timestamp" => {
                Arc::new(TimestampMicrosecondArray::from_value(micros(time), 1).with_timezone("UTC"))
            }
            LOG => text("log"),
            VERDICT => text(verdict.name()),
            "id_usuario" => text("u1"),
            "tipo_evento" => text("compra"),
            "id_produto" => text("p1"),
            "moeda" => text("BRL"),
            "quantidade" => number(1),
            "valor_total" => number(10),
            _ => new_null_array(field.data_type(), 1),
        }
    });
    let commit = ArchiveCommit {
        rows: vec![RecordBatch::try_new(schema.clone(), columns.collect()).expect("the archive's schema")],
        offsets: BTreeMap::from([(partition, Advance { from, to: Offset(offset + 1) })]),
        watermark: Some(Watermark::from_ms(micros(time) / 1_000)),
        token: offset + 1,
        ..ArchiveCommit::default()
    };
    archive.commit(&commit).await.expect("committed");
}

#[test]
fn keys_are_made_shown_and_revoked_and_that_is_written_down() {
    let dir = folder();
    let arguments = ["keys", "create", "--name", "painel", "--scope", "vendas:read", "--scope", "vendsa:read"];
    let said =
        vitral_with(dir.path(), &[], &[&arguments[..], &["--filter", "regiao=Sul", "--expires", "90d"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said_of = |line: usize| said.out.lines().nth(line).and_then(|line| line.split_whitespace().last());
    let (id, secret) = (said_of(0).expect("an id"), said_of(1).expect("a secret"));
    assert!(id.starts_with("vk_") && secret.len() == 43, "{}", said.out);
    assert!(
        said.err.contains("vendsa is not in the catalog") && !said.err.contains("warning: vendas "),
        "{}",
        said.err
    );
    assert!(said.err.contains("access.mode"), "{}", said.err);
    let listed = vitral(dir.path(), &["keys", "list"]);
    assert!(listed.contains(id) && listed.contains("regiao=Sul") && listed.contains("ativa"), "{listed}");
    assert!(!listed.contains(secret), "{listed}");
    vitral(dir.path(), &["keys", "revoke", id]);
    assert!(vitral(dir.path(), &["keys", "list"]).contains("revogada"));
    for (wrong, words) in [
        (["create", "--name", "x", "--scope", "vendas:drop"], "vendas:drop"),
        (["create", "--name", "x", "--filter", "regiao"], "COLUMN=VALUE"),
        (["create", "--name", "x", "--expires", "ontem"], "--expires ontem"),
    ] {
        let said = vitral_with(dir.path(), &[], &[&["keys"][..], &wrong[..]].concat());
        assert!(said.code == Some(2) && said.err.contains(words), "{wrong:?}: {}", said.err);
    }
    let unknown = vitral_with(dir.path(), &[], &["keys", "revoke", "vk_aaaaaaaaaaaaaaaa"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("vitral keys list"), "{}", unknown.err);
    let acts = acts(dir.path());
    let names: Vec<&str> = acts.iter().filter_map(|act| act["acao"].as_str()).collect();
    assert_eq!(names, ["criar_chave", "listar_chaves", "revogar_chave", "listar_chaves"]);
    assert_eq!((target(&acts[0]), target(&acts[2])), (id, id));
    assert_eq!(acts[0]["depois"]["escopos"], json!(["vendas:read", "vendsa:read"]), "{}", acts[0]);
    assert!(acts.iter().all(|act| !act.to_string().contains(secret)));
}

#[tokio::test]
async fn replays_and_repairs_are_written_down() {
    let dir = folder();
    let (catalog, store) = shop(dir.path(), "2025-05-12T00:00:00Z").await;
    archive(&catalog, &store, "2025-05-10T12:00:00Z", Verdict::Late).await;
    vitral(dir.path(), &["ledger", "replay"]);
    let after = json!({ "contadas": 1, "duplicadas": 0, "recusadas": 0, "falhas": 0 });
    let replayed = done("reprocessar", "eventos_clientes", json!({ "no_livro": 1 }), after);
    assert_eq!(acts(dir.path()), std::slice::from_ref(&replayed), "what it published again is a part of it");

    // A sale that counts, of which the metric has no row.
    archive(&catalog, &store, "2025-05-10T12:10:00Z", Verdict::Counted).await;
    vitral(dir.path(), &["reconcile", "--date", "2025-05-10", "--metric", METRIC, "--repair"]);
    let before = json!({ "linhas_erradas": 0, "linhas_ausentes": 1 });
    let after = json!({ "linhas": 2, "de": "2025-05-10T03:00:00+00:00", "ate": "2025-05-11T03:00:00+00:00" });
    assert_eq!(acts(dir.path()), [replayed, done("reparar", METRIC, before, after)]);
    // Where nothing differs, nothing is repaired.
    vitral(dir.path(), &["reconcile", "--date", "2025-05-10", "--metric", METRIC, "--repair"]);
    assert_eq!(acts(dir.path()).len(), 2);
}
