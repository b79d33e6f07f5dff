//! One operation: what it is called, what it takes, what it answers, and what may go wrong.

use utoipa::openapi::ResponseBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::security::SecurityRequirement;

use super::errors::{self, Codes, Problems};
use super::headers;

/// What is said of an operation before its answers.
pub(super) struct Described<'a> {
    /// Different for each operation.
    pub id: String,
    pub tag: &'a str,
    /// What it is for. The first sentence is its summary.
    pub about: &'a str,
    pub parameters: Vec<Parameter>,
    pub body: Option<RequestBody>,
    /// Anybody may ask, whether there is access control or not.
    pub is_open: bool,
}

impl<'a> Described<'a> {
    /// Of something that is read.
    pub(super) fn new(id: impl Into<String>, tag: &'a str, about: &'a str) -> Self {
        Self { id: id.into(), tag, about, parameters: Vec::new(), body: None, is_open: false }
    }

    pub(super) fn with(self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        Self { parameters: parameters.into_iter().collect(), ..self }
    }

    pub(super) fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// With its good answers by status, and groups of problems besides those of any operation.
    pub(super) fn answers(
        self,
        good: impl IntoIterator<Item = (&'static str, ResponseBuilder)>,
        groups: &[Codes],
        problems: &mut Problems,
    ) -> Operation {
        let about = if self.about.is_empty() { self.id.as_str() } else { self.about };
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id.as_str()))
            .tag(self.tag)
            .summary(Some(first_sentence(about)))
            .description(Some(about))
            .request_body(self.body);
        if !self.parameters.is_empty() {
            operation = operation.parameters(Some(self.parameters));
        }
        let mut described = Vec::new();
        for (status, response) in good {
            described.push(status);
            operation = operation.response(status, headers::put(response, &[&headers::COMMON]));
        }
        let mut all = vec![errors::ANY];
        if self.is_open {
            operation = operation.security(SecurityRequirement::default());
        } else {
            all.push(errors::KNOWN);
        }
        all.extend_from_slice(groups);
        // What says no by its status says it in its own form.
        for (status, response) in
            problems.of(&all).into_iter().filter(|(status, _)| !described.contains(&status.as_str()))
        {
            operation = operation.response(status, response);
        }
        operation.build()
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// A word that may stand in identifiers and in names of components.
pub(super) fn word(text: &str) -> String {
    text.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_a_sentence() {
        assert_eq!(first_sentence("Sales, 1.5 a day. Of all."), "Sales, 1.5 a day");
        assert_eq!(first_sentence("Sales."), "Sales");
        assert_eq!(word("loja.vendas-ção"), "loja_vendas___o");
    }
}
