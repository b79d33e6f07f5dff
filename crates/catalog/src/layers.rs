//! How files are put together: layer over layer, each with the statements of one domain or of none.

use std::path::PathBuf;

use super::domains::{Domains, Kind};
use super::source_file::read_dir;
use super::{Catalog, Diagnostic, DomainSettings, Endpoint, Position, Reference, SourceFile, builtin, reader};

/// Paths of the built-in catalog that a folder of the configuration cannot replace: they are part
/// of the engine.
const ENGINE_ENDPOINTS: [&str; 4] = ["/livro", "/reconciliacao", "/alertas", "/importacoes"];

/// Files in which a name may stand once.
pub(super) struct Layer {
    /// The domain that declares their statements; without one, they go over those of all domains,
    /// and what is new is the first's.
    domain: Option<String>,
    files: Vec<SourceFile>,
}

/// What every catalog has, then the domains in use, then the folders of the configuration; and the
/// folders that cannot be read.
pub(super) fn configured(dirs: &[PathBuf], settings: &DomainSettings) -> (Vec<Layer>, Vec<Diagnostic>) {
    let mut layers = vec![Layer { domain: None, files: builtin::shared_files() }];
    let domains = settings.domains.iter();
    layers.extend(domains.map(|domain| Layer { domain: Some(domain.clone()), files: builtin::files_of(domain) }));
    let mut errors = Vec::new();
    for dir in dirs {
        let (files, found) = read_dir(dir);
        layers.push(Layer { domain: settings.domain_of(dir).map(str::to_owned), files });
        errors.extend(found);
    }
    (layers, errors)
}

/// Built-in files stay with their domains.
pub(super) fn of_files(layers: &[Vec<SourceFile>]) -> Vec<Layer> {
    let mut split = Vec::new();
    for files in layers {
        let mut parts = vec![Layer { domain: None, files: Vec::new() }];
        for file in files {
            let domain = builtin::domain_of(file);
            match parts.iter_mut().find(|part| part.domain.as_deref() == domain) {
                Some(part) => part.files.push(file.clone()),
                None => parts.push(Layer { domain: domain.map(str::to_owned), files: vec![file.clone()] }),
            }
        }
        split.extend(parts);
    }
    split
}

impl Catalog {
    /// What could be read, and every error.
    pub(super) fn read_layers(layers: &[Layer], settings: &DomainSettings) -> (Self, Vec<Diagnostic>) {
        let mut catalog = Self { domains: Domains::in_order(&settings.domains), ..Self::default() };
        let mut errors = Vec::new();
        for Layer { domain, files } in layers {
            let mut above = Self::default();
            for file in files {
                if let Some(domain) = domain {
                    catalog.domains.add_file(&file.path, domain);
                }
                if let Err(found) = reader::read(file, settings, &mut above) {
                    errors.extend(found);
                }
            }
            catalog.put_over(above, domain.as_deref(), &mut errors);
        }
        catalog.check_references(&mut errors);
        catalog.add_final_windows(settings, &mut errors);
        (catalog, errors)
    }

    /// What is above replaces what its domain has under the same name; what it cannot replace is an
    /// error.
    fn put_over(&mut self, above: Self, domain: Option<&str>, errors: &mut Vec<Diagnostic>) {
        let mut refused = Vec::new();
        let endpoints = above.endpoints.into_iter().filter(|endpoint| match self.fixed(endpoint) {
            Some(error) => {
                refused.push(error);
                false
            }
            None => true,
        });
        let endpoints = endpoints.collect();
        let domains = &mut self.domains;
        let place: &mut Place<'_> = &mut |kind, name, position| match domains.place(kind, name, domain, position) {
            Ok(id) => {
                *name = id;
                true
            }
            Err(error) => {
                // Other statements may name it all the same.
                self.unread.push_str(name);
                self.unread.push('\n');
                refused.push(error);
                false
            }
        };
        let of_topic = |name: &String| above.topic_positions.get(name).map(|places| places.table.clone());
        put(Kind::Topic, &mut self.topics, above.topics, place, |it| {
            let position = of_topic(&it.name).unwrap_or_else(|| Position::file("catalog"));
            (&mut it.name, position)
        });
        put(Kind::Metric, &mut self.metrics, above.metrics, place, |it| (&mut it.name, it.position.clone()));
        put(Kind::Keyed, &mut self.keyed, above.keyed, place, |it| (&mut it.name, it.position.clone()));
        put(Kind::RowLog, &mut self.row_logs, above.row_logs, place, |it| (&mut it.name, it.position.clone()));
        put(Kind::Reference, &mut self.references, above.references, place, |it| (&mut it.name, it.position.clone()));
        put(Kind::View, &mut self.views, above.views, place, |it| (&mut it.name, it.source.clone()));
        put(Kind::Endpoint, &mut self.endpoints, endpoints, place, |it| (&mut it.path, it.position.clone()));
        put(Kind::Job, &mut self.job_tables, above.job_tables, place, |it| (&mut it.table, it.position.clone()));
        put(Kind::Check, &mut self.checks, above.checks, place, |it| (&mut it.name, it.position.clone()));
        put(Kind::Profile, &mut self.profiles, above.profiles, place, |it| (&mut it.name, it.source.clone()));
        put(Kind::Input, &mut self.inputs, above.inputs, place, |it| (&mut it.name, it.source.clone()));
        for Reference { name, lookup, .. } in &mut self.references {
            lookup.iter_mut().for_each(|lookup| lookup.name.clone_from(name));
        }
        errors.append(&mut refused);
        self.suspects.extend(above.suspects);
        self.topic_positions.extend(above.topic_positions);
        self.by_message.extend(above.by_message);
        self.unread.push_str(&above.unread);
    }

    fn fixed(&self, endpoint: &Endpoint) -> Option<Diagnostic> {
        let is_fixed = ENGINE_ENDPOINTS.contains(&endpoint.path.as_str())
            && self.endpoints.iter().any(|below| below.path == endpoint.path);
        is_fixed.then(|| {
            let error = format!("path '{}' is reserved for the engine", endpoint.path);
            endpoint.position.error(error, "choose another path".to_owned())
        })
    }
}

/// Gives what is declared the name that the catalog calls it; false if it cannot have it.
type Place<'a> = dyn FnMut(Kind, &mut String, &Position) -> bool + 'a;

/// Puts each item that is accepted in the place of the one with its name, or at the end. `parts`
/// are its name and where it is declared.
fn put<T>(
    kind: Kind,
    below: &mut Vec<T>,
    above: Vec<T>,
    place: &mut Place<'_>,
    parts: impl Fn(&mut T) -> (&mut String, Position),
) {
    for mut item in above {
        let (name, position) = parts(&mut item);
        if !place(kind, name, &position) {
            continue;
        }
        match below.iter_mut().position(|old| parts(old).0 == name) {
            Some(place) => below[place] = item,
            None => below.push(item),
        }
    }
}
