//! What alerts have seen, made from their transitions: one row for each time that a key came into
//! an alert's rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;

use super::{
    Delay, Delivered, Hush, Transition, TransitionKind, maybe_texts, numbers, schema_of, text_field, texts, time_field,
    times,
};

/// One time that a key was among an alert's rows, or that its query failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// The newest transition of it.
    pub last: Transition,
    /// Since when it has fired.
    pub fired_ms: Option<i64>,
    /// When it left the rows.
    pub resolved_ms: Option<i64>,
    /// Why nobody was notified.
    pub hush: Option<Hush>,
    /// Notifications that nobody has accepted or refused yet, as `id` and destination.
    waiting: BTreeSet<(String, String)>,
    /// Of one of them: why it has not been accepted yet.
    delay: Option<Delay>,
    /// How many were accepted.
    accepted: usize,
    /// Why one was refused for good.
    refusal: Option<String>,
}

/// By alert and the number with which it began.
#[derive(Debug, Clone, Default)]
pub struct Episodes {
    known: BTreeMap<(String, i64), Episode>,
    /// Which of them a notification belongs to, while nobody has accepted or refused it.
    of_id: BTreeMap<String, (String, i64)>,
}

impl Episodes {
    /// Of transitions in each alert's order.
    pub fn of(transitions: &[Transition], deliveries: &[Delivered]) -> Self {
        let mut episodes = Self::default();
        transitions.iter().for_each(|transition| episodes.add(transition));
        deliveries.iter().for_each(|delivered| episodes.deliver(delivered));
        episodes
    }

    /// Takes in the next transition.
    pub fn add(&mut self, transition: &Transition) {
        use TransitionKind::{
            Began, Failed, Fired, Notified, Pending, Recovered, Repeated, Reported, Resolved, Withdrawn,
        };
        let place = (transition.alert.clone(), transition.episode);
        match transition.kind {
            Began | Reported => return,
            // It never fired: nothing remains of it here.
            Withdrawn => {
                self.known.remove(&place);
                return;
            }
            Pending | Fired | Failed | Notified | Repeated | Resolved | Recovered => {}
        }
        let episode = self.known.entry(place.clone()).or_insert_with(|| Episode {
            last: transition.clone(),
            fired_ms: None,
            resolved_ms: None,
            hush: None,
            waiting: BTreeSet::new(),
            delay: None,
            accepted: 0,
            refusal: None,
        });
        match transition.kind {
            Fired => (episode.fired_ms, episode.hush) = (Some(transition.at_ms), transition.hush),
            Notified => episode.hush = None,
            Resolved | Recovered => episode.resolved_ms = Some(transition.at_ms),
            _ => {}
        }
        // What was seen last stays when it has left.
        let has_left = matches!(transition.kind, Resolved | Recovered);
        let (rows, content) = (episode.last.rows, episode.last.content.clone());
        episode.last = transition.clone();
        if has_left {
            (episode.last.rows, episode.last.content) = (rows, content);
        }
        for destination in &transition.destinations {
            episode.waiting.insert((transition.id.clone(), destination.clone()));
            self.of_id.insert(transition.id.clone(), place.clone());
        }
    }

    /// Takes in that an attempt has failed, and is made again.
    pub fn delay(&mut self, delay: &Delay) {
        let Some(place) = self.of_id.get(&delay.id) else { return };
        let Some(episode) = self.known.get_mut(place) else { return };
        if episode.waiting.contains(&(delay.id.clone(), delay.destination.clone())) {
            episode.delay = Some(delay.clone());
        }
    }

    /// Takes in that a notification was accepted or refused for good.
    pub fn deliver(&mut self, delivered: &Delivered) {
        let Some(place) = self.of_id.get(&delivered.id) else { return };
        let Some(episode) = self.known.get_mut(place) else { return };
        let is_of = |delay: &Delay| (&delay.id, &delay.destination) == (&delivered.id, &delivered.destination);
        episode.delay.take_if(|delay| is_of(delay));
        if episode.waiting.remove(&(delivered.id.clone(), delivered.destination.clone())) {
            match &delivered.refusal {
                Some(refusal) => episode.refusal = Some(refusal.clone()),
                None => episode.accepted += 1,
            }
        }
        if !episode.waiting.iter().any(|(id, _)| *id == delivered.id) {
            self.of_id.remove(&delivered.id);
        }
    }

    /// Forgets the oldest of those that are over, but for the last `count`.
    pub fn forget_all_but(&mut self, count: usize) {
        let mut over: Vec<_> = self
            .known
            .iter()
            .filter(|(_, episode)| episode.waiting.is_empty())
            .filter_map(|(place, episode)| Some((episode.resolved_ms?, place.clone())))
            .collect();
        if over.len() > count {
            over.sort_unstable();
            over.truncate(over.len() - count);
            over.iter().for_each(|(_, place)| drop(self.known.remove(place)));
        }
    }

    /// Every one that is known.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Episode> {
        self.known.values()
    }
}

impl Episode {
    /// `pendente`, `disparado`, `resolvido`, or `falha` while the alert's query fails.
    pub fn state(&self) -> &'static str {
        match self.last.kind {
            TransitionKind::Pending => "pendente",
            TransitionKind::Failed => "falha",
            TransitionKind::Resolved | TransitionKind::Recovered => "resolvido",
            _ => "disparado",
        }
    }

    /// What became of its notifications, in a word; none if there are none.
    pub(super) fn notification(&self) -> Option<String> {
        if !self.waiting.is_empty() {
            let delay = self.delay.as_ref();
            return Some(delay.map_or_else(|| "pendente".to_owned(), |delay| format!("pendente: {}", delay.reason)));
        }
        let refused = self.refusal.as_ref().map(|refusal| format!("recusada: {refusal}"));
        refused.or_else(|| (self.accepted > 0).then(|| "entregue".to_owned()))
    }
}

/// The columns of `alertas`.
pub fn episode_schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    schema_of(vec![
        text_field("alerta", false),
        text_field("chave", false),
        text_field("estado", false),
        time_field("desde", false),
        time_field("disparado_em", true),
        time_field("resolvido_em", true),
        text_field("severidade", false),
        number("linhas"),
        Field::new("silenciado", DataType::Boolean, false),
        text_field("notificacao", true),
        text_field("conteudo", false),
        number("episodio"),
    ])
}

/// The rows of `alertas`.
pub fn episode_rows<'a>(episodes: impl Iterator<Item = &'a Episode>) -> Result<RecordBatch, ArrowError> {
    let episodes: Vec<&Episode> = episodes.collect();
    let all = || episodes.iter();
    let notifications: Vec<Option<String>> = all().map(|of| of.notification()).collect();
    let silenced: ArrayRef = Arc::new(BooleanArray::from_iter(all().map(|of| Some(of.hush == Some(Hush::Silence)))));
    RecordBatch::try_new(
        episode_schema(),
        vec![
            texts(all().map(|of| of.last.alert.as_str())),
            texts(all().map(|of| of.last.key.as_str())),
            texts(all().map(|of| of.state())),
            times(all().map(|of| Some(of.last.since_ms))),
            times(all().map(|of| of.fired_ms)),
            times(all().map(|of| of.resolved_ms)),
            texts(all().map(|of| of.last.severity.as_str())),
            numbers(all().map(|of| of.last.rows)),
            silenced,
            maybe_texts(notifications.iter().map(Option::as_deref)),
            texts(all().map(|of| of.last.content.as_str())),
            numbers(all().map(|of| of.last.episode)),
        ],
    )
}
