//! How an agent gets its certificate, as both sides and the operator's tool must agree on it: the text of a join token, what
//! the control plane keeps of one, and the exchange itself.
//!
//! Always true: a private key stays where it was made; the secret of a token is said only to a principal whose authorities
//! are those that the token pins, and the control plane keeps nothing but its hash.

mod exchange;
mod pin;
mod record;
#[cfg(test)]
mod tests;
mod token;

pub use exchange::{Discovered, EnrollError, Enrolled, discover, renew};
pub use pin::Pin;
pub use record::{JoinRecord, NoRecord, TOKEN_LABEL};
pub use token::{InvalidToken, JoinToken, TokenId, TokenSecret};

/// Put on the Secret of a certificate that was got by joining: the agent renews such a one by itself, and leaves what others
/// manage alone.
pub const ENROLLED: &str = "argocd-agent.argoproj-labs.io/enrolled";

/// The longest certificate signing request that is taken; one of a key of 4096 bits has 1.6 KiB.
pub const LONGEST_REQUEST: usize = 8 << 10;
