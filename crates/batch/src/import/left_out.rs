//! The rows of a file that its profile, or a condition, leaves out: two readings of the file side
//! by side.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::ImportError;
use super::identity::Marks;
use super::source::{Row, Source};

/// A row that is left out, and what tells which it is.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) marks: Marks,
    pub(super) name: String,
    pub(super) place: String,
}

/// Every row of the file, next to those that are not left out: both come in the order of sheets and
/// lines.
pub(super) struct LeftOut {
    all: Box<dyn Source>,
    waiting: VecDeque<Row>,
    is_ended: bool,
}

impl LeftOut {
    pub(super) fn new(all: Box<dyn Source>) -> Self {
        Self { all, waiting: VecDeque::new(), is_ended: false }
    }

    /// What is left out before this row, or before the end; rows must be asked for in their order.
    pub(super) fn before(&mut self, row: Option<&Row>) -> Result<Vec<Row>, ImportError> {
        let mut left = Vec::new();
        loop {
            if self.waiting.is_empty() && !self.is_ended {
                let rows = self.all.next()?;
                self.is_ended = rows.is_empty();
                // What the format has broken is refused, and not left out.
                self.waiting.extend(rows.into_iter().filter(|row| row.broken.is_none()));
                continue;
            }
            let Some(next) = self.waiting.front() else { return Ok(left) };
            let order = row.map_or(Ordering::Less, |row| place(next).cmp(&place(row)));
            if order == Ordering::Greater {
                return Ok(left);
            }
            left.extend(self.waiting.pop_front().filter(|_| order == Ordering::Less));
        }
    }
}

fn place(row: &Row) -> (Option<&str>, i64) {
    (row.sheet.as_deref(), row.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines(VecDeque<Vec<i64>>);

    impl Source for Lines {
        fn header(&self) -> &[String] {
            &[]
        }

        fn next(&mut self) -> Result<Vec<Row>, ImportError> {
            let lines = self.0.pop_front().unwrap_or_default();
            Ok(lines.into_iter().map(row).collect())
        }

        fn rewind(&mut self) -> Result<(), ImportError> {
            Ok(())
        }

        fn progress(&self) -> (u64, u64) {
            (0, 0)
        }
    }

    fn row(line: i64) -> Row {
        Row { sheet: None, line, cells: Vec::new(), broken: None, is_unended: false }
    }

    #[test]
    fn rows_of_the_file_that_do_not_come_are_left_out() {
        let mut left_out = LeftOut::new(Box::new(Lines(VecDeque::from([vec![2, 3], vec![4, 5, 5, 6], vec![7]]))));
        let mut before = |row: Option<&Row>| -> Vec<i64> {
            left_out.before(row).expect("read").into_iter().map(|row| row.line).collect()
        };
        assert_eq!(before(Some(&row(3))), [2]);
        assert_eq!(before(Some(&row(3))), [0; 0], "a line that comes twice");
        assert_eq!(before(Some(&row(5))), [4]);
        assert_eq!(before(None), [6, 7]);
    }
}
