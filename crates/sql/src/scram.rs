//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, from what is kept of a secret.

use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use vitral_access::ScramVerifier;

/// What clients choose from.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
const NONCE_BYTES: usize = 18;

/// Why a client is not let in; it hears no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("the client's message is not one of SCRAM-SHA-256")]
    Malformed,
    #[error("the client wants its name to be another one")]
    OtherName,
    #[error("the client wants its connection to be bound to its certificate, which was not offered")]
    Binding,
    #[error("the password is wrong")]
    WrongProof,
    #[error("the system gives no random numbers")]
    Random,
}

/// The first half of an exchange: what the client's second message has to fit.
pub(crate) struct Exchange {
    verifier: ScramVerifier,
    /// What the client's first message began with.
    header: String,
    client_first: String,
    server_first: String,
    nonce: String,
}

impl Exchange {
    /// Answers the client's first message.
    pub(crate) fn begin(message: &[u8], verifier: ScramVerifier) -> Result<(Self, String), ScramError> {
        let mut random = [0; NONCE_BYTES];
        rand::fill(&mut random).map_err(|_| ScramError::Random)?;
        Self::begin_with(message, verifier, &BASE64_STANDARD.encode(random))
    }

    fn begin_with(message: &[u8], verifier: ScramVerifier, nonce: &str) -> Result<(Self, String), ScramError> {
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (binding, rest) = text.split_once(',').ok_or(ScramError::Malformed)?;
        let (name, client_first) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        match binding {
            // `y`: it could be bound, and knows that this was not offered.
            "n" | "y" => {}
            _ => return Err(ScramError::Binding),
        }
        if !name.is_empty() {
            return Err(ScramError::OtherName);
        }
        // The name in it is not used: the connection has one already.
        let client_nonce = attribute(client_first, "r=").filter(|nonce| !nonce.is_empty());
        let nonce = format!("{}{nonce}", client_nonce.ok_or(ScramError::Malformed)?);
        let salt = BASE64_STANDARD.encode(&verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let exchange = Self {
            verifier,
            header: format!("{binding},{name},"),
            client_first: client_first.to_owned(),
            server_first: server_first.clone(),
            nonce,
        };
        Ok((exchange, server_first))
    }

    /// Checks the client's second message. What is given back proves the server to the client.
    pub(crate) fn finish(self, message: &[u8]) -> Result<String, ScramError> {
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let proof = BASE64_STANDARD.decode(proof).map_err(|_| ScramError::Malformed)?;
        let binding = attribute(without_proof, "c=").ok_or(ScramError::Malformed)?;
        if binding != BASE64_STANDARD.encode(&self.header) {
            return Err(ScramError::Binding);
        }
        if attribute(without_proof, "r=") != Some(self.nonce.as_str()) {
            return Err(ScramError::Malformed);
        }
        let said = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let signature = sign(&self.verifier.stored_key, &said);
        if proof.len() != signature.as_ref().len() {
            return Err(ScramError::Malformed);
        }
        let client_key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(proof, byte)| proof ^ byte).collect();
        let found = digest::digest(&digest::SHA256, &client_key);
        constant_time::verify_slices_are_equal(found.as_ref(), &self.verifier.stored_key)
            .map_err(|_| ScramError::WrongProof)?;
        let own = sign(&self.verifier.server_key, &said);
        Ok(format!("v={}", BASE64_STANDARD.encode(own.as_ref())))
    }
}

fn sign(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, whose password is `pencil`.
    fn example() -> (Exchange, String) {
        let key =
            |text: &str| -> [u8; 32] { BASE64_STANDARD.decode(text).expect("base64").try_into().expect("32 bytes") };
        let verifier = ScramVerifier {
            salt: BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64"),
            iterations: 4096,
            stored_key: key("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="),
            server_key: key("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
        };
        let message = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        Exchange::begin_with(message, verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").expect("an exchange")
    }

    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_example_of_the_standard_is_let_in() {
        let (exchange, server_first) = example();
        let wanted = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(server_first, wanted);
        let proof = exchange.finish(FINAL.as_bytes()).expect("let in");
        assert_eq!(proof, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn everything_else_is_not() {
        let refused = |message: &str| example().0.finish(message.as_bytes()).expect_err(message);
        assert_eq!(refused(&FINAL.replace("p=d", "p=e")), ScramError::WrongProof);
        assert_eq!(refused(&FINAL.replace("biws", "eSws")), ScramError::Binding);
        assert_eq!(refused(&FINAL.replace("rOpr", "xOpr")), ScramError::Malformed);
        assert_eq!(refused("c=biws"), ScramError::Malformed);
        let begin = |message: &[u8]| {
            let verifier = ScramVerifier { salt: vec![1], iterations: 4096, stored_key: [0; 32], server_key: [0; 32] };
            Exchange::begin(message, verifier).map(|_| ()).expect_err("refused")
        };
        assert_eq!(begin(b"p=tls-server-end-point,,n=u,r=x"), ScramError::Binding);
        assert_eq!(begin(b"n,a=root,n=u,r=x"), ScramError::OtherName);
        assert_eq!(begin(b"n,,n=u,r="), ScramError::Malformed);
    }
}
