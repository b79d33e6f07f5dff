//! Who is on the other end: sign-in by SCRAM-SHA-256, and what a client hears before its first
//! statement.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{ClientInfo, METADATA_USER, PgWireConnectionState, PidSecretKeyGenerator};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::startup::{Authentication, PasswordMessageFamily};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::{Sink, SinkExt};
use tokio::sync::Mutex;
use vitral_access::{DENIAL, Denied, Seen};
use vitral_query::Principal;

use crate::doing::Peer;
use crate::error::{code, fatal, too_many_failures};
use crate::scram::{Exchange, MECHANISM, ScramError};
use crate::server::Server;
use crate::session::Session;
use crate::settings::Settings;

/// The beginning of one connection.
pub(crate) struct Startup {
    server: Arc<Server>,
    /// Once the client has begun to sign in.
    exchange: Mutex<Option<Exchange>>,
}

impl Startup {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, exchange: Mutex::default() }
    }

    /// Goes on with a sign-in. Who signs in once it is over, and what the client hears then.
    async fn sign_in<C: ClientInfo>(
        &self,
        client: &C,
        message: PasswordMessageFamily,
    ) -> Result<(Authentication, Option<Principal>), PgWireError> {
        let user = user_of(client)?;
        self.check_failures(client)?;
        let mut exchange = self.exchange.lock().await;
        let Some(begun) = exchange.take() else {
            let first = message.into_sasl_initial_response()?;
            if first.auth_method != MECHANISM {
                return Err(self.denied(client, &user, &format!("{} was asked for", first.auth_method)));
            }
            let verifier = self.server.access.scram(&user).await;
            let data = first.data.unwrap_or_default();
            let (begun, answer) = Exchange::begin(&data, verifier).map_err(|error| self.wrong(client, &user, error))?;
            *exchange = Some(begun);
            return Ok((Authentication::SASLContinue(answer.into()), None));
        };
        let last = message.into_sasl_response()?;
        let answer = begun.finish(&last.data).map_err(|error| self.wrong(client, &user, error))?;
        let principal = self.server.access.principal_of_key(&user).await;
        let principal = principal.map_err(|error| match error {
            Denied::Unavailable(reason) => {
                tracing::error!(user, reason, "access cannot be checked");
                fatal(code::NOT_YET, "who may sign in cannot be checked now", "try again later")
            }
            other => self.denied(client, &user, &other.to_string()),
        })?;
        Ok((Authentication::SASLFinal(answer.into()), Some(principal)))
    }

    /// Secrets must not be tried at will.
    fn check_failures<C: ClientInfo>(&self, client: &C) -> Result<(), PgWireError> {
        let wait = self.server.access.failures().wait(Some(client.socket_addr().ip()), Instant::now());
        wait.map_or(Ok(()), |wait| Err(too_many_failures(wait)))
    }

    fn wrong<C: ClientInfo>(&self, client: &C, user: &str, error: ScramError) -> PgWireError {
        if error == ScramError::WrongProof {
            self.server.access.failures().add(Some(client.socket_addr().ip()), Instant::now());
        }
        self.denied(client, user, &error.to_string())
    }

    /// The same whatever was wrong: the log alone says what.
    fn denied<C: ClientInfo>(&self, client: &C, user: &str, reason: &str) -> PgWireError {
        let peer = client.socket_addr();
        tracing::warn!(user, %peer, reason, "a SQL client is not let in");
        self.server.trail.add(Seen {
            principal: format!("sql:{}", peer.ip()),
            action: DENIAL,
            target: format!("SQL {user}"),
            result: "invalid_credentials".to_owned(),
            correlation_id: format!("sql:{peer}"),
        });
        let message = format!("password authentication failed for user \"{user}\"");
        let remedy = "user and password are the id and the secret of a key: `vitral keys create`";
        fatal(code::WRONG_PASSWORD, message, remedy)
    }

    /// Lets somebody in.
    async fn let_in<C>(&self, client: &mut C, principal: Principal) -> Result<(), PgWireError>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let place = Arc::clone(&self.server.connections).try_acquire_owned().map_err(|_| {
            let peer = client.socket_addr();
            tracing::warn!(%peer, "a SQL client is refused: sql.connections are open already");
            fatal(code::CONNECTIONS, "sorry, too many clients already", "close some, or raise sql.connections")
        })?;
        let (pid, secret) = self.server.pids.generate(client);
        client.set_pid_and_secret_key(pid, secret.clone());
        let (cancel, registered) = self.server.cancels.register(pid, secret);
        let mut settings = Settings::new(principal.id(), self.server.config.statement_timeout);
        for (name, value) in client.metadata() {
            settings.begin(name, value);
        }
        for (name, value) in client.metadata().get("options").map(|text| options(text)).unwrap_or_default() {
            settings.begin(&name, &value);
        }
        let reported = Reported(settings.reported());
        let peer = Peer::new(pid, client.socket_addr());
        client.session_extensions().insert(Session::new(principal, peer, settings, cancel, (registered, place)));
        self.server.activity.add(&Session::of(client)?);
        finish_authentication(client, &reported).await
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> Result<(), PgWireError>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                user_of(client)?;
                if client.metadata().get("replication").is_some_and(|value| !is_off(value)) {
                    return Err(fatal(code::NOT_SUPPORTED, "there is no replication", "connect without it"));
                }
                if self.server.access.is_on() {
                    self.check_failures(client)?;
                    client.set_state(PgWireConnectionState::AuthenticationInProgress);
                    let mechanisms = vec![MECHANISM.to_owned()];
                    client.send(PgWireBackendMessage::Authentication(Authentication::SASL(mechanisms))).await?;
                    return Ok(());
                }
                let peer = client.socket_addr().ip();
                if !peer.to_canonical().is_loopback() {
                    let remedy = "turn access control on: without it, only this machine is let in";
                    return Err(fatal(code::NOT_ALLOWED, format!("{peer} is not let in"), remedy));
                }
                self.let_in(client, Principal::anonymous()).await
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let (answer, principal) = self.sign_in(client, message).await?;
                client.send(PgWireBackendMessage::Authentication(answer)).await?;
                match principal {
                    Some(principal) => self.let_in(client, principal).await,
                    None => Ok(()),
                }
            }
            _ => Err(fatal(code::PROTOCOL, "this message was not expected before signing in", "")),
        }
    }
}

fn user_of<C: ClientInfo>(client: &C) -> Result<String, PgWireError> {
    let user = client.metadata().get(METADATA_USER).filter(|user| !user.is_empty());
    user.cloned().ok_or_else(|| fatal(code::NOT_ALLOWED, "no user name was given", "name the id of a key as user"))
}

fn is_off(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "false" | "off" | "no" | "0")
}

/// `-c name=value --name=value`, as clients send settings of the command line.
fn options(text: &str) -> Vec<(String, String)> {
    let words = text.split_whitespace().map(|word| word.strip_prefix("-c").or(word.strip_prefix("--")).unwrap_or(word));
    words.filter_map(|word| word.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What clients hear of settings.
struct Reported(std::collections::BTreeMap<&'static str, String>);

impl ServerParameterProvider for Reported {
    fn server_parameters<C: ClientInfo>(&self, _client: &C) -> Option<HashMap<String, String>> {
        Some(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_command_line_are_read_in_both_forms() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let found = options("-c statement_timeout=5s -cwork_mem=1GB --geqo=off");
        assert_eq!(found, [pair("statement_timeout", "5s"), pair("work_mem", "1GB"), pair("geqo", "off")]);
    }
}
