//! A file at its first row: what its columns fill, how they are written, and which of its rows are
//! left out.

use super::forms::{Asked, Evidence, Forms, Here};
use super::identity::Marker;
use super::known::Known;
use super::left_out::{Left, LeftOut};
use super::mapping::{Mapping, Names};
use super::queried::{Place, Queried};
use super::source::{Opening, Row, Source, open};
use super::{File, Import, ImportError, WIDE};

/// A file at its first row, and how it is understood.
pub(super) struct Opened {
    pub(super) source: Box<dyn Source>,
    pub(super) mapping: Mapping,
    pub(super) marker: Marker,
    pub(super) forms: Forms,
    /// Rows that a profile or a condition leaves out.
    pub(super) left: Vec<Left>,
    pub(super) notes: Vec<String>,
}

/// A file at its first row, and what its columns fill.
struct Looked {
    source: Box<dyn Source>,
    mapping: Mapping,
    marker: Marker,
}

/// How the columns of one file are written.
#[derive(Debug, Clone)]
pub struct Understood(Forms);

/// Finds how a file is written for each of the tables that it fills, before a row of it comes into
/// any: what one of them shows holds for the others.
pub fn understand(imports: &mut [Import], file: &File, mut progress: impl FnMut(u64, u64)) -> Result<(), ImportError> {
    let mut seen = Vec::new();
    for import in imports.iter() {
        let Looked { mut source, mapping, .. } = import.look(file)?;
        let mut evidence = Evidence::new(&mapping, import.here());
        loop {
            let rows = source.next()?;
            if rows.is_empty() {
                break;
            }
            rows.iter().for_each(|row| evidence.see(row));
            let (done, of) = source.progress();
            progress(done, of);
        }
        seen.push((mapping, evidence, source.serial_epoch()));
    }
    let evidence: Vec<&Evidence> = seen.iter().map(|(_, evidence, _)| evidence).collect();
    for (import, (mapping, own, epoch)) in imports.iter_mut().zip(&seen) {
        import.understood = Some(Understood(own.decide(&file.name, mapping, import.asked(), *epoch, &evidence)?));
    }
    Ok(())
}

impl Import {
    /// The file from its first row on, what its columns fill, and how they are written: as the user
    /// says, or as all of its rows show. `known` takes every row into account, and, if that is
    /// wanted, those that are left out.
    pub(super) fn open(
        &self,
        file: &File,
        mut known: Option<&mut Known>,
        with_left: bool,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<Opened, ImportError> {
        let Looked { mut source, mut mapping, mut marker } = self.look(file)?;
        let mut evidence = Evidence::new(&mapping, self.here());
        let (mut left, mut notes) = (Vec::new(), Vec::new());
        let mut left_out =
            (with_left && known.is_some()).then(|| source.all(&marker.lasting()).map(LeftOut::new)).flatten();
        // Without anything to compare with, there is nothing to look for in a file that is
        // understood.
        while self.understood.is_none() || known.is_some() {
            let rows = source.next()?;
            for row in &rows {
                evidence.see(row);
                if let Some(known) = known.as_deref_mut() {
                    known.add(&marker.marks(row));
                }
            }
            if let (Some(both), Some(known)) = (&mut left_out, known.as_deref_mut())
                && let Err(error) = leave_out(both, &rows, &mut marker, known, &mut left)
            {
                notes.push(format!("cannot tell which already imported rows this file now leaves out: {error}"));
                left_out = None;
            }
            if rows.is_empty() {
                break;
            }
            let (done, of) = source.progress();
            progress(done, 2 * of);
        }
        let forms = match &self.understood {
            Some(Understood(forms)) => forms.clone(),
            None => evidence.decide(&file.name, &mapping, self.asked(), source.serial_epoch(), &[])?,
        };
        if !forms.has_clock {
            mapping.drop_clock();
        }
        notes.extend(forms.notes.iter().cloned());
        source.rewind()?;
        Ok(Opened { source, mapping, marker, forms, left, notes })
    }

    /// The file at its first row, and what its columns fill.
    fn look(&self, file: &File) -> Result<Looked, ImportError> {
        let names = Names::new(&self.topic, &self.target, &self.named);
        let opening = Opening { header_row: self.header_row, sheets: &self.sheets, headings: &names };
        let mut source: Box<dyn Source> = if self.ask.is_empty() {
            open(&file.path, &file.name, &opening)?
        } else {
            let Opening { header_row, sheets, headings } = opening;
            let place = Place { path: file.path.clone(), name: file.name.clone(), header_row, sheets: sheets.to_vec() };
            Box::new(Queried::open(place, self.ask.clone(), headings)?)
        };
        let mapping = Mapping::new(&file.name, source.header(), &self.topic, &self.target, &self.named);
        let mapping = mapping.map_err(|error| error.with_doubt(source.doubt()))?;
        let nested = source.nested();
        if let Some((index, ours)) = mapping.filled().find(|(index, _)| nested.contains(index)) {
            let (file, column, ours) = (file.name.clone(), mapping.heading(index).to_owned(), ours.to_owned());
            return Err(ImportError::Nested { file, column, ours });
        }
        let marker = Marker::new(source.header(), &mapping, &self.topic, &self.target);
        // All cells tell a row from others; of a very wide file those that are used must do.
        if source.header().len() > WIDE {
            source.keep(&mapping.roles().map(|role| role.is_some()).collect::<Vec<_>>())?;
        }
        Ok(Looked { source, mapping, marker })
    }

    fn here(&self) -> Here {
        Here { zone: self.zone, is_zone_named: self.is_zone_named, currency: self.currency.clone() }
    }

    /// How its columns are written, as the user or the profile says.
    fn asked(&self) -> Asked {
        let (numbers, dates) = self.ask.forms();
        Asked { numbers: self.numbers.or(numbers), dates: self.dates.or(dates), is_by_user: self.dates.is_some() }
    }
}

/// What is left out between these rows and those before, or after the last.
fn leave_out(
    both: &mut LeftOut,
    rows: &[Row],
    marker: &mut Marker,
    known: &mut Known,
    left: &mut Vec<Left>,
) -> Result<(), ImportError> {
    let whole = rows.iter().filter(|row| row.broken.is_none()).map(Some);
    for before in whole.chain(rows.is_empty().then_some(None)) {
        for row in both.before(before)? {
            let marks = marker.marks(&row);
            if marks.lasting().is_some() {
                known.add_left_out(&marks);
                left.push(Left { marks, name: marker.name(&row), place: row.place() });
            }
        }
    }
    Ok(())
}
