use super::*;

#[test]
fn events_survive_the_wire() {
    let pipe = PipeId::FIRST;
    let hello = Hello {
        versions: 1..=3,
        build: "b".into(),
        mode: "managed".into(),
        namespace: "argocd".into(),
        capabilities: vec!["x".into()],
        targets: vec![Target::Kube],
        cluster_labels: [("region".into(), "eu".into())].into(),
        instance: Some("i".into()),
        window: Some(STREAM_WINDOW_LEAST),
    };
    for event in [
        AgentEvent::Hello(hello),
        AgentEvent::Ping(7),
        AgentEvent::Pong(0),
        AgentEvent::PipeRefused(pipe, RefusedReason::Busy),
        AgentEvent::GoAway(GoAwayReason::Draining),
        AgentEvent::Grant(Some(pipe), 1),
        AgentEvent::Grant(None, 1),
    ] {
        assert_eq!(AgentEvent::try_from(proto::AgentEvent::from(event.clone())), Ok(event));
    }
    let welcome = Welcome {
        version: 1,
        session: SessionId::random(),
        build: "b".into(),
        capabilities: vec![],
        ping_interval: Duration::from_secs(1),
        silence: Duration::from_secs(2),
        window: Some(u32::MAX),
    };
    for event in [
        PrincipalEvent::Welcome(welcome),
        PrincipalEvent::Ping(7),
        PrincipalEvent::Pong(8),
        PrincipalEvent::Open(Open { pipe, target: Some(Target::Kube), early_data: Bytes::from_static(b"GET") }),
        PrincipalEvent::Cancel(pipe),
        PrincipalEvent::GoAway(GoAwayReason::Replaced),
        PrincipalEvent::Grant(Some(pipe), u32::MAX),
        PrincipalEvent::Grant(None, u32::MAX),
    ] {
        assert_eq!(PrincipalEvent::try_from(proto::PrincipalEvent::from(event.clone())), Ok(event));
    }
}

#[test]
fn what_makes_no_sense_is_rejected() {
    assert_eq!(AgentEvent::try_from(proto::AgentEvent::default()), Err(InvalidEvent::Unknown));
    let event = Some(proto::agent_event::Event::PipeRefused(proto::PipeRefused::default()));
    assert_eq!(AgentEvent::try_from(proto::AgentEvent { event }), Err(InvalidEvent::Id(InvalidId)));
    let empty = proto::Hello { min_version: 2, max_version: 1, ..Default::default() };
    assert_eq!(Hello::try_from(empty), Err(InvalidEvent::Versions));
    let long = proto::Hello { min_version: 1, max_version: 1, build: "x".repeat(TEXT + 1), ..Default::default() };
    assert_eq!(Hello::try_from(long), Err(InvalidEvent::Text));
    let label = |key: String| (key, String::new());
    for labels in [vec!["x".repeat(LABEL + 1)], (0..=MOST_LABELS).map(|number| number.to_string()).collect()] {
        let cluster_labels = labels.into_iter().map(label).collect();
        let hello = proto::Hello { min_version: 1, max_version: 1, cluster_labels, ..Default::default() };
        assert_eq!(Hello::try_from(hello), Err(InvalidEvent::Text));
    }
    let older = proto::Hello { min_version: 1, max_version: 1, ..Default::default() };
    assert_eq!(Hello::try_from(older).map(|hello| hello.window), Ok(None));
    let small = proto::Hello { min_version: 1, max_version: 1, pipe_window_bytes: 65_534, ..Default::default() };
    assert_eq!(Hello::try_from(small), Err(InvalidEvent::Limit));
    assert_eq!(Welcome::try_from(proto::Welcome { session_id: 1, ..Default::default() }), Err(InvalidEvent::Limit));
}
