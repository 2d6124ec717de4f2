//! Waits for what may never come.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Resolves when there is something new, and not before that time.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn changed<T>(changes: &mut watch::Receiver<T>, not_before: Instant) {
    sleep_until(not_before).await;
    if changes.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Resolves at that time, if there is one.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
