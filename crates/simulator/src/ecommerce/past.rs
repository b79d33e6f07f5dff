//! What the shop had sold before: orders and their refunds, as a file of history holds them,
//! without anything that led to them.

use std::io::{self, Write};

use super::event::{Event, event_id, token};
use super::reference::csv_text;
use super::shop::{Item, REGIONS};
use super::shopper::{Action, Cart, Line, Visitor, quantity};
use super::{Simulator, SimulatorConfig};
use crate::MessageKind;
use crate::random::{mix, scale};

const HEADER: &str = "id_evento,id_usuario,tipo_evento,id_pedido,id_produto,categoria,quantidade,preco,valor_total,desconto,moeda,regiao,canal,\
                      id_afiliado,timestamp";
/// Orders with one line, and those with at most two, per mille; the others have three.
const ONE_LINE_PER_MILLE: u64 = 600;
const TWO_LINES_PER_MILLE: u64 = 880;
/// How many of the customers, per mille, had bought before the first day; the others come in the
/// course of time.
const KNOWN_PER_MILLE: u64 = 450;
/// Somebody who is not a customer yet is passed over this often at most.
const TRIES: usize = 32;

/// Lines of orders and of refunds in the order of their times, until an end.
#[derive(Debug)]
struct PastSales {
    shop: Simulator,
    end_ms: i64,
}

impl PastSales {
    /// `config.rate` are orders a second; shares of what goes wrong on the way to a stream mean
    /// nothing here.
    fn new(config: SimulatorConfig, end_ms: i64) -> Self {
        Self { shop: Simulator::new(config), end_ms }
    }

    /// Somebody who is a customer by now.
    fn customer(&mut self, now_ms: i64) -> Visitor {
        let start_ms = self.shop.config.start_ms;
        let length_ms = self.end_ms.saturating_sub(start_ms).max(1);
        let new = (1_000 - KNOWN_PER_MILLE) as i64 * now_ms.saturating_sub(start_ms).clamp(0, length_ms) / length_ms;
        let customers = KNOWN_PER_MILLE + new.unsigned_abs();
        let mut visitor = self.shop.crowd.passer_by(&mut self.shop.random);
        for _ in 0..TRIES {
            if scale(mix(u64::from(visitor.user) ^ 0x6e6f_766f), 1_000) < customers {
                break;
            }
            visitor = self.shop.crowd.passer_by(&mut self.shop.random);
        }
        visitor
    }

    fn cart(&mut self) -> Cart {
        let lines = match self.shop.random.below(1_000) {
            0..ONE_LINE_PER_MILLE => 1,
            ONE_LINE_PER_MILLE..TWO_LINES_PER_MILLE => 2,
            _ => 3,
        };
        let mut cart = Cart::default();
        let mut last = None;
        for _ in 0..lines {
            let product = self.shop.market.next_look(&mut self.shop.random, last);
            if !cart.holds(product) {
                cart.add(Line { product, quantity: quantity(&mut self.shop.random, product) });
            }
            last = Some(product);
        }
        cart
    }
}

impl Iterator for PastSales {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if let Some((line, _)) = self.shop.order_lines.pop_front() {
            return Some(line);
        }
        let now_ms = self.shop.clock.now_ms();
        if let Some((due_ms, refund)) = self.shop.due_refund(now_ms).filter(|(due_ms, _)| *due_ms < self.end_ms) {
            return Some(Event { time_ms: due_ms.min(now_ms), ..refund });
        }
        if now_ms >= self.end_ms {
            return None;
        }
        let (visitor, cart) = (self.customer(now_ms), self.cart());
        let first = self.shop.event(visitor, Action::Buy(cart), now_ms, MessageKind::Prompt);
        if self.shop.clock.advance(&mut self.shop.random) {
            self.shop.market.turn_to(self.shop.clock.now_ms());
        }
        Some(first)
    }
}

/// Writes what was sold from the configuration's start until `end_ms` as CSV, in the columns of
/// topic `eventos_clientes`, and says how many lines that are. `config.rate` are orders a second.
///
/// # Errors
/// Those of the writer.
pub fn write_past_sales(config: SimulatorConfig, end_ms: i64, to: &mut impl Write) -> io::Result<u64> {
    let sales = PastSales::new(config, end_ms);
    let run = sales.shop.run;
    writeln!(to, "{HEADER}")?;
    let mut lines = 0;
    for (number, sale) in (0..).zip(sales) {
        write_line(&sale, &event_id(sale.time_ms, run, number), to)?;
        lines += 1;
    }
    to.flush()?;
    Ok(lines)
}

fn write_line(sale: &Event, id: &[u8; 26], to: &mut impl Write) -> io::Result<()> {
    let Event { visitor, time_ms, product, quantity, price_cents, .. } = sale;
    let (product, quantity, price) = (product.unwrap_or(0), quantity.unwrap_or(1), price_cents.unwrap_or(0));
    let (order, discount) = sale.sale.map_or((0, 0), |sale| (sale.order, sale.unit_discount_cents));
    to.write_all(id)?;
    write!(to, ",u{},{},", u64::from(visitor.user) + 1, sale.kind.name())?;
    to.write_all(&token(b'P', order))?;
    write!(to, ",p{},{},{quantity},", u64::from(product) + 1, csv_text(Item::new(product).category()))?;
    write_money(price, to)?;
    write_money(price * i64::from(quantity), to)?;
    if discount > 0 && sale.sold().is_some() {
        write_money(discount * i64::from(quantity), to)?;
    } else {
        to.write_all(b",")?;
    }
    let region = visitor.region.map_or("", |region| REGIONS[usize::from(region)].regiao);
    write!(to, "{},{region},{},", if visitor.foreign { "USD" } else { "BRL" }, visitor.channel())?;
    if let Some(affiliate) = visitor.affiliate {
        write!(to, "a{affiliate}")?;
    }
    // Only a year beyond 262,000 is out of range.
    let time = chrono::DateTime::from_timestamp_millis(*time_ms).unwrap_or_default();
    writeln!(to, ",{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

fn write_money(cents: i64, to: &mut impl Write) -> io::Result<()> {
    write!(to, "{}.{:02},", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn lines(seed: u64) -> Vec<Vec<String>> {
        let config = SimulatorConfig { seed, rate: 0.01, rhythm: true, users: 2_000, ..SimulatorConfig::default() };
        let end_ms = config.start_ms + 30 * DAY_MS;
        let mut text = Vec::new();
        let count = write_past_sales(config, end_ms, &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        let lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect());
        let lines: Vec<Vec<String>> = lines.collect();
        assert_eq!(lines.len() as u64, count + 1);
        lines
    }

    #[test]
    fn the_same_seed_gives_the_same_history() {
        assert_eq!(lines(1), lines(1));
        assert_ne!(lines(1), lines(2));
    }

    #[test]
    fn orders_follow_each_other_and_refunds_their_orders() {
        let lines = lines(3);
        let (head, lines) = lines.split_first().expect("a header");
        let column = |name: &str| head.iter().position(|known| known == name).expect("a column");
        let [id, kind, order, product, time] =
            ["id_evento", "tipo_evento", "id_pedido", "id_produto", "timestamp"].map(column);
        // 0.01 a second in 30 days.
        let orders: BTreeSet<_> = lines.iter().filter(|line| line[kind] == "compra").map(|line| &line[order]).collect();
        assert!((24_000..28_000).contains(&orders.len()), "{}", orders.len());
        assert_eq!(lines.iter().map(|line| &line[id]).collect::<BTreeSet<_>>().len(), lines.len());
        assert!(lines.is_sorted_by_key(|line| &line[time]));
        assert!(lines.iter().all(|line| line.len() == head.len()));
        let mut sold = BTreeMap::new();
        let mut refunds = 0;
        for line in lines {
            let of = (&line[order], &line[product]);
            if line[kind] == "compra" {
                assert!(sold.insert(of, &line[time]).is_none(), "a product stands once in an order");
            } else {
                assert!(sold[&of] < &line[time]);
                refunds += 1;
            }
        }
        let share = f64::from(refunds) / orders.len() as f64;
        assert!((0.03..0.05).contains(&share), "{share}");
    }

    #[test]
    fn customers_come_in_the_course_of_time() {
        let lines = lines(4);
        let mut known = BTreeSet::new();
        let mut new_by_third = [0; 3];
        for (number, line) in lines[1..].iter().enumerate() {
            if known.insert(&line[1]) {
                new_by_third[number * 3 / lines.len()] += 1;
            }
        }
        assert!(new_by_third[1] > 200 && new_by_third[2] > 200, "{new_by_third:?}");
    }
}
