//! An open loop of HTTP requests: each is sent at its time, whether those before it are answered or
//! not, and its latency counts from then.
//!
//! `cargo bench --profile dist --bench load -- URL PATHS RATE SECONDS`: paths are the lines of a
//! file, taken in an order that looks like chance. Prints one line of JSON: percentiles in
//! milliseconds, and how often which status was answered.

#![expect(clippy::print_stdout, reason = "a bench answers there")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedReceiver;

/// Requests that wait for an answer at once; more are counted as not sent.
const OPEN_MAX: usize = 4096;
/// Takes every number below a count once before any twice, if the count is not divided by it.
const STEP: usize = 7_919;

#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    statuses: BTreeMap<String, u64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [url, paths, rate, seconds] = <[String; 4]>::try_from(arguments).expect("URL PATHS RATE SECONDS");
    let paths: Vec<String> =
        std::fs::read_to_string(paths).expect("a file").lines().map(|path| url.clone() + path).collect();
    let (rate, seconds): (f64, f64) = (rate.parse().expect("a rate"), seconds.parse().expect("seconds"));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = runtime.block_on(run(&paths, rate, seconds));
    let Seen { mut latencies, statuses } = seen;
    latencies.sort_unstable();
    let at = |part: f64| {
        let place = (latencies.len() as f64 * part) as usize;
        latencies.get(place.min(latencies.len().saturating_sub(1))).map_or(f64::NAN, |found| found.as_secs_f64() * 1e3)
    };
    println!(
        r#"{{"answers": {}, "p50": {:.3}, "p90": {:.3}, "p99": {:.3}, "p999": {:.3}, "max": {:.3}, "statuses": {}}}"#,
        latencies.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0),
        serde_json::to_string(&statuses).expect("JSON")
    );
}

async fn run(paths: &[String], rate: f64, seconds: f64) -> Seen {
    let client = reqwest::Client::builder().pool_max_idle_per_host(OPEN_MAX).no_proxy().build().expect("a client");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let permits = Arc::new(tokio::sync::Semaphore::new(OPEN_MAX));
    let mut due = paced(rate, (rate * seconds) as usize);
    while let Some((number, due)) = due.recv().await {
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            *seen.lock().expect("no panic").statuses.entry("not sent".to_owned()).or_default() += 1;
            continue;
        };
        let request = client.get(&paths[number * STEP % paths.len()]);
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let answer = request.send().await;
            let status = match answer {
                Ok(answer) => {
                    let status = answer.status().as_u16().to_string();
                    answer.bytes().await.map_or_else(|error| error.without_url().to_string(), |_| status)
                }
                Err(error) => error.without_url().to_string(),
            };
            let mut seen = seen.lock().expect("no panic");
            seen.latencies.push(due.elapsed());
            *seen.statuses.entry(status).or_default() += 1;
            drop(permit);
        });
    }
    // What is still open counts too.
    let _all = permits.acquire_many(OPEN_MAX as u32).await;
    Arc::try_unwrap(seen).map_or_else(|_| Seen::default(), |seen| seen.into_inner().expect("no panic"))
}

/// Requests with their numbers, each when it is due: to a part of a millisecond, which the
/// runtime's own timers are not.
fn paced(rate: f64, count: usize) -> UnboundedReceiver<(usize, Instant)> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let began = Instant::now();
        for number in 0..count {
            let due = began + Duration::from_secs_f64(number as f64 / rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send((number, due)).is_err() {
                break;
            }
        }
    });
    receiver
}
