//! Tables of sums that readers sum up further, over any range of time.

use super::super::options::Options;
use super::{KeyedView, Merge};
use crate::Diagnostic;

/// What readers of `soma.NAME` get: sums of the table's rows in any range of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// The key that the sums are grouped by.
    pub by: String,
    /// The key that is the time.
    pub time: String,
    /// The key of which each value counts once in a group, such as an order, and the column that
    /// says how many there are.
    pub once: Option<(String, String)>,
    /// The other keys: those by which it may be filtered, too.
    pub filters: Vec<String>,
}

impl KeyedView {
    /// Takes the options that make it one.
    pub(super) fn read_rollup(&self, options: &mut Options) -> Result<Option<Rollup>, Diagnostic> {
        let given = options.take_text("rollup")?;
        let time = options.take_text("rollup_time")?;
        let once = options.take_text("rollup_once")?;
        let Some((by, position)) = given else {
            let Some((_, position)) = time.or(once) else { return Ok(None) };
            return Err(position.error("there is no option rollup", "name the key to group by: rollup = 'key'".into()));
        };
        let missing = || position.error("there is no option rollup_time", "name the key that is the time".into());
        let (time, time_position) = time.ok_or_else(missing)?;
        let is_key = |name: &String| self.keys.contains(name);
        let keys = || format!("name one of {}", self.keys.join(", "));
        for (name, position) in [(&by, &position), (&time, &time_position)] {
            if !is_key(name) {
                return Err(position.error(format!("{name} is not a key of {}", self.name), keys()));
            }
        }
        let once = match once {
            None => None,
            Some((text, position)) => {
                let parts: Vec<_> = text.split(" AS ").map(|part| part.trim().to_owned()).collect();
                let [key, name] = <[String; 2]>::try_from(parts).map_err(|_| {
                    position.error(format!("rollup_once = '{text}' has no name"), "write 'key AS name'".into())
                })?;
                if !is_key(&key) || key == by || key == time {
                    return Err(position.error(format!("{key} is not a further key of {}", self.name), keys()));
                }
                Some((key, name))
            }
        };
        if let Some(column) = self.columns.iter().find(|column| !column.is_sum()) {
            return Err(position.error(
                format!("the column {} of {} is neither a sum nor a count", column.name, self.name),
                "keep only sum(...) and count(...) in a table with rollup".into(),
            ));
        }
        let is_filter =
            |name: &&String| **name != by && **name != time && once.as_ref().is_none_or(|(key, _)| key != *name);
        let filters = self.keys.iter().filter(is_filter).cloned().collect();
        Ok(Some(Rollup { by, time, once, filters }))
    }
}

impl super::KeyedColumn {
    fn is_sum(&self) -> bool {
        matches!(self.merge, Merge::Counts | Merge::By("sum"))
    }
}
