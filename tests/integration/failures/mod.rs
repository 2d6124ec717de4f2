//! What callers see when something behind the door fails: an answer that says so or a stream that breaks off, soon, and
//! never a clean end that is none; and what is sent is never sent again.

mod agents;
mod api_server;
mod network;
mod principals;
mod processes;

const POD: &str = "/api/v1/namespaces/a/pods/b";

const WATCH: &str = "/api/v1/pods?watch=true&fault=silent";
