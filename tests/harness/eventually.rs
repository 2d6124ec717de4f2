//! Waits for conditions, never for time.

use std::time::Duration;

/// Asks again and again until `condition` gives a value.
///
/// # Panics
/// When that takes longer than a minute: `what` then says what never came.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let ask = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(LONG, ask).await.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// A deadline that only a hang reaches.
///
/// # Panics
/// When it is reached.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("within 60 s")
}

const LONG: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(20);
