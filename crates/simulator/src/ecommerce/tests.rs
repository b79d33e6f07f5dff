//! What holds for whole runs of the simulator.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde_json::{Map, Value};

use super::*;

type Fields = Map<String, Value>;

fn default_run(count: usize) -> Vec<Message> {
    Simulator::new(SimulatorConfig::default()).take(count).collect()
}

fn fields(message: &Message) -> Fields {
    serde_json::from_slice(&message.payload).expect("a JSON object")
}

fn valid(messages: &[Message]) -> impl Iterator<Item = (&Message, Fields)> {
    let valid = messages.iter().filter(|message| !matches!(message.kind, MessageKind::Malformed(_)));
    valid.map(|message| (message, fields(message)))
}

fn text<'a>(fields: &'a Fields, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Cents of a JSON number or string, which must have two decimals.
fn cents(fields: &Fields, key: &str) -> Option<i64> {
    let value = fields.get(key)?;
    let text = value.as_str().map_or_else(|| format!("{:.2}", value.as_f64().expect("a number")), str::to_owned);
    let (reais, cents) = text.split_once('.').expect("decimals");
    assert_eq!(cents.len(), 2, "{text}");
    Some(reais.parse::<i64>().expect("reais") * 100 + cents.parse::<i64>().expect("cents"))
}

fn event_time_ms(fields: &Fields) -> i64 {
    DateTime::parse_from_rfc3339(text(fields, "timestamp")).expect("RFC 3339").timestamp_millis()
}

/// FNV-1a, as `Hash` of the standard library may change.
fn hash(messages: &[Message]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325;
    for message in messages {
        for byte in message.key.bytes().chain(message.payload.iter().copied()).chain(message.event_ms.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
    hash
}

fn id_text<const N: usize>(id: [u8; N]) -> String {
    String::from_utf8(id.to_vec()).expect("ASCII")
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    let messages = default_run(10_000);
    assert_eq!(messages, default_run(10_000));
    // If this changes on purpose, every golden file made with the simulator changes too.
    assert_eq!(hash(&messages), 0x8577_b84a_9b87_82f4, "{:#018x}", hash(&messages));
    let other = Simulator::new(SimulatorConfig { seed: 2, ..SimulatorConfig::default() }).take(10_000);
    assert_ne!(hash(&messages), hash(&other.collect::<Vec<_>>()));
}

#[test]
fn valid_messages_satisfy_the_contract() {
    let messages = default_run(100_000);
    let products: BTreeMap<_, _> =
        products(&SimulatorConfig::default()).map(|product| (product.id_produto.clone(), product)).collect();
    let regions: BTreeSet<_> = regions().map(|region| region.regiao).collect();
    for (message, event) in valid(&messages) {
        let kind = text(&event, "tipo_evento");
        assert_eq!(text(&event, "id_usuario"), message.key);
        assert_eq!(text(&event, "id_evento").len(), 26);
        let lag_ms = message.event_ms - event_time_ms(&event);
        match message.kind {
            MessageKind::Prompt => assert!((0..1_000).contains(&lag_ms), "{lag_ms}"),
            MessageKind::Late => assert!((5_000..1_400_000).contains(&lag_ms), "{lag_ms}"),
            MessageKind::TooLate => assert!(lag_ms > 4_000_000, "{lag_ms}"),
            _ => assert!(lag_ms < 1_400_000, "{lag_ms}"),
        }
        if let Some(region) = event.get("regiao") {
            assert!(regions.contains(region.as_str().expect("text")));
        }
        let sale = matches!(kind, "compra" | "reembolso");
        assert_eq!(event.contains_key("id_pedido"), sale);
        assert_eq!(event.contains_key("valor_total"), sale);
        assert_eq!(event.contains_key("id_sessao"), kind != "reembolso");
        assert!(kind == "compra" || !event.contains_key("desconto"));
        assert_eq!(event.contains_key("id_produto"), !matches!(kind, "busca" | "inicio_checkout"));
        if let Some(product) = event.get("id_produto") {
            let product = &products[product.as_str().expect("text")];
            assert_eq!(text(&event, "categoria"), product.categoria);
            let expected = if text(&event, "moeda") == "USD" { product.preco_cents / 5 } else { product.preco_cents };
            if let Some(price) = cents(&event, "preco").filter(|_| kind != "reembolso") {
                assert_eq!(price, expected);
            }
        }
        if let Some(total) = cents(&event, "valor_total") {
            let quantity = event["quantidade"].as_i64().expect("an integer");
            assert!(quantity >= 1);
            assert_eq!(total, quantity * cents(&event, "preco").expect("a price"));
            assert!(cents(&event, "desconto").unwrap_or(0) < total);
        }
    }
    let payloads: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(&message.payload)).collect();
    for form in ["Z\"", "-03:00\"", "\"moeda\":\"USD\"", "\"moeda\":\"BRL\"", "\"desconto\":", "\"preco\":\"", "\"a1"] {
        assert!(payloads.iter().any(|payload| payload.contains(form)), "{form}");
    }
}

#[test]
fn shares_are_as_configured() {
    let messages = default_run(500_000);
    let share = |test: fn(&MessageKind) -> bool| {
        messages.iter().filter(|message| test(&message.kind)).count() as f64 / messages.len() as f64
    };
    let config = SimulatorConfig::default();
    for (expected, actual) in [
        (config.late_share, share(|kind| *kind == MessageKind::Late)),
        (config.too_late_share, share(|kind| *kind == MessageKind::TooLate)),
        (config.duplicate_share, share(|kind| *kind == MessageKind::Duplicate)),
        (config.malformed_share, share(|kind| matches!(kind, MessageKind::Malformed(_)))),
    ] {
        assert!((actual / expected - 1.0).abs() < 0.12, "{actual} instead of {expected}");
    }
    let reasons: BTreeSet<_> = messages.iter().map(|message| message.kind).collect();
    assert_eq!(reasons.len(), 4 + 6);
}

#[test]
fn the_funnel_has_realistic_shares() {
    let messages = default_run(200_000);
    let mut counts = BTreeMap::new();
    for (_, event) in valid(&messages) {
        *counts.entry(text(&event, "tipo_evento").to_owned()).or_insert(0.0) += 1.0;
    }
    let views = (counts["visualizacao"] + counts["clique"]) / 100.0;
    let expected = [
        ("busca", 8.0..16.0),
        ("adicao_carrinho", 11.0..13.0),
        ("remocao_carrinho", 1.0..3.0),
        ("inicio_checkout", 5.5..6.5),
        ("compra", 2.7..3.5),
        ("reembolso", 0.005..0.2),
    ];
    for (kind, range) in expected {
        let share = counts[kind] / views;
        assert!(range.contains(&share), "{kind}: {share}");
    }
}

#[test]
fn a_visit_goes_through_the_funnel_in_order() {
    let simulator = Simulator::new(SimulatorConfig { late_share: 0.0, too_late_share: 0.0, ..Default::default() });
    // Visits that were under way at the start have events that nobody saw.
    let warm: BTreeSet<_> = simulator.crowd.visits().map(|visit| id_text(event::token(b's', visit))).collect();
    let messages: Vec<_> = simulator.take(100_000).collect();
    let mut visits: BTreeMap<String, Vec<Fields>> = BTreeMap::new();
    for (message, event) in valid(&messages) {
        let visit = text(&event, "id_sessao").to_owned();
        if message.kind == MessageKind::Prompt && !visit.is_empty() && !warm.contains(&visit) {
            visits.entry(visit).or_default().push(event);
        }
    }
    assert!(visits.len() > 5_000);
    for events in visits.values() {
        let mut viewed = BTreeSet::new();
        let mut cart = BTreeSet::new();
        let mut checked_out = false;
        let mut last_ms = 0;
        for event in events {
            assert_eq!(text(event, "id_usuario"), text(&events[0], "id_usuario"));
            assert!(event_time_ms(event) >= last_ms);
            last_ms = event_time_ms(event);
            let product = text(event, "id_produto").to_owned();
            match text(event, "tipo_evento") {
                "visualizacao" => drop(viewed.insert(product)),
                "adicao_carrinho" => assert!(viewed.contains(&product) && cart.insert(product)),
                "remocao_carrinho" => assert!(cart.remove(&product)),
                "inicio_checkout" => assert!(!cart.is_empty()),
                "compra" => assert!(checked_out && cart.remove(&product)),
                _ => {}
            }
            checked_out = matches!(text(event, "tipo_evento"), "inicio_checkout" | "compra");
        }
    }
}

#[test]
fn only_duplicates_repeat_an_id_and_they_repeat_all() {
    let messages = default_run(100_000);
    let mut originals: BTreeMap<String, &Message> = BTreeMap::new();
    let mut duplicates = 0;
    for (message, event) in valid(&messages) {
        let id = text(&event, "id_evento").to_owned();
        if message.kind == MessageKind::Duplicate {
            let original = originals[&id];
            assert_eq!((&message.key, &message.payload), (&original.key, &original.payload));
            assert!((0..5_000).contains(&(message.event_ms - original.event_ms)));
            duplicates += 1;
        } else {
            assert!(originals.insert(id, message).is_none());
        }
    }
    assert!(duplicates > 750);
}

#[test]
fn another_start_repeats_no_id() {
    let ids = |seed, start_ms| -> BTreeSet<String> {
        let simulator = Simulator::new(SimulatorConfig { seed, start_ms, ..SimulatorConfig::default() });
        let messages: Vec<_> = simulator.take(20_000).collect();
        let keys = ["id_evento", "id_sessao", "id_pedido"];
        let events = valid(&messages);
        events.flat_map(|(_, event)| keys.map(|key| text(&event, key).to_owned())).filter(|id| !id.is_empty()).collect()
    };
    let SimulatorConfig { seed, start_ms, .. } = SimulatorConfig::default();
    let first = ids(seed, start_ms);
    // A millisecond later, after the first run's end, and the same time with another seed.
    for other in [ids(seed, start_ms + 1), ids(seed, start_ms + 1_000_000), ids(seed + 1, start_ms)] {
        assert!(first.is_disjoint(&other));
    }
}

#[test]
fn refunds_follow_their_purchases_and_give_back_what_was_paid() {
    // Slow enough for eight days to pass.
    let config = SimulatorConfig { rate: 0.5, late_share: 0.0, too_late_share: 0.0, ..SimulatorConfig::default() };
    let messages: Vec<_> = Simulator::new(config).take(300_000).collect();
    let mut paid: BTreeMap<(String, String), Fields> = BTreeMap::new();
    let (mut orders, mut refunds) = (BTreeSet::new(), 0);
    for (message, event) in valid(&messages) {
        let line = (text(&event, "id_pedido").to_owned(), text(&event, "id_produto").to_owned());
        match text(&event, "tipo_evento") {
            "compra" => {
                orders.insert(line.0.clone());
                paid.insert(line, event);
            }
            "reembolso" if message.kind == MessageKind::Prompt => {
                let purchase = &paid[&line];
                let after_ms = event_time_ms(&event) - event_time_ms(purchase);
                assert!((180_000..9 * 86_400_000).contains(&after_ms), "{after_ms}");
                assert!(event["quantidade"].as_i64() <= purchase["quantidade"].as_i64());
                let units = purchase["quantidade"].as_i64().expect("units");
                let net = cents(purchase, "valor_total").expect("a total") - cents(purchase, "desconto").unwrap_or(0);
                assert_eq!(cents(&event, "preco").expect("a price") * units, net);
                assert_eq!(text(&event, "moeda"), text(purchase, "moeda"));
                refunds += 1;
            }
            _ => {}
        }
    }
    let share = f64::from(refunds) / orders.len() as f64;
    assert!((0.03..0.05).contains(&share), "{share}");
    assert!(orders.len() < paid.len());
}

#[test]
fn time_never_goes_back_and_keeps_the_mean_rate() {
    for rhythm in [false, true] {
        let config = SimulatorConfig { rate: 4.0, rhythm, ..SimulatorConfig::default() };
        let (start_ms, day_ms) = (config.start_ms, 86_400_000);
        let mut last_ms = start_ms;
        let messages = Simulator::new(config).take_while(|message| message.event_ms < start_ms + day_ms);
        let count =
            messages.inspect(|message| assert!(std::mem::replace(&mut last_ms, message.event_ms) <= last_ms)).count();
        assert!((340_000..351_000).contains(&count), "{count}");
    }
}

#[test]
fn users_return_and_visits_interleave() {
    let messages = default_run(100_000);
    let mut visits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut switches = 0;
    let mut last = String::new();
    for (_, event) in valid(&messages) {
        let visit = text(&event, "id_sessao").to_owned();
        switches += usize::from(visit != last);
        visits.entry(text(&event, "id_usuario").to_owned()).or_default().insert(visit.clone());
        last = visit;
    }
    assert!(switches > 90_000);
    let returned = visits.values().filter(|visits| visits.len() > 1).count();
    assert!(returned * 10 > visits.len(), "{returned} of {}", visits.len());
}

#[test]
fn memory_is_bounded_at_any_rate() {
    let config = SimulatorConfig { rate: 1e6, duplicate_share: 0.3, rhythm: false, ..SimulatorConfig::default() };
    let mut simulator = Simulator::new(config);
    let duplicates = simulator.by_ref().take(300_000).filter(|message| message.kind == MessageKind::Duplicate).count();
    assert!((85_000..95_000).contains(&duplicates), "{duplicates}");
    assert!(simulator.duplicates.len() <= DUPLICATES_MAX + 1);
    assert_eq!(simulator.crowd.visits().count(), 10_000);
    // The queue of refunds is too long to be filled by a test; look at what happens when it is
    // full.
    let (&key, &refund) = simulator.refunds.first_key_value().expect("a refund");
    simulator.refunds.extend((1..=REFUNDS_MAX as u64).map(|order| ((key.0 + 1, order), refund)));
    let full = simulator.refunds.len();
    simulator.by_ref().take(100_000).for_each(drop);
    assert!(full > REFUNDS_MAX && simulator.refunds.len() <= REFUNDS_MAX + 1);
}

#[test]
fn the_smallest_shop_and_senseless_shares_work() {
    for share in [0.0, 0.5, 2.0] {
        let config = SimulatorConfig {
            rate: 0.0,
            products: 0,
            users: 0,
            late_share: share,
            too_late_share: share,
            duplicate_share: share,
            malformed_share: share,
            ..SimulatorConfig::default()
        };
        assert!(Simulator::new(config).take(2_000).all(|message| message.key == "u1"));
    }
}
