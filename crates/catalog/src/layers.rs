//! How files are put together: layer over layer, each with the statements of one domain or of none.

use std::path::PathBuf;

use super::domains::{Domains, Kind};
use super::{Catalog, Diagnostic, DomainSettings, Endpoint, Position, SourceFile, builtin, read_dir, reader};

/// Paths of the built-in catalog that a folder of the configuration cannot replace: they are part of the engine.
const ENGINE_ENDPOINTS: [&str; 3] = ["/livro", "/reconciliacao", "/alertas"];

/// Files in which a name may stand once.
pub(super) struct Layer {
    /// The domain that declares their statements; without one, they go over those of all domains, and what is new is the first's.
    domain: Option<String>,
    files: Vec<SourceFile>,
}

/// What every catalog has, then the domains in use, then the folders of the configuration; and the folders that cannot be read.
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
        (catalog, errors)
    }

    /// What is above replaces what its domain has under the same name; what it cannot replace is an error.
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
        let mut place = |kind, name: &mut String, position: &Position| match domains.place(kind, name, domain, position)
        {
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
        put(
            &mut self.topics,
            above.topics,
            |topic| &topic.name,
            |topic| {
                let position =
                    above.topic_positions.get(&topic.name).cloned().unwrap_or_else(|| Position::file("catalog"));
                place(Kind::Topic, &mut topic.name, &position)
            },
        );
        put(
            &mut self.metrics,
            above.metrics,
            |metric| &metric.name,
            |metric| place(Kind::Metric, &mut metric.name, &metric.position),
        );
        put(&mut self.keyed, above.keyed, |view| &view.name, |view| place(Kind::Keyed, &mut view.name, &view.position));
        put(
            &mut self.references,
            above.references,
            |reference| &reference.name,
            |reference| {
                let is_placed = place(Kind::Reference, &mut reference.name, &reference.position);
                if let Some(lookup) = &mut reference.lookup {
                    lookup.name.clone_from(&reference.name);
                }
                is_placed
            },
        );
        put(&mut self.views, above.views, |view| &view.name, |view| place(Kind::View, &mut view.name, &view.source));
        put(
            &mut self.endpoints,
            endpoints,
            |endpoint| &endpoint.path,
            |endpoint| place(Kind::Endpoint, &mut endpoint.path, &endpoint.position),
        );
        put(
            &mut self.job_tables,
            above.job_tables,
            |table| &table.table,
            |table| place(Kind::Job, &mut table.table, &table.position),
        );
        put(
            &mut self.checks,
            above.checks,
            |check| &check.name,
            |check| place(Kind::Check, &mut check.name, &check.position),
        );
        put(
            &mut self.profiles,
            above.profiles,
            |profile| &profile.name,
            |profile| place(Kind::Profile, &mut profile.name, &profile.source),
        );
        errors.append(&mut refused);
        self.suspects.extend(above.suspects);
        self.topic_positions.extend(above.topic_positions);
        self.unread.push_str(&above.unread);
    }

    fn fixed(&self, endpoint: &Endpoint) -> Option<Diagnostic> {
        let is_fixed = ENGINE_ENDPOINTS.contains(&endpoint.path.as_str())
            && self.endpoints.iter().any(|below| below.path == endpoint.path);
        is_fixed.then(|| {
            let error = format!("path '{}' is the engine's own", endpoint.path);
            endpoint.position.error(error, "choose another path".to_owned())
        })
    }
}

/// Puts each item that is accepted in the place of the one with its name, or at the end.
fn put<T>(below: &mut Vec<T>, above: Vec<T>, name: impl Fn(&T) -> &String, mut accept: impl FnMut(&mut T) -> bool) {
    for mut item in above {
        if accept(&mut item) {
            match below.iter_mut().find(|old| name(old) == name(&item)) {
                Some(old) => *old = item,
                None => below.push(item),
            }
        }
    }
}
