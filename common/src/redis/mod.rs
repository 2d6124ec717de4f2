//! Reaching a Redis: where it is, who we are to it, and the connection.
//!
//! Both ends of the tunnel have one: the principal's door relays to the principal's, the agent's executor asks the
//! agent's. What is said on the connection is in [`crate::resp`]. It speaks RESP2, as every connection does before
//! somebody says otherwise.

mod compression;
mod connection;
mod credentials;
mod endpoint;
mod login;

pub use compression::Compression;
pub use connection::Stream;
pub use credentials::{Credentials, CredentialsError, Login};
pub use endpoint::{ConnectError, Endpoint, EndpointError};
pub use login::{LoginError, login, select};
