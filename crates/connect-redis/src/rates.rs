//! Rates that processes count together, by the clock of Redis: GCRA in one script.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::Script;
use vitral_access::{Limit, Rate, SharedRates, SharedRatesError};

use crate::link::{LinkError, Redis};
use crate::route::Command;

/// The key holds the moment at which as many as ever may come, in microseconds of the server.
///
/// Keys: the principal's. Arguments: requests, and the microseconds in which they are free again.
/// Answers whether one is allowed, and after it: how many more, how long until all are free, and
/// how long until the next.
static GCRA: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local requests, per = tonumber(ARGV[1]), tonumber(ARGV[2])
        local each = per / requests
        local free = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
        local next = free + each
        if next - now > per + 0.5 then
            return {0, 0, math.ceil(free - now), math.ceil(next - now - per)}
        end
        redis.call('SET', KEYS[1], string.format('%.3f', next), 'PX', math.ceil((next - now) / 1000) + 1)
        return {1, math.floor((per - (next - now)) / each + 0.000001), math.ceil(next - now), 0}",
    )
});

#[async_trait]
impl SharedRates for Redis {
    async fn check(&self, key: &str, limit: Limit) -> Result<Rate, SharedRatesError> {
        let micros = u64::try_from(limit.per.as_micros()).unwrap_or(u64::MAX);
        if limit.requests == 0 || micros == 0 {
            return Err(SharedRatesError("a rate needs a number of requests and a time".to_owned()));
        }
        let mut script = GCRA.key(format!("vitral:rate:{key}"));
        script.arg(limit.requests).arg(micros);
        let (allowed, remaining, reset, retry): (u8, u32, u64, u64) = self.run(Command::Script(&script)).await?;
        Ok(Rate {
            is_allowed: allowed == 1,
            limit: limit.requests,
            remaining,
            reset_after: Duration::from_micros(reset),
            retry_after: Duration::from_micros(retry),
        })
    }
}

impl From<LinkError> for SharedRatesError {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}
