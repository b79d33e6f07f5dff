//! What is in stock, as the shop's warehouses report it to topic `atualizacoes_estoque`: levels
//! fall with every sale, suppliers refill them, and a few products run out every now and then.
//!
//! A message says the level itself and when it was so. Sales do not heed the stock: what is sold
//! beyond it is owed, and the level is below zero until a delivery comes. Random choices come from
//! a stream of their own: customers do the same with and without it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::json::Json;
use super::popularity::{scatter, weight};
use super::shopper::Line;
use super::{Simulator, SimulatorConfig};
use crate::random::{Random, mix, scale};
use crate::{Message, MessageKind};

/// The topic of stock levels.
pub const STOCK_TOPIC: &str = "atualizacoes_estoque";

const PLACES: [&str; 3] = ["cd-sp", "cd-pe", "cd-rs"];

/// What an event sells, on average over all kinds of events.
const UNITS_PER_EVENT: f64 = 0.031;
const SECONDS_PER_HOUR: f64 = 3_600.0;
const HOURS_PER_DAY: f64 = 24.0;
/// Levels are messages' and SQL's whole numbers of at most nine digits.
const LEVEL_MAX: f64 = 1e8;

/// How many products, per mille, suppliers bring little of, and late: these run out.
const SCARCE_PER_MILLE: u64 = 40;
/// A delivery of them lasts from some minutes to this many hours,
const SCARCE_HOURS_MAX: f64 = 3.0;
/// and comes so long after they have run out: 3 to 96 minutes.
const SCARCE_AFTER_MS: i64 = 180_000;
const SCARCE_DOUBLINGS: u64 = 5;
/// Of the others there are so many days of sales when a delivery has come.
const FULL_DAYS_MIN: f64 = 6.0;
const FULL_DAYS_SPREAD: f64 = 14.0;
/// They are ordered when only this part is left, and come within 3 hours: 6 to 192 minutes.
const REORDER_PART: i64 = 4;
const DELIVERY_AFTER_MS: i64 = 360_000;
const DELIVERY_DOUBLINGS: u64 = 5;

/// How many messages, per mille, come late, after newer ones: half a second to 32 seconds.
const LATE_PER_MILLE: u64 = 10;
const LATE_AFTER_MS: i64 = 500;
const LATE_DOUBLINGS: u64 = 6;

/// Customers and warehouses: the messages of both topics in the order in which they are sent.
#[derive(Debug)]
pub struct AllTopics {
    customers: Simulator,
    /// How many messages of customers are still to come; without end if none.
    left: Option<usize>,
    stock: Stock,
    ready: VecDeque<Message>,
}

impl AllTopics {
    /// The customers' messages of this configuration, from its start on, and those of the
    /// warehouses that go with them. What is in stock at the start is reported first.
    pub fn new(config: SimulatorConfig) -> Self {
        let (stock, ready) = Stock::new(&config);
        Self { customers: Simulator::new(config), left: None, stock, ready }
    }

    /// Only so many messages of customers, with all that the warehouses have to say by then.
    #[must_use]
    pub fn of_customers(self, count: usize) -> Self {
        Self { left: Some(count), ..self }
    }

    fn advance(&mut self) -> Option<()> {
        match &mut self.left {
            Some(0) => {
                // What was held back comes in the end.
                self.stock.send_late(&mut self.ready);
                return (!self.ready.is_empty()).then_some(());
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let message = self.customers.next()?;
        let now_ms = message.event_ms;
        self.stock.turn_to(now_ms, &mut self.ready);
        self.ready.push_back(message);
        if let Some(line) = self.customers.sold.take() {
            self.stock.sell(line, now_ms, &mut self.ready);
        }
        Some(())
    }
}

impl Iterator for AllTopics {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        while self.ready.is_empty() {
            self.advance()?;
        }
        self.ready.pop_front()
    }
}

/// What is where.
#[derive(Debug)]
struct Stock {
    random: Random,
    products: Vec<Holding>,
    /// Deliveries on their way, by when they come.
    deliveries: BTreeSet<(i64, u32)>,
    /// Messages that are held back, by when they are sent and their number.
    late: BTreeMap<(i64, u64), Message>,
    sent: u64,
}

/// What there is of a product.
#[derive(Debug, Clone, Copy)]
struct Holding {
    levels: [i64; PLACES.len()],
    /// How many places have it: the first ones from `home` on.
    places: u8,
    home: u8,
    is_scarce: bool,
    is_ordered: bool,
    /// How many there are when a delivery has come.
    full: i64,
    /// The time of the last report: no two have the same.
    reported_ms: i64,
}

impl Holding {
    fn total(&self) -> i64 {
        self.levels.iter().sum()
    }

    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let home = usize::from(self.home);
        (0..usize::from(self.places)).map(move |nth| (home + nth) % PLACES.len())
    }

    fn is_low(&self) -> bool {
        let total = self.total();
        if self.is_scarce { total <= 0 } else { total <= self.full / REORDER_PART }
    }
}

impl Stock {
    /// What is there at the start, with the reports of it.
    fn new(config: &SimulatorConfig) -> (Self, VecDeque<Message>) {
        let run = mix(config.seed ^ mix(config.start_ms as u64));
        let mut random = Random::new(mix(run ^ 3));
        let count = config.products.max(1);
        let all: f64 = (0..count).map(|rank| weight(rank) as f64).sum();
        let rate = if config.rate.is_finite() { config.rate.max(0.0) } else { 0.0 };
        let mut per_hour = vec![0.0; count as usize];
        for rank in 0..count {
            let share = weight(rank) as f64 / all;
            per_hour[scatter(rank, count) as usize] = rate * UNITS_PER_EVENT * SECONDS_PER_HOUR * share;
        }
        let products: Vec<_> =
            (0..count).zip(&per_hour).map(|(product, per_hour)| holding(&mut random, product, *per_hour)).collect();
        let (deliveries, late) = (BTreeSet::new(), BTreeMap::new());
        let mut stock = Self { random, products, deliveries, late, sent: 0 };
        let mut reports = VecDeque::new();
        for product in 0..count {
            let holding = stock.products[product as usize];
            for place in holding.places() {
                reports.push_back(stock.report(product, place, config.start_ms));
            }
            stock.order_if_low(product, config.start_ms);
        }
        (stock, reports)
    }

    /// A sale leaves the place that has most.
    fn sell(&mut self, line: Line, now_ms: i64, ready: &mut VecDeque<Message>) {
        let Some(holding) = self.products.get_mut(line.product as usize) else { return };
        let fullest = holding.places().max_by_key(|place| (holding.levels[*place], usize::MAX - place));
        let place = fullest.unwrap_or(usize::from(holding.home));
        holding.levels[place] -= i64::from(line.quantity);
        let report = self.report(line.product, place, now_ms);
        self.send(report, now_ms, ready);
        self.order_if_low(line.product, now_ms);
    }

    /// Deliveries that have come by now, and reports that were held back until now.
    fn turn_to(&mut self, now_ms: i64, ready: &mut VecDeque<Message>) {
        while let Some(&(due_ms, product)) = self.deliveries.first()
            && due_ms <= now_ms
        {
            self.deliveries.pop_first();
            self.deliver(product, now_ms, ready);
        }
        while let Some(late) = self.late.first_entry().filter(|late| late.key().0 <= now_ms) {
            ready.push_back(Message { event_ms: now_ms, ..late.remove() });
        }
    }

    fn send_late(&mut self, ready: &mut VecDeque<Message>) {
        ready.extend(std::mem::take(&mut self.late).into_values());
    }

    /// What is owed is sent on at once, the rest stays at the product's home.
    fn deliver(&mut self, product: u32, now_ms: i64, ready: &mut VecDeque<Message>) {
        let holding = &mut self.products[product as usize];
        holding.is_ordered = false;
        let home = usize::from(holding.home);
        let before = holding.levels;
        holding.levels.iter_mut().for_each(|level| *level = (*level).max(0));
        holding.levels[home] += (holding.full - holding.total()).max(0);
        let after = holding.levels;
        for place in holding.places() {
            if before[place] != after[place] {
                let report = self.report(product, place, now_ms);
                self.send(report, now_ms, ready);
            }
        }
    }

    fn order_if_low(&mut self, product: u32, now_ms: i64) {
        let holding = &mut self.products[product as usize];
        if holding.is_ordered || !holding.is_low() {
            return;
        }
        holding.is_ordered = true;
        let (after_ms, doublings) = match holding.is_scarce {
            true => (SCARCE_AFTER_MS, SCARCE_DOUBLINGS),
            false => (DELIVERY_AFTER_MS, DELIVERY_DOUBLINGS),
        };
        let due_ms = now_ms.saturating_add(self.random.span_ms(after_ms, doublings));
        self.deliveries.insert((due_ms, product));
    }

    fn send(&mut self, report: Message, now_ms: i64, ready: &mut VecDeque<Message>) {
        self.sent += 1;
        if self.random.per_mille(LATE_PER_MILLE) {
            let event_ms = now_ms.saturating_add(self.random.span_ms(LATE_AFTER_MS, LATE_DOUBLINGS));
            let late = Message { event_ms, kind: MessageKind::Late, ..report };
            self.late.insert((event_ms, self.sent), late);
        } else {
            ready.push_back(report);
        }
    }

    fn report(&mut self, product: u32, place: usize, now_ms: i64) -> Message {
        let holding = &mut self.products[product as usize];
        // Two of one time would leave it to their order which of them holds.
        holding.reported_ms = now_ms.max(holding.reported_ms.saturating_add(1));
        let key = format!("p{}", u64::from(product) + 1);
        let mut json = Json::new();
        json.text(b"id_produto", key.as_bytes());
        json.text(b"id_armazem", PLACES[place].as_bytes());
        json.key(b"nivel_estoque");
        json.signed(holding.levels[place]);
        json.key(b"timestamp");
        json.bytes(b"\"");
        json.time(holding.reported_ms);
        json.bytes(b"Z\"");
        let payload = json.finish();
        Message { topic: STOCK_TOPIC, key, payload, event_ms: now_ms, kind: MessageKind::Prompt }
    }
}

/// What there is of a product at the start. Where it is kept, and whether it is scarce, depend on
/// the product alone.
fn holding(random: &mut Random, product: u32, per_hour: f64) -> Holding {
    let hash = mix(u64::from(product) ^ 0x0073_746f_636b);
    let is_scarce = scale(hash, 1_000) < SCARCE_PER_MILLE;
    let places = match scale(mix(hash ^ 1), 100) {
        0..50 => 1,
        50..80 => 2,
        _ => 3,
    };
    let home = scale(mix(hash ^ 2), PLACES.len() as u64) as u8;
    let spread = scale(mix(hash ^ 3), 1_000) as f64 / 1_000.0;
    let hours = match is_scarce {
        true => SCARCE_HOURS_MAX * (0.1 + 0.9 * spread),
        false => HOURS_PER_DAY * (FULL_DAYS_MIN + FULL_DAYS_SPREAD * spread),
    };
    let full = 3 + (per_hour * hours).min(LEVEL_MAX) as i64;
    // Of scarce ones there may be none.
    let least = if is_scarce { 0 } else { full * 3 / 10 };
    let total = least + random.below((full - least + 1).unsigned_abs()) as i64;
    let mut holding =
        Holding { levels: [0; 3], places, home, is_scarce, is_ordered: false, full, reported_ms: i64::MIN };
    for place in holding.places() {
        holding.levels[place] = total / i64::from(places);
    }
    holding.levels[usize::from(home)] += total % i64::from(places);
    holding
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::ecommerce::TOPIC;

    const COUNT: usize = 200_000;

    fn shop(seed: u64) -> Vec<Message> {
        AllTopics::new(SimulatorConfig { seed, ..SimulatorConfig::default() }).of_customers(COUNT).collect()
    }

    fn fields(message: &Message) -> Value {
        serde_json::from_slice(&message.payload).expect("a JSON object")
    }

    fn text(fields: &Value, key: &str) -> String {
        fields[key].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn customers_do_the_same_with_and_without_warehouses() {
        let all = shop(1);
        let customers: Vec<_> = all.iter().filter(|message| message.topic == TOPIC).cloned().collect();
        assert_eq!(customers, Simulator::new(SimulatorConfig::default()).take(COUNT).collect::<Vec<_>>());
        assert_eq!(all, shop(1));
        assert_ne!(all, shop(2));
        assert!(all.is_sorted_by_key(|message| message.event_ms));
    }

    #[test]
    fn levels_are_those_of_the_start_without_what_was_sold_and_with_what_was_delivered() {
        let config = SimulatorConfig::default();
        let mut levels: BTreeMap<(String, String), (String, i64)> = BTreeMap::new();
        let (mut sold, mut first) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
        let (mut fell, mut rose, mut late) = (0, 0, 0);
        let mut ran_out = BTreeSet::new();
        let mut refilled = BTreeSet::new();
        let mut of_events = BTreeSet::new();
        for message in AllTopics::new(config.clone()).of_customers(COUNT) {
            if message.topic == TOPIC {
                let is_new = !matches!(message.kind, MessageKind::Duplicate | MessageKind::Malformed(_));
                let event = is_new.then(|| fields(&message)).filter(|event| event["tipo_evento"] == "compra");
                if let Some(event) = event {
                    assert!(of_events.insert(text(&event, "id_evento")));
                    *sold.entry(text(&event, "id_produto")).or_default() +=
                        event["quantidade"].as_i64().expect("units");
                }
                continue;
            }
            let report = fields(&message);
            assert_eq!(message.key, text(&report, "id_produto"));
            let place = (message.key.clone(), text(&report, "id_armazem"));
            let level = report["nivel_estoque"].as_i64().expect("a level");
            let time = text(&report, "timestamp");
            late += usize::from(message.kind == MessageKind::Late);
            let Some((newest, before)) = levels.get(&place).cloned() else {
                *first.entry(message.key).or_default() += level;
                levels.insert(place, (time, level));
                continue;
            };
            assert_ne!(newest, time);
            if newest < time {
                fell += usize::from(level < before);
                rose += usize::from(level > before);
                if level <= 0 {
                    ran_out.insert(place.clone());
                } else if level > before && ran_out.contains(&place) {
                    refilled.insert(place.clone());
                }
                levels.insert(place, (time, level));
            }
        }
        assert!(fell > 3_000 && rose > 3 && late > 20, "{fell} {rose} {late}");
        assert!(ran_out.len() > 10 && !refilled.is_empty(), "{} {}", ran_out.len(), refilled.len());
        let mut delivered = 0;
        for (product, at_start) in first {
            let now: i64 = levels.iter().filter(|((of, _), _)| *of == product).map(|(_, (_, level))| level).sum();
            let gain = now - (at_start - sold.get(&product).copied().unwrap_or(0));
            assert!(gain >= 0, "{product}: {at_start} at the start, {now} now");
            delivered += usize::from(gain > 0);
        }
        assert!(delivered > 0 && delivered < 200, "{delivered} products were delivered");
    }

    #[test]
    fn the_smallest_shop_has_a_stock_at_any_rate() {
        for rate in [f64::NAN, 0.0, 1e-3, 1e9] {
            let config = SimulatorConfig { rate, products: 0, users: 0, ..SimulatorConfig::default() };
            let messages: Vec<_> = AllTopics::new(config).of_customers(1_000).collect();
            assert!(messages.iter().any(|message| message.topic == STOCK_TOPIC && message.key == "p1"));
        }
    }
}
