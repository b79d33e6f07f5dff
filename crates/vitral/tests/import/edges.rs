//! `vitral import` of what people have besides good files: folders with other things in them, cells
//! that a terminal would obey, files without rows, very wide ones.

use super::{vitral, write};

#[test]
fn a_bad_file_of_a_folder_does_not_stop_the_others() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "maio/a.csv", "pedido,valor,data\nA1,10.00,2025-05-14\n");
    write(dir.path(), "maio/b.csv", "pedido,valor,data\nB1,10.00,01/02/2025\n");
    write(dir.path(), "maio/c.xlsx", "not a workbook at all");
    write(dir.path(), "maio/d.csv", "pedido,valor,data\nD1,1.50,2025-05-14\n");
    write(dir.path(), "maio/leia-me.pdf", "x");
    write(dir.path(), "maio/.e.csv", "pedido,valor,data\nE1,10.00,2025-05-14\n");
    for (flags, words) in [(["--preview"].as_slice(), "would import 1 row"), (&[], "2 rows imported")] {
        let said = vitral(dir.path(), &[["import", "maio", "--table", "vendas"].as_slice(), flags].concat());
        assert_eq!(said.code, Some(1), "{}", said.out);
        assert!(said.out.contains(words) && said.out.contains("leia-me.pdf"), "{}", said.out);
        let failed = said.err.find("2 of 4 files failed").expect("a count");
        let failed = &said.err[failed..];
        assert!(
            failed.contains("maio/b.csv") && failed.contains("--dates") && failed.contains("maio/c.xlsx"),
            "{failed}"
        );
        assert!(!said.out.contains(".e.csv"), "{}", said.out);
    }
    // Asked for something that no file can have: there is no use in going on.
    let said = vitral(dir.path(), &["import", "maio", "--table", "vendas", "--profile", "loja"]);
    assert!(said.code == Some(2) && said.err.contains("no profile loja"), "{}", said.err);
}

#[test]
fn a_terminal_obeys_nothing_that_stands_in_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let name = "a\u{1b}]0;x\u{7}.csv";
    let text = "pedido,valor,data,x\u{1b}[8m\nA1\u{1b}[2J,10.00,2025-05-14,\nA2,\u{1b}[31m1\u{9b}0,2025-05-14,\n\
        \"A3\nVERDICT\",10.00,2025-05-14,\nA4,10.00,\u{202e}ontem\u{1b}c,\n";
    write(dir.path(), name, text);
    let commands: [&[&str]; 4] = [
        &["import", name, "--table", "vendas", "--preview"],
        &["import", name, "--table", "vendas", "--max-refused", "0"],
        &["import", "list"],
        &["ledger", "list"],
    ];
    for arguments in commands {
        let said = vitral(dir.path(), arguments);
        let all = format!("{}{}", said.out, said.err);
        let obeyed = |character: char| character != '\n' && (character.is_control() || character == '\u{202e}');
        assert!(!all.contains(obeyed), "{arguments:?}: {all:?}");
        assert!(all.contains(r"\u{1b}"), "{arguments:?}: {all}");
        assert!(!all.lines().any(|line| line.trim_start().starts_with("VERDICT")), "{arguments:?}: {all}");
    }
}

#[test]
fn a_file_without_rows_is_said_to_have_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let utf_16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    write(dir.path(), "a.csv", "pedido;valor;data\n");
    write(dir.path(), "b.csv", utf_16("\u{feff}pedido;valor;data\r\n"));
    for name in ["a.csv", "b.csv"] {
        let said = vitral(dir.path(), &["import", name, "--table", "vendas"]);
        assert!(said.code == Some(0) && said.out.contains("no rows below it"), "{} {}", said.out, said.err);
        let said = vitral(dir.path(), &["import", name, "--table", "vendas", "--preview"]);
        assert!(said.code == Some(0) && said.out.contains("no rows below it"), "{} {}", said.out, said.err);
    }
    let cut = utf_16("\u{feff}pedido;valor;data\r\nA1;1,00;2025-05-14");
    write(dir.path(), "c.csv", &cut[..cut.len() - 1]);
    write(dir.path(), "d.csv", [0xff, 0xfe]);
    write(dir.path(), "e.csv", "\u{feff}");
    write(dir.path(), "f.csv", "");
    for (name, words) in [("c.csv", "cut short"), ("d.csv", "no rows"), ("e.csv", "no rows"), ("f.csv", "no rows")] {
        let said = vitral(dir.path(), &["import", name, "--table", "vendas"]);
        assert!(said.code == Some(1) && said.err.contains(words), "{name}: {} {}", said.out, said.err);
    }
}

/// Whatever is done for each column once for each other one takes minutes here.
#[test]
fn ten_thousand_columns_take_seconds() {
    let dir = tempfile::tempdir().expect("a folder");
    let columns = 10_000;
    let others = |cell: &dyn Fn(usize) -> String| (0..columns).map(cell).collect::<Vec<_>>().join(",");
    let row = |id: usize| format!("A{id},10.00,2025-05-14,{}\n", others(&|_| "0".to_owned()));
    for (name, header) in [
        ("numbered.csv", others(&|n| format!("c_{n}"))),
        ("equal.csv", others(&|_| "c".to_owned())),
        ("unlike.csv", others(&|n| format!("Valor do campo {n} (R$)"))),
    ] {
        let rows: String = (0..20).map(row).collect();
        write(dir.path(), name, format!("pedido,valor_total,data,{header}\n{rows}"));
        for flags in [["--preview", "--map", "pedido=id_pedido"].as_slice(), &["--where", "\"pedido\" <> 'A1'"], &[]] {
            let began = std::time::Instant::now();
            let said = vitral(dir.path(), &[["import", name, "--table", "vendas"].as_slice(), flags].concat());
            assert_eq!(said.code, Some(0), "{name} {flags:?}: {}", said.err);
            assert!(said.out.len() < 20_000, "{name} {flags:?}: {} bytes", said.out.len());
            let took = began.elapsed().as_secs();
            assert!(took < 30, "{name} {flags:?}: {took} s");
        }
    }
}

#[test]
fn content_that_its_name_does_not_tell_of_is_refused_with_a_way_on() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, bytes, words) in [
        ("a.csv", b"PK\x03\x04\x14\0\0\0\0\0pedido,valor,data\nA1,10.00,2025-05-14\n".as_slice(), "name it .xlsx"),
        ("b.csv", b"\x1f\x8b\x08\0\0\0\0\0", "unpack it first"),
        ("c.xlsx", b"pedido,valor,data\nA1,10.00,2025-05-14\n", "save it as .xlsx"),
        ("d.csv", b"<!DOCTYPE html><html>", "export it as CSV"),
    ] {
        write(dir.path(), name, bytes);
        let said = vitral(dir.path(), &["import", name, "--table", "vendas"]);
        assert!(said.code == Some(1) && said.err.contains(words), "{name}: {}", said.err);
    }
    let said = vitral(dir.path(), &["import", "/dev/zero", "--table", "vendas"]);
    assert!(said.code == Some(1) && said.err.contains("a pipe or a device"), "{}", said.err);
}

#[test]
fn a_replay_of_a_folder_without_an_archive_is_a_mistake() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = vitral(dir.path(), &["ledger", "replay"]);
    assert!(said.code == Some(1) && said.err.contains("no archive"), "{}{}", said.out, said.err);
    assert!(!dir.path().join("data").exists(), "nothing is made");
}
