//! How it stands with the agents' clusters, kept in the principal's Redis where Argo CD looks for it: so that
//! `argocd cluster list` and the UI tell the truth.
//!
//! | file | |
//! |---|---|
//! | `book.rs` | what is known of each agent and what is to be done about it, pure |
//! | `watcher.rs` | who is registered, who is attached, and what agents say of their clusters |
//! | `question.rs` | asks one agent |
//! | `figures.rs` | what an agent says, which is not trusted |
//! | `writer.rs` | the one connection on which all is written |
//! | `value.rs` | what is written |
//!
//! Always true:
//! - Nothing that is to be written waits as a value: it is put together when there is room to say it. So a Redis that is
//!   away costs nothing, and finds what is true when it is back.
//! - There are two tasks, however many agents there are, and what they hold of each has a bound.
//! - Nobody owns a key. Whatever Argo CD or another principal writes there lasts until the next time that we do.
//! - A principal that drains says no more: its agents go to another one, or come back to the next.

mod book;
mod desk;
mod figures;
mod metrics;
mod question;
mod value;
mod watcher;
mod writer;

use std::sync::Arc;

use common::{drain, redis::Compression};
use tracing::info_span;

pub(crate) use self::metrics::ClusterInfoMetrics;
use self::{desk::Desk, watcher::Watcher, writer::Writer};
use crate::{agents::Dialer, control_plane::References, redis::OwnRedis};

/// Begins to write, in tasks of the drain's that end when it begins. `clusters` are the cluster Secrets.
pub(crate) fn keep(
    dialer: Arc<dyn Dialer>,
    clusters: Arc<References>,
    redis: OwnRedis,
    compression: Compression,
    metrics: ClusterInfoMetrics,
    drain: &drain::Watch,
) {
    let desk = Arc::new(Desk::default());
    let watcher = Watcher::new(dialer, clusters, Arc::clone(&desk), metrics.clone());
    let writer = Writer::new(redis, compression, desk, metrics);
    let (until, watch) = (drain.clone(), drain.clone());
    drain.spawn(info_span!("cluster_info"), async move {
        tokio::select! {
            () = until.draining() => {}
            () = watcher.run() => {}
        }
    });
    drain.spawn(info_span!("cluster_info"), async move {
        tokio::select! {
            () = watch.draining() => {}
            () = writer.run() => {}
        }
    });
}
