//! What a watch shows, in whatever encoding it comes.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::{
    client::{Connection, Endpoint, Protocol, Stream, get_as},
    shown::Object,
    wire::{self, Message},
};

/// A watch that is open. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    stream: Stream,
    encoding: Encoding,
    _connection: Connection,
}

/// One event of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub kind: String,
    /// What it is about.
    pub object: Object,
    /// The columns of a table, where it has any.
    pub columns: Value,
    /// The code of the Status in an error.
    pub code: Option<u64>,
    /// Its message.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Json,
    Protobuf,
}

// === impl Watch ===

impl Watch {
    /// Begins a watch for JSON.
    pub async fn json(endpoint: &Endpoint, path: &str) -> Self {
        Self::open(endpoint, path, "application/json").await
    }

    /// Begins a watch.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(endpoint: &Endpoint, path: &str, accept: &str) -> Self {
        let connection = endpoint.connect(Protocol::Http2).await;
        Self::on(connection, path, accept).await
    }

    /// Begins a watch on a connection.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn on(mut connection: Connection, path: &str, accept: &str) -> Self {
        let stream = connection.stream_of(get_as(path, accept)).await;
        let content_type = stream.headers[CONTENT_TYPE].to_str().expect("a media type");
        let encoding = if content_type.starts_with("application/vnd.kubernetes.protobuf") {
            Encoding::Protobuf
        } else {
            assert!(content_type.starts_with("application/json"), "{content_type}");
            Encoding::Json
        };
        Self { stream, encoding, _connection: connection }
    }

    /// The next event, or none at its end.
    ///
    /// # Panics
    /// When it breaks off, or nothing comes.
    pub async fn next(&mut self) -> Option<Event> {
        match self.encoding {
            Encoding::Json => self.stream.event().await.as_ref().map(Event::of_json),
            Encoding::Protobuf => {
                let length = self.stream.exactly(4).await?;
                let length = u32::from_be_bytes(length[..].try_into().expect("four bytes"));
                let frame = self.stream.exactly(usize::try_from(length).expect("a length")).await;
                Some(Event::of_protobuf(frame.expect("a frame behind its length")))
            }
        }
    }

    /// The next event that is no bookmark; it must be there.
    ///
    /// # Panics
    /// When the watch ends instead.
    pub async fn change(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("the watch goes on");
            if event.kind != "BOOKMARK" {
                return event;
            }
        }
    }

    /// The next event that is no bookmark must be this.
    ///
    /// # Panics
    /// When it is another.
    pub async fn expect(&mut self, kind: &str, name: &str) -> Event {
        let event = self.change().await;
        assert_eq!((event.kind.as_str(), event.object.name.as_str()), (kind, name), "{event:?}");
        event
    }

    /// The next events that are no bookmarks must be these, in any order.
    ///
    /// # Panics
    /// When they are others.
    pub async fn expect_all(&mut self, kind: &str, names: &[&str]) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in names {
            events.push(self.change().await);
        }
        let mut found: Vec<_> = events.iter().map(|event| (&event.kind[..], &event.object.name[..])).collect();
        let mut expected: Vec<_> = names.iter().map(|name| (kind, *name)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        events
    }

    /// The events until it ends by itself.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Everything up to the bookmark behind its first events, and that bookmark.
    ///
    /// # Panics
    /// When another bookmark comes before, or it ends.
    pub async fn initial(&mut self) -> (Vec<Event>, Event) {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.expect("the watch goes on");
            if event.kind == "BOOKMARK" {
                assert!(event.object.ends_initial_events, "{event:?}");
                return (events, event);
            }
            events.push(event);
        }
    }
}

// === impl Event ===

impl Event {
    /// In JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn of_json(event: &Value) -> Self {
        let kind = event["type"].as_str().unwrap_or_else(|| panic!("no type: {event}")).to_owned();
        let object = &event["object"];
        let about = match object["rows"].as_array() {
            Some(rows) => {
                assert_eq!(rows.len(), 1, "a table in an event has one row");
                Object::of_row(&rows[0])
            }
            None => Object::of_json(object),
        };
        Self {
            kind,
            object: about,
            columns: object["columnDefinitions"].clone(),
            code: object["code"].as_u64(),
            message: object["message"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// In protobuf: `WatchEvent` has no envelope, the object in it has (`watch.VersionedEncoder`).
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn of_protobuf(frame: Bytes) -> Self {
        let event = Message::read(frame);
        let envelope = event.message(2).all(1).next().expect("an object");
        let (kind_of_object, message) = wire::open(envelope.clone());
        let object = Message::read(envelope.slice(4..)).all(2).next().unwrap_or_default();
        let is_status = kind_of_object == "Status";
        Self {
            kind: event.text(1),
            object: if is_status { Object::of_json(&Value::Null) } else { Object::of_protobuf(object) },
            columns: Value::Null,
            // metav1.Status: 3 is its message, 6 its code.
            code: is_status.then(|| message.number(6)).flatten(),
            message: if is_status { message.text(3) } else { String::new() },
        }
    }

    /// Its kind, and the name of what it is about.
    #[must_use]
    pub fn brief(&self) -> (&str, &str) {
        (&self.kind, &self.object.name)
    }
}
