//! Numbers and dates as people write them: a row for each, and an accepted number has the digits
//! that are in its cell.
//!
//! An input holds one cell a line, of a few lines; each is tried as an amount, then as a date.

use arrow::array::{Array, AsArray, Decimal128Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType};
use vitral_batch::import::preview::Preview;

use crate::files::look;

/// As many as a preview shows.
const CELLS: usize = 5;
const YEAR_10000_MICROS: i64 = 253_402_300_800_000_000;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let cells: Vec<&str> = text.lines().take(CELLS).collect();
    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
    let file = |row: &dyn Fn(usize, &str) -> String| -> String {
        let rows = cells.iter().enumerate().map(|(index, cell)| row(index, &quoted(cell)));
        std::iter::once("id_pedido;timestamp;preco\n".to_owned()).chain(rows).collect()
    };

    let amounts = file(&|index, cell| format!("o{index};2025-05-14T10:00:00Z;{cell}\n"));
    if let Some(preview) = look("f.csv", amounts.as_bytes()) {
        every_cell_is_a_row(&preview, &cells);
        digits_are_kept(&preview, &cells);
    }
    let times = file(&|index, cell| format!("o{index};{cell};1\n"));
    if let Some(preview) = look("f.csv", times.as_bytes()) {
        every_cell_is_a_row(&preview, &cells);
        times_are_possible(&preview);
    }
}

fn every_cell_is_a_row(preview: &Preview, cells: &[&str]) {
    assert_eq!(preview.imported.rows(), cells.len() as u64, "{:?}", preview.imported);
}

fn digits_are_kept(preview: &Preview, cells: &[&str]) {
    let Some(amounts) = preview.rows.column_by_name("preco") else { return };
    let amounts: &Decimal128Array = amounts.as_primitive::<Decimal128Type>();
    let orders: &StringArray = preview.rows.column_by_name("id_pedido").expect("its order").as_string();
    for row in (0..amounts.len()).filter(|row| amounts.is_valid(*row)) {
        let index: usize = orders.value(row)[1..].parse().expect("the order is ours");
        let (cell, cents) = (cells[index], amounts.value(row));
        // Exponents, and digits of other scripts.
        if cell.chars().any(|char| matches!(char, 'e' | 'E') || (char.is_numeric() && !char.is_ascii())) {
            continue;
        }
        let written: String = cell.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(written.trim_matches('0'), cents.to_string().trim_matches('0'), "{cell:?} is {cents} cents");
        // Two digits behind the only separator are cents, in every form.
        if let Some((whole, behind)) = cell.split_once(['.', ','])
            && [whole, behind].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
            && behind.len() == 2
        {
            assert_eq!(written.parse::<i128>().ok(), Some(cents), "{cell:?} is {cents} cents");
        }
    }
}

fn times_are_possible(preview: &Preview) {
    let Some(times) = preview.rows.column_by_name("timestamp") else { return };
    let times: &TimestampMicrosecondArray = times.as_primitive::<TimestampMicrosecondType>();
    assert!(times.iter().flatten().all(|micros| (0..YEAR_10000_MICROS).contains(&micros)), "{times:?}");
}
