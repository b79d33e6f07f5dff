use vitral_catalog::{Catalog, DomainSettings};

use super::*;
use crate::import::source::{Fit, Headings, distinct};

fn mapped(header: &[&str], map: &[(&str, &str)]) -> Result<Mapping, String> {
    let catalog = Catalog::load(&[], &DomainSettings::default()).expect("the catalog");
    let (topic, target) = catalog.import_target("vendas").expect("a target");
    let header = distinct(&texts(header));
    let named = map.iter().map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned())).collect();
    Mapping::new("a.csv", &header, topic, &target, &named).map_err(|error| error.to_string())
}

fn filled(header: &[&str], map: &[(&str, &str)]) -> Vec<(String, String)> {
    let mapping = mapped(header, map).expect("mapped");
    mapping.filled().map(|(index, ours)| (mapping.heading(index).to_owned(), ours.to_owned())).collect()
}

fn texts(row: &[&str]) -> Vec<String> {
    row.iter().map(|text| (*text).to_owned()).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned())).collect()
}

#[test]
fn headings_are_alike_whatever_their_case_accents_and_signs() {
    let header = ["ID-Pedido", "IdProduto", "Pre\u{327}co Unita\u{301}rio (R$)", "DATA DA VENDA", "regia\u{303}o"];
    let expected = [
        ("ID-Pedido", "id_pedido"),
        ("IdProduto", "id_produto"),
        ("Pre\u{327}co Unita\u{301}rio (R$)", "preco"),
        ("DATA DA VENDA", "timestamp"),
        ("regia\u{303}o", "regiao"),
    ];
    assert_eq!(filled(&header, &[]), pairs(&expected));
}

#[test]
fn numbers_and_codes_are_known_by_the_headings_of_brazilian_reports() {
    for order in ["Nº Pedido", "N. do pedido", "Nº do Pedido", "Número do Pedido", "Código do pedido"] {
        let expected = [
            (order, "id_pedido"),
            ("Data", "timestamp"),
            ("Cód. Produto", "id_produto"),
            ("Valor", "valor_total"),
            ("UF", "regiao"),
        ];
        assert_eq!(filled(&[order, "Data", "Cód. Produto", "Valor", "UF"], &[]), pairs(&expected));
    }
    let error = mapped(&["Data", "Código do Produto", "Produto", "Valor"], &[]).expect_err("a code and a name");
    assert!(error.contains("--map \"Código do Produto=id_produto\""), "{error}");
}

#[test]
fn what_the_user_names_goes_before_what_is_alike() {
    let header = ["Pedido", "Valor", "Data", "Data da Venda"];
    let expected = [("Pedido", "id_pedido"), ("Valor", "valor_total"), ("Data da Venda", "timestamp")];
    assert_eq!(filled(&header, &[("Data da Venda", "timestamp")]), pairs(&expected));
    assert_eq!(filled(&header, &[("Data", "")]), pairs(&expected));
    assert_eq!(filled(&header, &[("#3", ""), ("data da venda", "Data")]), pairs(&expected));
    let error = mapped(&header, &[]).expect_err("which of them?");
    assert!(error.contains("both Data and Data da Venda") && error.contains("--map \"Data da Venda=\""), "{error}");
    assert!(mapped(&header, &[("Dia", "timestamp")]).expect_err("unknown").contains("no column Dia"));
    assert!(mapped(&header, &[("Data", "quando")]).expect_err("unknown").contains("no column quando"));
}

#[test]
fn a_columns_own_name_goes_before_its_other_names() {
    let header = ["timestamp", "data", "valor_total", "valor"];
    let mapping = mapped(&header, &[]).expect("mapped");
    assert_eq!(mapping.unused, ["data", "valor"]);
}

#[test]
fn a_heading_that_occurs_twice_can_be_named() {
    let header = ["Pedido", "Valor", "Data", "Valor"];
    assert!(mapped(&header, &[]).expect_err("which?").contains("both Valor and Valor_2"));
    let expected = [("Pedido", "id_pedido"), ("Valor", "preco"), ("Data", "timestamp"), ("Valor_2", "valor_total")];
    assert_eq!(filled(&header, &[("Valor", "preco")]), pairs(&expected));
    assert_eq!(filled(&header, &[("Valor_2", ""), ("Valor", "preco")]), pairs(&expected[..3]));
    assert_eq!(filled(&header, &[("#4", "valor_total"), ("#2", "preco")]), pairs(&expected));
}

#[test]
fn an_orders_total_is_not_taken_for_a_lines() {
    let mapping = mapped(&["Pedido", "Preço", "Qtd", "Data", "Total", "Valor do Frete"], &[]).expect("mapped");
    assert_eq!(mapping.unused, ["Total", "Valor do Frete"]);
    let [hint] = mapping.hints.as_slice() else { panic!("{:?}", mapping.hints) };
    assert!(hint.contains("--map \"Total=valor_total\""), "{hint}");
    // Without any amount all sales would be worth nothing.
    for header in [["Pedido", "Data", "Total", "Obs"], ["Pedido", "Data", "Total", "Desconto"]] {
        let error = mapped(&header, &[]).expect_err("no amount");
        assert!(error.contains("Total may be valor_total"), "{error}");
    }
    let expected = [("Pedido", "id_pedido"), ("Data", "timestamp"), ("Total", "valor_total")];
    assert_eq!(filled(&["Pedido", "Data", "Total"], &[("Total", "valor_total")]), pairs(&expected));
    assert_eq!(filled(&["Pedido", "Data", "Total"], &[("Total", "")]), pairs(&expected[..2]));
    assert_eq!(
        filled(&["Data", "Total do item"], &[]),
        pairs(&[("Data", "timestamp"), ("Total do item", "valor_total")])
    );
}

#[test]
fn a_row_is_worth_something_or_the_user_says_that_it_is_not() {
    for header in [&["Pedido", "Data"][..], &["Pedido", "Qtd", "Data", "Desconto"]] {
        let error = mapped(header, &[]).expect_err("no amount");
        assert!(error.contains("worth 0.00") && error.contains("--map =valor_total"), "{error}");
        for said in ["valor_total", "preco", "valor"] {
            assert_eq!(filled(header, &[("", said)])[0].1, "id_pedido", "{said}");
        }
    }
    assert_eq!(filled(&["Data", "Valor", "Obs"], &[("Valor", "")]), pairs(&[("Data", "timestamp")]));
    let expected = [("Data", "timestamp"), ("Valor", "valor_total")];
    assert_eq!(filled(&["Data", "Valor", "Desconto"], &[("", "desconto")]), pairs(&expected), "none fills a discount");
    assert!(mapped(&["Data", "Valor"], &[("", "quando")]).expect_err("unknown").contains("no column quando"));
}

#[test]
fn titles_above_the_header_are_not_headers() {
    let catalog = Catalog::load(&[], &DomainSettings::default()).expect("the catalog");
    let (topic, target) = catalog.import_target("vendas").expect("a target");
    let none = BTreeMap::new();
    let named = BTreeMap::from([("N.º de venda".to_owned(), "id_pedido".to_owned())]);
    let names = Names::new(topic, &target, &none);
    assert_eq!(names.fit(&texts(&["Relatório de vendas", "", ""])), Fit::No);
    assert_eq!(names.fit(&texts(&["Data", "14/05/2025"])), Fit::Barely);
    assert_eq!(names.fit(&texts(&["Data", "Pedido"])), Fit::Well);
    let names = Names::new(topic, &target, &named);
    assert_eq!(names.fit(&texts(&["Data", "Pedido"])), Fit::No, "what the user names is not in it");
    assert_eq!(names.fit(&texts(&["Data", "N.º de venda"])), Fit::Well);
}

#[test]
fn numbers_of_another_scale_are_not_taken_for_amounts() {
    for heading in ["Valor (R$ mil)", "Valor %", "% Valor"] {
        let error = mapped(&["Data", "Pedido", heading], &[]).expect_err("asked");
        assert!(error.contains("no column gives an amount") && error.contains("--map"), "{heading}: {error}");
        assert!(mapped(&["Data", "Pedido", heading], &[(heading, "valor_total")]).is_ok(), "the user says so");
    }
    let mapping = mapped(&["Data", "Valor", "Desconto %"], &[]).expect("mapped");
    assert_eq!(mapping.unused, ["Desconto %"]);
}
