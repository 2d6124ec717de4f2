//! Who is attached, for operators: what `argocd-agentctl agent list` asks for.
//!
//! Always true: a page is bounded, however many agents there are, and no secret is on it.

use std::sync::Arc;

use bytes::Bytes;
use common::{
    AgentName, build_info,
    roster::{AFTER, Entry, PAGE, Roster},
};
use percent_encoding::percent_decode_str;

use super::{
    Registry,
    registry::{Seen, Standing},
};

/// The page that `query` asks for, as JSON.
#[must_use]
pub fn page(registry: &Arc<Registry>, query: &str) -> Bytes {
    let after = query.split('&').find_map(|part| part.strip_prefix(AFTER)?.strip_prefix('='));
    let after = after.map(|after| percent_decode_str(after).decode_utf8_lossy().into_owned());
    let mut seen = registry.seen(after.as_deref().unwrap_or_default(), PAGE + 1);
    let more = seen.len() > PAGE;
    seen.truncate(PAGE);
    let next = seen.last().filter(|_| more).map(|(name, _)| name.to_string());
    let agents = seen.iter().map(|(name, seen)| entry(name, seen)).collect();
    let roster = Roster { version: build_info::VERSION.to_owned(), agents, next };
    serde_json::to_vec(&roster).expect("texts and numbers can be written").into()
}

fn entry(name: &AgentName, Seen { standing, about }: &Seen) -> Entry {
    let (connected, since, round_trip) = match standing {
        Standing::Attached { since, round_trip } => (true, since, *round_trip),
        Standing::Gone { since } => (false, since, None),
    };
    Entry {
        name: name.to_string(),
        connected,
        since: since.to_string(),
        version: about.build.clone(),
        mode: about.mode.clone(),
        namespace: about.namespace.clone(),
        round_trip_micros: round_trip.and_then(|time| u64::try_from(time.as_micros()).ok()),
    }
}

#[cfg(test)]
mod tests {
    use common::tunnel::flow::Windows;

    use super::*;
    use crate::agents::{Directory, metrics::TunnelMetrics, registry::Limits, session::About};

    fn read(registry: &Arc<Registry>, query: &str) -> Roster {
        serde_json::from_slice(&page(registry, query)).unwrap()
    }

    #[test]
    fn ten_thousand_agents_are_told_by_the_page_and_each_once() {
        let metrics = TunnelMetrics::register(&mut prometheus_client::registry::Registry::default());
        let limits = Limits { per_agent: 8, all: 8 };
        let registry = Arc::new(Registry::new(Arc::new(Directory::new(None)), limits, metrics));
        let about = About { build: "1".into(), mode: "managed".into(), namespace: "argocd".into(), instance: None };
        let name = |number: usize| AgentName::parse(&format!("agent-{number:05}")).unwrap();
        for number in 0..10_000 {
            let (session, _events) =
                registry.attach(&name(number), about.clone(), Windows { own: 65_535, peers: None });
            if number % 2 == 0 {
                registry.detach(&session);
            }
        }
        let (mut names, mut query) = (Vec::new(), String::new());
        loop {
            let roster = read(&registry, &query);
            assert!(roster.agents.len() <= PAGE && page(&registry, &query).len() < 1 << 18);
            names.extend(roster.agents.iter().map(|agent| (agent.name.clone(), agent.connected)));
            let Some(next) = roster.next else { break };
            query = format!("{AFTER}={next}");
        }
        let expected: Vec<_> = (0..10_000).map(|number| (name(number).to_string(), number % 2 == 1)).collect();
        assert_eq!(names, expected);
        // What makes no sense is no reason to tell nothing.
        assert_eq!(read(&registry, "after=zzz").agents, []);
        assert_eq!(read(&registry, "x&after=%ff%00").version, build_info::VERSION);
    }
}
