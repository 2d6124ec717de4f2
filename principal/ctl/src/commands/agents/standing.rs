//! How it stands with an agent, as its principals say.

use serde::Serialize;

use crate::kube::Attached;

/// The facts, none of which is known where no principal could be asked.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    state: State,
    version: Option<String>,
    mode: Option<String>,
    round_trip_millis: Option<f64>,
    since: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Connected,
    Disconnected,
    /// Not since the principal started.
    Never,
    #[default]
    Unknown,
}

// === impl Standing ===

impl Standing {
    pub(super) fn of(agent: &str, attached: Option<&Attached>) -> Self {
        let Some(attached) = attached else { return Self::default() };
        // A principal that could not be asked may have it.
        let sure = attached.trouble.is_none();
        let Some(entry) = attached.of(agent) else {
            return Self { state: if sure { State::Never } else { State::Unknown }, ..Self::default() };
        };
        let state = match entry.connected {
            true => State::Connected,
            false if sure => State::Disconnected,
            false => State::Unknown,
        };
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            state,
            version: text(&entry.version),
            mode: text(&entry.mode),
            round_trip_millis: entry.round_trip_micros.map(|micros| micros as f64 / 1000.0),
            since: text(&entry.since),
        }
    }

    /// Of a table: STATE, VERSION, MODE, RTT, SINCE.
    pub(super) fn cells(&self) -> [String; 5] {
        let state = match self.state {
            State::Connected => "connected",
            State::Disconnected => "disconnected",
            State::Never => "never",
            State::Unknown => "unknown",
        };
        let or_dash = |text: Option<&String>| text.map_or_else(|| "-".to_owned(), |text| printable(text));
        let round_trip = self.round_trip_millis.map(|millis| format!("{millis:.1}ms"));
        // To the second: the rest is in -o json.
        let since = self.since.as_ref().map(|since| match since.split_once('.') {
            Some((seconds, _)) => format!("{seconds}Z"),
            None => since.clone(),
        });
        [
            state.to_owned(),
            or_dash(self.version.as_ref()),
            or_dash(self.mode.as_ref()),
            or_dash(round_trip.as_ref()),
            or_dash(since.as_ref()),
        ]
    }
}

/// Texts of an agent's own: nothing that a terminal would obey, and no further column.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() || char.is_whitespace() { '?' } else { char }).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_says_of_itself_cannot_talk_to_the_terminal() {
        let standing = Standing {
            state: State::Connected,
            version: Some("\u{1b}[2J 1.0\n".into()),
            mode: None,
            round_trip_millis: Some(1.26),
            since: Some("2026-11-21T10:00:00.123456Z".into()),
        };
        assert_eq!(standing.cells(), ["connected", "?[2J?1.0?", "-", "1.3ms", "2026-11-21T10:00:00Z"]);
        assert_eq!(Standing::default().cells(), ["unknown", "-", "-", "-", "-"]);
    }
}
