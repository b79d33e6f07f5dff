use std::collections::BTreeMap;

use serde_json::json;
use vitral_catalog::{Catalog, DomainSettings};

use super::*;
use crate::import::ImportError;
use crate::import::forms::{Asked, Dates, Evidence, Here};
use crate::import::source::SerialEpoch;

const HEADER: [&str; 6] = ["Pedido", "Qtd", "Valor", "Data", "Moeda", "Obs"];

fn mapping(header: &[&str]) -> Mapping {
    let catalog = Catalog::load(&[], &DomainSettings::default()).expect("the catalog");
    let (topic, target) = catalog.import_target("vendas").expect("a target");
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    Mapping::new("a.csv", &header, topic, &target, &BTreeMap::new()).expect("mapped")
}

fn rows(rows: &[&[&str]]) -> Vec<Row> {
    let row = |(index, cells): (usize, &&[&str])| {
        let cells = cells.iter().map(|text| Cell::written((*text).to_owned())).collect();
        Row { sheet: None, line: index as i64 + 2, cells, broken: None, is_unended: false }
    };
    rows.iter().enumerate().map(row).collect()
}

fn here() -> Here {
    Here { zone: chrono_tz::America::Sao_Paulo, is_zone_named: false, currency: "BRL".to_owned() }
}

fn understood(header: &[&str], rows: &[Row], asked: Asked) -> Result<Vec<Result<Value, Refused>>, ImportError> {
    let mapping = mapping(header);
    let mut evidence = Evidence::new(&mapping, here());
    rows.iter().for_each(|row| evidence.see(row));
    let forms = evidence.decide("a.csv", &mapping, asked, SerialEpoch::From1900, &[])?;
    let message = |row: &Row| {
        let mut message = Vec::new();
        mapping.message(row, &forms, "BRL", &mut message)?;
        Ok(serde_json::from_slice(&message).expect("JSON"))
    };
    Ok(rows.iter().map(message).collect())
}

fn messages(header: &[&str], cells: &[&[&str]]) -> Vec<Value> {
    let read = understood(header, &rows(cells), Asked::default()).expect("understood");
    read.into_iter().map(|message| message.expect("a message")).collect()
}

/// The error of a file, whose column of dates or amounts has these cells.
fn asked(heading: &str, cells: &[&str]) -> String {
    let cells: Vec<[&str; 2]> =
        cells.iter().map(|cell| if heading == "Data" { [*cell, "1.50"] } else { ["2025-05-14", *cell] }).collect();
    let cells: Vec<&[&str]> = cells.iter().map(<[&str; 2]>::as_slice).collect();
    understood(&["Data", "Valor"], &rows(&cells), Asked::default()).expect_err("asked").to_string()
}

fn dates(cells: &[&str], dates: Option<Dates>, amount: &str) -> Vec<Result<String, &'static str>> {
    let cells: Vec<[&str; 2]> = cells.iter().map(|cell| [*cell, amount]).collect();
    let cells: Vec<&[&str]> = cells.iter().map(<[&str; 2]>::as_slice).collect();
    let read = understood(&["Data", "Valor"], &rows(&cells), Asked { dates, ..Asked::default() }).expect("understood");
    let time = |message: Result<Value, Refused>| match message {
        Ok(message) => Ok(message["timestamp"].as_str().expect("a time").to_owned()),
        Err(refused) => Err(refused.reason),
    };
    read.into_iter().map(time).collect()
}

fn times(expected: &[&str]) -> Vec<Result<String, &'static str>> {
    expected.iter().map(|time| Ok((*time).to_owned())).collect()
}

#[test]
fn an_amount_is_in_the_currency_that_its_heading_names() {
    let read = messages(&["Data", "Preço (US$)"], &[&["2025-05-14", "1.50"]]);
    assert_eq!(read[0]["moeda"], "USD");
    let read = messages(&["Data", "Preço (R$)"], &[&["2025-05-14", "1.50"]]);
    assert_eq!(read[0].get("moeda"), None, "the shop's own");
    let rows = rows(&[&["2025-05-14", "R$ 1.50"], &["2025-05-14", "US$ 1.50"]]);
    let read = understood(&["Data", "Preço (US$)"], &rows, Asked::default()).expect("understood");
    assert!(read[0].as_ref().is_err_and(|refused| refused.detail.contains("a different currency")), "{read:?}");
    assert!(read[1].is_ok(), "{read:?}");
}

/// In Brazil spreadsheet programs show `R$`: a `$` alone comes from elsewhere. `US$` says whose it
/// is.
#[test]
fn a_dollar_sign_in_the_format_of_numbers_is_asked_about() {
    let read = |sign: &str, heading: &str| {
        let mut rows = rows(&[&["2025-05-14", "1.5"]]);
        rows[0].cells[1] = Some(Cell::float(1.5).shown_with(Some(&sign.into())));
        understood(&["Data", heading], &rows, Asked::default())
    };
    let question = read("$", "Preço").expect_err("asked").to_string();
    assert!(question.contains("column Preço holds 1.5, which its format shows with $ (line 2)"), "{question}");
    assert!(question.contains("Preço (US$)") && question.contains("--map =moeda"), "{question}");
    let currency = |read: Result<Vec<Result<Value, Refused>>, ImportError>| {
        read.expect("understood").remove(0).expect("a message").get("moeda").cloned()
    };
    assert_eq!(currency(read("$", "Preço (US$)")), Some(json!("USD")));
    assert_eq!(currency(read("US$", "Preço")), Some(json!("USD")));
    assert_eq!(currency(read("R$", "Preço")), None, "the shop's own");
}

#[test]
fn a_currency_that_nothing_uses_is_asked_about() {
    let asked = |heading: &str, cells: &[&str]| {
        let cells: Vec<[&str; 3]> = cells.iter().map(|cell| ["2025-05-14", "1.50", *cell]).collect();
        let cells: Vec<&[&str]> = cells.iter().map(<[&str; 3]>::as_slice).collect();
        let read = understood(&["Data", "Valor", heading], &rows(&cells), Asked::default());
        read.err().map(|error| error.to_string())
    };
    let error = asked("Currency", &["BRL", "", "usd"]).expect("asked");
    assert!(error.contains("usd (line 4)") && error.contains("--map \"Currency=moeda\""), "{error}");
    assert!(asked("Moeda do pedido", &["Dólar"]).is_some());
    assert!(asked("Moeda do pedido", &["Euros"]).is_some());
    assert!(asked("Cód", &["EUR", "USD"]).is_some(), "by its cells alone");
    for (heading, cells) in [
        ("Currency", ["BRL", "brl"]),
        ("Moeda do pedido", ["Real", "R$"]),
        ("Currency rate", ["5,10", "1"]),
        ("Cód", ["USD", "kit"]),
        ("Cód", ["UND", "CXA"]),
    ] {
        assert_eq!(asked(heading, &cells), None, "{heading}");
    }
}

#[test]
fn a_heading_says_the_zone_of_its_times() {
    let read = |heading: &str, cell: &str| {
        understood(&[heading, "Valor"], &rows(&[&[cell, "1.50"]]), Asked::default())
            .map(|read| read[0].as_ref().expect("a message")["timestamp"].as_str().expect("a time").to_owned())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read("Data (UTC)", "2025-05-14 10:00"), Ok("2025-05-14T10:00:00+00:00".to_owned()));
    assert_eq!(read("Data (GMT-5)", "2025-05-14 10:00"), Ok("2025-05-14T10:00:00-05:00".to_owned()));
    assert_eq!(read("Data (UTC)", "2025-05-14T10:00:00-03:00"), Ok("2025-05-14T10:00:00-03:00".to_owned()));
    assert_eq!(read("Data (UTC)", "2025-05-14"), Ok("2025-05-14T00:00:00".to_owned()), "a day of the shop");
    assert_eq!(read("Data", "2025-05-14 10:00"), Ok("2025-05-14T10:00:00".to_owned()));
    let error = read("Data (PST)", "2025-05-14 10:00").expect_err("asked");
    assert!(error.contains("PST") && error.contains("--time-zone"), "{error}");
    assert!(read("Data (America/New_York)", "2025-05-14 10:00").is_err());
    assert!(read("Data (America/Sao_Paulo)", "2025-05-14 10:00").is_ok());
}

#[test]
fn states_that_are_no_sales_are_told_of_where_nothing_reads_them() {
    let notes = |heading: &str, cell: &str| {
        let header = ["Data", "Valor", heading];
        let mapping = mapping(&header);
        let mut evidence = Evidence::new(&mapping, here());
        rows(&[&["2025-05-14", "1.50", "Pago"], &["2025-05-14", "1.50", cell]])
            .iter()
            .for_each(|row| evidence.see(row));
        evidence.decide("a.csv", &mapping, Asked::default(), SerialEpoch::From1900, &[]).expect("understood").notes
    };
    for cell in ["Cancelado", "Pagamento recusado", "refunded", "DEVOLVIDO"] {
        let notes = notes("Status do pedido", cell);
        assert!(notes.len() == 1 && notes[0].contains(cell) && notes[0].contains("--where"), "{notes:?}");
    }
    assert_eq!(notes("Estado", "SP"), Vec::<String>::new());
    assert_eq!(notes("Obs", "Cancelado").len(), 1, "whatever the heading");
    assert_eq!(notes("Obs", "ok"), Vec::<String>::new());
}

#[test]
fn a_zone_beside_times_is_asked_about() {
    let asked = |time: &str, zone: &str| {
        let rows = rows(&[&[time, "1.50", zone]]);
        understood(&["Data", "Valor", "Time Zone"], &rows, Asked::default()).err().map(|error| error.to_string())
    };
    assert!(asked("2025-05-14 10:00", "Eastern Time (US & Canada)").is_some_and(|error| error.contains("--time-zone")));
    assert_eq!(asked("2025-05-14 10:00", "America/Sao_Paulo"), None);
    assert_eq!(asked("2025-05-14T10:00:00Z", "Eastern Time (US & Canada)"), None, "each time says its own");
}

#[test]
fn headings_in_another_order_begin_another_table() {
    let header = ["Pedido", "Data", "Valor"];
    let read =
        |cells: &[&[&str]]| understood(&header, &rows(cells), Asked::default()).err().map(|error| error.to_string());
    let row: &[&str] = &["1", "2025-05-14", "1.50"];
    let error = read(&[row, &["Valor", "Pedido", "Data"], &["9.00", "2", "2025-05-14"]]).expect("asked");
    assert!(error.contains("line 3") && error.contains("another table"), "{error}");
    assert_eq!(read(&[row, &["Valor", "2025-05-14", "1.50"]]), None, "a word that is a heading too");
}

#[test]
fn one_date_proves_the_order_of_its_column() {
    let month_first = dates(&["12/1/2010 8:26", "12/13/2010 10:00"], None, "2.50");
    assert_eq!(month_first, times(&["2010-12-01T08:26:00", "2010-12-13T10:00:00"]));
    let day_first = dates(&["12-1-2010", "13-12-2010", "2010-12-14"], None, "2.50");
    assert_eq!(day_first, times(&["2010-01-12T00:00:00", "2010-12-13T00:00:00", "2010-12-14T00:00:00"]));
    // Nobody who writes decimals with a comma puts a short year and a slash.
    assert_eq!(dates(&["14/05/25"], None, "1,50"), times(&["2025-05-14T00:00:00"]));
    // The same day in each order.
    assert_eq!(dates(&["05/05/2025"], None, "1.50"), times(&["2025-05-05T00:00:00"]));
    let year_first = dates(&["99-12-31", "25-01-02"], None, "1.50");
    assert_eq!(year_first, times(&["1999-12-31T00:00:00", "2025-01-02T00:00:00"]));
}

#[test]
fn dates_that_nothing_tells_are_asked_about() {
    let error = asked("Data", &["05/05/2025", "05/06/2025", "07/06/2025"]);
    assert!(error.contains("05/06/2025 (line 3) and 07/06/2025 (line 4)"), "{error}");
    assert!(error.contains("--dates dmy or --dates mdy"), "{error}");
    let error = asked("Data", &["14/05/25"]);
    assert!(error.contains("--dates dmy or --dates ymd"), "{error}");
    // How amounts are written says nothing of the day and the month.
    for date in ["05/06/2025", "05-06-2025", "05.06.25"] {
        let rows = rows(&[&[date, "1,50"], &[date, "2.300,50"]]);
        let error = understood(&["Data", "Valor"], &rows, Asked::default()).expect_err("asked").to_string();
        assert!(error.contains(&format!("{date} (line 2)")) && error.contains("--dates dmy or --dates mdy"), "{error}");
    }
    let error = asked("Data", &["13/05/2025", "05/13/2025"]);
    assert!(error.contains("13/05/2025 (line 2)") && error.contains("05/13/2025 (line 3)"), "{error}");
    // As the user says; what is written otherwise is refused alone.
    let read = dates(&["13/05/2025", "05/13/2025", "06/05/2025"], Some(Dates::Dmy), "1.50");
    assert_eq!(read, [times(&["2025-05-13T00:00:00"]), vec![Err("tempo")], times(&["2025-05-06T00:00:00"])].concat());
    // Words and impossible days are not evidence.
    let read = dates(&["13/05/2025", "32/13/2025", "a combinar"], None, "1.50");
    assert_eq!(read, [times(&["2025-05-13T00:00:00"]), vec![Err("tempo"), Err("tempo")]].concat());
}

#[test]
fn plain_numbers_are_times_where_the_whole_column_has_them() {
    assert_eq!(
        dates(&["45791.8027777778", "45791"], None, "1.50"),
        times(&["2025-05-14T19:16:00", "2025-05-14T00:00:00"])
    );
    assert_eq!(dates(&["1747260960"], None, "1.50"), times(&["2025-05-14T22:16:00Z"]));
    let mixed = dates(&["45791.8027777778", "2025-05-14"], None, "1.50");
    assert_eq!(mixed, [vec![Err("tempo")], times(&["2025-05-14T00:00:00"])].concat());
    assert_eq!(dates(&["45791", "1747260960"], None, "1.50"), [Err("tempo"), Err("tempo")]);
}

#[test]
fn years_that_programs_write_for_no_date_are_refused() {
    assert_eq!(dates(&["01/01/0001 00:00:00", "1899-12-31"], None, "1,50"), [Err("tempo"), Err("tempo")]);
}

#[test]
fn numbers_are_asked_about_where_nothing_tells() {
    for cell in ["1,500", "1.500", "R$ 12.500"] {
        let error = asked("Valor", &[cell, "900"]);
        assert!(error.contains(cell) && error.contains("(line 2)") && error.contains("--numbers"), "{error}");
    }
    let error = asked("Valor", &["1,5", "a combinar, ver", "1.5"]);
    assert!(error.contains("1,5 (line 2)") && error.contains("1.5 (line 4)"), "{error}");
    // Words are not evidence, and neither is a word next to an unclear number.
    assert!(asked("Valor", &["1.250", "a combinar, ver"]).contains("1.250"));
}

#[test]
fn one_number_proves_the_form_of_all_columns() {
    let amounts = |cells: &[&[&str]]| -> Vec<(Value, Value)> {
        let cells: Vec<Vec<&str>> = cells.iter().map(|row| [&["2025-05-14"], *row].concat()).collect();
        let cells: Vec<&[&str]> = cells.iter().map(Vec::as_slice).collect();
        let read = messages(&["Data", "Qtd", "Valor"], &cells).into_iter();
        read.map(|message| (message["quantidade"].clone(), message["valor_total"].clone())).collect()
    };
    assert_eq!(
        amounts(&[&["1,000", "12,500"], &["2", "1,250,000"]]),
        [(json!(1000), json!("12500")), (json!(2), json!("1250000"))]
    );
    // One count without three places behind its point tells that the others have thousands.
    let first = |cells: &[&[&str]]| amounts(cells).swap_remove(0);
    assert_eq!(first(&[&["1.000", "12,50"], &["2", "1,50"]]), (json!(1000), json!("12.50")));
    assert_eq!(first(&[&["1,000", "12,50"], &["2", "1,50"]]), (json!(1), json!("12.50")));
    // Each by its own proof.
    assert_eq!(amounts(&[&["2,0", "12.50"]]), [(json!(2), json!("12.50"))]);
    // How a program writes counts as floats says nothing of prices.
    let open = [&["2025-05-14", "1.0", "12.500"][..], &["2025-05-14", "2.0", "900"]];
    let error = understood(&["Data", "Qtd", "Valor"], &rows(&open), Asked::default()).expect_err("asked");
    assert!(error.to_string().contains("a thousand times as much"), "{error}");
}

#[test]
fn a_row_is_refused_with_its_cell_as_it_stands() {
    let cells: [&[&str]; 5] = [
        &["A1", "muitas", "R$ 10,00", "14/05/2025", "BRL", ""],
        &["A2", "1", "dez", "14/05/2025", "BRL", ""],
        &["A3", "1", "10,00", "ontem", "BRL", ""],
        &["2,00001E+15", "1", "10,00", "14/05/2025", "BRL", ""],
        &["A5", "1", "10,00"],
    ];
    let read = understood(&HEADER, &rows(&cells), Asked::default()).expect("understood");
    let refused: Vec<_> = read.into_iter().map(|message| message.expect_err("refused")).collect();
    let reasons: Vec<_> = refused.iter().map(|refused| refused.reason).collect();
    assert_eq!(reasons, ["tipo", "tipo", "tempo", "tipo", "linha"], "{refused:?}");
    for (refused, cell) in
        refused.iter().zip(["Qtd holds muitas", "Valor holds dez", "Data holds ontem", "2,00001E+15"])
    {
        assert!(refused.detail.contains(cell), "{refused:?}");
    }
    let mapping = mapping(&HEADER);
    let row = &rows(&[&["A1", "1", "R$ 19,999", "14/05/2025"]])[0];
    let explained = mapping.explain(row, "valor_total: \"19.999\" has more decimals than 2");
    assert!(explained.ends_with("Valor holds R$ 19,999"), "{explained}");
}

#[test]
fn columns_that_are_not_used_need_not_be_there() {
    let read = messages(&HEADER, &[&["A1", "1", "10,00", "14/05/2025", ""]]);
    assert_eq!(read[0]["valor_total"], json!("10.00"));
}

#[test]
fn texts_lose_what_keeps_a_spreadsheet_from_reading_them() {
    let orders = ["=\"00042\"", "'00042", " 00042 ", "'s-Hertogenbosch", "1E+3"];
    let cells = orders.map(|order| [order, "1", "10,00", "14/05/2025", ""]);
    let cells: Vec<&[&str]> = cells.iter().map(<[&str; 5]>::as_slice).collect();
    let read: Vec<_> = messages(&HEADER, &cells).iter().map(|message| message["id_pedido"].clone()).collect();
    assert_eq!(read, ["00042", "00042", "00042", "'s-Hertogenbosch", "1E+3"]);
}

#[test]
fn ids_that_programs_wrote_as_floats_are_whole_numbers_where_all_are() {
    let orders = |cells: [&str; 3]| -> Vec<Value> {
        let cells = cells.map(|order| [order, "1.50", "2025-05-14"]);
        let cells: Vec<&[&str]> = cells.iter().map(<[&str; 3]>::as_slice).collect();
        let read = messages(&["Pedido", "Valor", "Data"], &cells);
        read.iter().map(|message| message["id_pedido"].clone()).collect()
    };
    assert_eq!(orders(["50001.0", "", "50002.0"]), [json!("50001"), Value::Null, json!("50002")]);
    assert_eq!(orders(["1.0", "1.5", "2.0"]), ["1.0", "1.5", "2.0"]);
}

#[test]
fn the_currency_of_an_amount_is_the_rows() {
    let read = |amount: &str, currency: &str| {
        let cells: [&str; 5] = ["A1", "1", amount, "2025-05-14", currency];
        let read = understood(&HEADER, &rows(&[&cells]), Asked::default()).expect("understood").remove(0);
        read.map(|message| (message["valor_total"].clone(), message["moeda"].clone())).map_err(|refused| refused.reason)
    };
    assert_eq!(read("R$ 10.50", ""), Ok((json!("10.50"), Value::Null)));
    assert_eq!(read("$ 10.50", ""), Ok((json!("10.50"), Value::Null)), "of the shop");
    assert_eq!(read("US$ 10.50", ""), Ok((json!("10.50"), json!("USD"))));
    assert_eq!(read("10.50 eur", ""), Ok((json!("10.50"), json!("EUR"))));
    assert_eq!(read("$ 10.50", "usd"), Ok((json!("10.50"), json!("USD"))));
    assert_eq!(read("10.50", "R$"), Ok((json!("10.50"), json!("BRL"))));
    assert_eq!(read("R$ 10.50", "USD"), Err("valor"));
    for currency in ["", "BRL"] {
        for word in ["kgs", "mil", "kit", "unidades"] {
            assert_eq!(read(&format!("10.50 {word}"), currency), Err("tipo"), "{word}");
        }
    }
}

#[test]
fn typed_numbers_are_read_by_what_they_fill() {
    let cell = |text: &str, kind| Some(Cell::new(text.to_owned(), kind));
    let row = |order, quantity, amount| Row {
        sheet: None,
        line: 2,
        cells: vec![order, quantity, amount, cell("2025-05-14", Kind::Time), None],
        broken: None,
        is_unended: false,
    };
    let read = |row: Row| understood(&HEADER, &[row], Asked::default()).expect("understood").remove(0);
    let float = |text: &str| cell(text, Kind::Float);
    let message = read(row(float("2000007654321091"), float("2"), float("3.3000000000000003"))).expect("a message");
    assert_eq!(
        (&message["id_pedido"], &message["quantidade"], &message["valor_total"]),
        (&json!("2000007654321091"), &json!(2), &json!("3.3"))
    );
    let message = read(row(float("17850"), None, float("3.305"))).expect("a message");
    assert_eq!((&message["id_pedido"], &message["valor_total"]), (&json!("17850"), &json!("3.305")));
    let refused = read(row(float("20000076543210910"), None, None)).expect_err("not exact");
    assert!(refused.detail.contains("format the column as text"), "{refused:?}");
    let exact = read(row(cell("18446744073709551615", Kind::Exact), None, None)).expect("a message");
    assert_eq!(exact["id_pedido"], json!("18446744073709551615"));
    assert_eq!(read(row(None, None, float("NaN"))).expect_err("not a number").reason, "tipo");
    let missing = read(row(float("NaN"), None, float("1"))).expect("a message");
    assert_eq!((&missing["id_pedido"], &missing["valor_total"]), (&Value::Null, &json!("1")));
    let unusable = cell("cell B2 holds #N/A", Kind::Unusable);
    assert_eq!(read(row(None, unusable, None)).expect_err("unusable").detail, "Qtd: cell B2 holds #N/A");
}

#[test]
fn a_time_of_day_comes_from_a_column_of_its_own_where_dates_have_none() {
    let header = ["Data", "Hora", "Valor"];
    let read = messages(&header, &[&["14/05/2025", "19:16", "1,50"], &["15/05/2025", "", "1,50"]]);
    assert_eq!(
        (&read[0]["timestamp"], &read[1]["timestamp"]),
        (&json!("2025-05-14T19:16:00"), &json!("2025-05-15T00:00:00"))
    );
    let read = messages(&header, &[&["14/05/2025 10:00", "19:16", "1,50"]]);
    assert_eq!(read[0]["timestamp"], json!("2025-05-14T10:00:00"), "not used where dates have one");
}
