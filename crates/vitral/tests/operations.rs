//! Commands of operations as people use them, where there is little or nothing to work on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use vitral_store::lease::{Holder, Lease, STREAM, UPKEEP};
use vitral_store::{DataDirLock, Location};

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn vitral(dir: &Path, arguments: &[&str]) -> Said {
    vitral_with(dir, &[], arguments)
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

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn import(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("written");
    let said = vitral(dir, &["import", name, "--table", "vendas"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn times_that_are_not_written_as_times_are_told_how() {
    let dir = folder();
    for wrong in ["2025-05-14", "14/05/2025", "2025-13-01T00:00:00Z"] {
        for arguments in [
            ["reconcile", "--from", wrong, "--to", "2025-05-15T00:00:00Z"].as_slice(),
            &["ledger", "list", "--from", wrong],
            &["simulate", "--start", wrong, "--count", "1", "--to", "events"],
        ] {
            let said = vitral(dir.path(), arguments);
            assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.err);
            assert!(said.err.contains("2025-12-31T03:00:00Z"), "{arguments:?}: {}", said.err);
        }
    }
    let said = vitral(dir.path(), &["reconcile", "--date", "14/05/2025"]);
    assert!(said.code == Some(2) && said.err.contains("2025-12-31"), "{}", said.err);
    for arguments in [
        ["reconcile", "--from", "2025-05-15T00:00:00Z", "--to", "2025-05-15T00:00:00Z"].as_slice(),
        &["reconcile", "--date", "2025-05-14", "--metric", "nada"],
    ] {
        assert_eq!(vitral(dir.path(), arguments).code, Some(2), "{arguments:?}");
    }
}

#[cfg(not(feature = "distributed"))]
#[test]
fn a_configuration_of_a_folder_above_is_another_installations() {
    let outer = folder();
    std::fs::write(outer.path().join("vitral.toml"), "[domain]\ntitle = 'Outer'").expect("written");
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    let shown = |folder: &Path| {
        let said = vitral(folder, &["config", "show"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out
    };
    assert!(shown(outer.path()).contains("Outer"));
    assert!(!shown(&inner).contains("Outer"));
}

#[test]
fn what_needs_another_build_names_its_feature() {
    let dir = folder();
    for arguments in [["cluster"].as_slice(), &["cluster", "--help"], &["cluster", "scheduler", "--listen", "x"]] {
        let said = vitral(dir.path(), arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.err);
        assert!(said.err.contains("--features distributed"), "{arguments:?}: {}", said.err);
    }
    assert!(!vitral(dir.path(), &["--help"]).out.contains("cluster"), "it is not offered");
}

#[test]
fn checks_without_their_reference_tables_are_not_ok() {
    let dir = folder();
    import(dir.path(), "a.csv", "pedido,produto,valor,data\nA1,p1,10.00,2025-05-14\n");
    let said = vitral(dir.path(), &["batch", "run", "verificacoes", "--date", "2025-05-14"]);
    assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
    for words in ["produtos_desconhecidos           not checked", "produtos.csv is not there", "VERDICT: ok, but 2 of "]
    {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = vitral(dir.path(), &["batch", "run", "verificacoes", "--date", "2020-01-01"]);
    assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
    let words = "no eventos_clientes events are stored for these days; the newest is from 2025-05-14";
    assert!(said.out.contains(words), "{}", said.out);
    assert!(said.out.contains("VERDICT: nothing was checked from 2020-01-01 to 2020-01-01"), "{}", said.out);
}

#[test]
fn a_job_over_a_folder_that_is_not_there_says_so() {
    let dir = folder();
    let said = vitral(dir.path(), &["batch", "run", "receita_mensal"]);
    assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
    assert!(said.out.contains("there was nothing at data: name"), "{}", said.out);
    import(dir.path(), "a.csv", "pedido,produto,valor,data\nA1,p1,10.00,2025-05-14\n");
    let said = vitral(dir.path(), &["batch", "run", "receita_mensal"]);
    assert!(said.code == Some(0) && !said.out.contains("there was nothing"), "{} {}", said.out, said.err);
}

#[test]
fn events_can_be_piped() {
    let dir = folder();
    let said = vitral(dir.path(), &["simulate", "--count", "3", "--to", "-"]);
    assert!(
        said.code == Some(0) && said.out.lines().count() == 3 && said.out.starts_with('{'),
        "{} {}",
        said.out,
        said.err
    );
    assert!(!dir.path().join("-").exists());
}

#[test]
fn a_job_for_all_days_says_which_have_rows() {
    let dir = folder();
    import(dir.path(), "a.csv", "pedido,produto,valor,data\nA1,p1,10.00,2025-05-14\n");
    let said = vitral(dir.path(), &["batch", "run", "limpeza", "--from", "0001-01-01", "--to", "9999-12-31"]);
    assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
    let words = "vendas: 0001-01-01 to 9999-12-31; 1 row read, 1 written\n  \
                 no rows are stored for 0001-01-01 to 2025-05-13, 2025-05-15 to 9999-12-31\n";
    assert!(said.out.contains(words), "{}", said.out);
}

#[test]
fn an_id_that_names_no_import_changes_nothing() {
    let dir = folder();
    let said = vitral(dir.path(), &["import", "list"]);
    assert!(said.code == Some(0) && said.out.contains("nothing has been imported into"), "{}", said.out);
    let said = vitral(dir.path(), &["import", "undo", "0123"]);
    assert!(said.code == Some(1) && said.err.contains("nothing has been imported into"), "{}", said.err);
    assert!(!dir.path().join("data/auditoria").exists(), "nothing was done that would be written down");
    import(dir.path(), "b.csv", "pedido,produto,valor,data\nB1,p1,10.00,2025-05-14\n");
    import(dir.path(), "a.csv", "pedido,produto,valor,data\nA1,p1,10.00,2025-05-15\n");
    for id in ["", "nada"] {
        let said = vitral(dir.path(), &["import", "undo", id]);
        assert!(said.code == Some(1) && said.err.contains("vitral import list"), "{id}: {}", said.err);
    }
    // What was imported last is at the end, also when the first is taken back or repeated.
    let listed = || -> Vec<String> {
        let said = vitral(dir.path(), &["import", "list"]);
        said.out.lines().map(str::to_owned).collect()
    };
    let id = listed()[0].split_whitespace().next().expect("an id").to_owned();
    import(dir.path(), "b.csv", "pedido,produto,valor,data\nB1,p1,10.00,2025-05-14\n");
    let said = vitral(dir.path(), &["import", "undo", &id]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines = listed();
    assert!(lines.len() == 2 && lines[0].contains("undone") && lines[0].ends_with("b.csv"), "{lines:?}");
    assert!(lines[1].ends_with("a.csv"), "{lines:?}");
}

/// A data directory that a demo left: 600 messages, 591 of which count.
fn kept_data(dir: &Path) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade/0.1-2026-11-24/data");
    let copied = Command::new("cp").arg("-r").arg(kept).arg(dir.join("data")).status().expect("cp runs");
    assert!(copied.success());
}

#[test]
fn retention_that_deletes_more_than_before_waits_for_a_yes() {
    let dir = folder();
    kept_data(dir.path());
    let settings = [("VITRAL__RETENTION__HOT_DAYS", "0"), ("VITRAL__RETENTION__COLD_DAYS", "0")];
    let retain = |more: &[(&str, &str)], yes: &[&str]| {
        let settings: Vec<_> = settings.iter().chain(more).copied().collect();
        vitral_with(dir.path(), &settings, &[&["batch", "run", "retencao"], yes].concat())
    };
    let counted = || {
        let said = vitral(dir.path(), &["query", "--format", "csv", "SELECT count(*) AS n FROM eventos_clientes"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out.lines().nth(1).expect("a row").to_owned()
    };
    // What is moved first is not deleted in the same run.
    let said = retain(&[], &[]);
    assert!(said.code == Some(0) && said.out.contains("600 rows moved"), "{} {}", said.out, said.err);
    assert_eq!(counted(), "591");

    let said = retain(&[], &[]);
    assert!(said.code == Some(1) && said.err.contains("--yes"), "{} {}", said.out, said.err);
    assert_eq!(counted(), "591", "nobody has agreed");

    let held = [("VITRAL__RETENTION__LEGAL_HOLD", r#"["eventos_clientes"]"#)];
    let said = retain(&held, &["--yes"]);
    assert!(said.code == Some(0) && said.out.contains("legal hold"), "{} {}", said.out, said.err);
    assert_eq!(counted(), "591", "under legal hold");

    let said = retain(&[], &["--yes"]);
    assert!(said.code == Some(0) && said.out.contains("600 deleted"), "{} {}", said.out, said.err);
    assert_eq!(counted(), "0");
}

/// A DAG's file without its comments.
fn dag(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(format!("orchestration/dags/vitral_{name}.py"))).expect("a DAG");
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// A job that nobody schedules is a table that grows old in silence. Each runs every hour, for what
/// has changed, and every night, for the day that is over.
#[test]
fn every_job_of_the_catalog_is_in_a_dag() {
    let dir = folder();
    let said = vitral(dir.path(), &["batch", "list"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    // Each job, and whether any of its tables is computed by days or months.
    let mut jobs = BTreeMap::new();
    for line in said.out.lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(job), Some(per)) = (words.next(), words.nth(1)) else { panic!("{line}") };
        *jobs.entry(job).or_insert(false) |= ["day", "month"].contains(&per);
    }
    assert!(jobs.get("limpeza") == Some(&true) && jobs.get("rfm") == Some(&false), "{}", said.out);
    // Upkeep and checks have DAGs of their own.
    for job in ["compactacao", "retencao", "verificacoes"] {
        assert!(jobs.remove(job).is_some(), "{job}: {}", said.out);
        assert!(dag(job).contains(&format!("\"batch run {job}")), "{job} is not in its DAG");
    }
    let (hourly, daily) = (dag("horario"), dag("diario"));
    let (of_the_day, of_all) = daily.split_once("whole = [").expect("jobs of the day, and of the whole history");
    let is_in = |tasks: &str, job: &str| tasks.contains(&format!("\"{job}\""));
    for (job, is_by_days) in jobs {
        assert!(is_in(&hourly, job), "{job} is not in the hourly DAG");
        let tasks = if is_by_days { of_the_day } else { of_all };
        // What is live belongs to no day.
        assert_eq!(is_in(tasks, job), job != "tempo_real", "{job} in the daily DAG");
    }
    assert!(is_in(of_all, "verificacoes"), "the day is checked once its tables are there");
}

/// A replay changes verdicts that a stream has folded, and rows that upkeep moves.
#[test]
fn a_replay_excludes_streams_and_waits_for_upkeep() {
    let dir = folder();
    kept_data(dir.path());
    let data = dir.path().join("data");
    let (store, holder) = (Location::folder(&data).expect("a place"), Holder::of_process());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let take = |purpose| runtime.block_on(Lease::take(&store, purpose, &holder, Duration::ZERO)).expect("it is free");
    let replay = || vitral(dir.path(), &["ledger", "replay"]);

    let lock = DataDirLock::acquire(&data, "stream").expect("it is free");
    let said = replay();
    assert!(said.code == Some(1) && said.err.contains("stop it, or choose another --data-dir"), "{}", said.err);
    drop(lock);
    let stream = take(STREAM);
    let said = replay();
    assert!(said.code == Some(1) && said.err.contains("stop it, or name another store.url"), "{}", said.err);
    drop(stream);

    let upkeep = take(UPKEEP);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitral"));
    command.current_dir(dir.path()).args(["--data-dir", "data", "ledger", "replay"]).env_remove("RUST_LOG");
    let mut waiting = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut said = BufReader::new(waiting.stderr.take().expect("its log")).lines().map_while(Result::ok);
    let waits = said.find(|line| line.contains("waiting for a lease")).expect("it did not wait");
    assert!(waits.contains("upkeep of"), "{waits}");
    assert!(waiting.try_wait().expect("a state").is_none(), "it waits");
    drop(upkeep);
    assert!(waiting.wait().expect("ended").success());
    assert_eq!(replay().code, Some(0));
}
