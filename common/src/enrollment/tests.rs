use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;

use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    AgentName,
    grpc::{Address, http2},
};

fn token() -> JoinToken {
    JoinToken {
        principal: Address::parse("principal.example:8443").unwrap(),
        agent: AgentName::parse("edge").unwrap(),
        id: TokenId::random(),
        secret: TokenSecret::random(),
        pin: Pin::of(&[CertificateDer::from(vec![1, 2, 3])]),
        end: 1_900_000_000,
    }
}

#[test]
fn a_token_is_one_word_that_is_read_again() {
    for principal in ["principal.example:8443", "10.0.0.1:443", "[::1]:8443"] {
        let token = JoinToken { principal: Address::parse(principal).unwrap(), ..token() };
        let text = token.reveal();
        assert!(text.starts_with("argocd-agent-join.1.") && text.len() < 512, "{text}");
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{text}");
        assert_eq!(JoinToken::parse(&text), Ok(token.clone()));
        assert_eq!(JoinToken::parse(&format!(" {text}\r\n")), Ok(token));
    }
}

#[test]
fn what_was_cut_or_changed_is_no_token() {
    let text = token().reveal();
    for length in 20..text.len() {
        assert_eq!(
            JoinToken::parse(text.get(..length).unwrap()),
            Err(InvalidToken::Broken),
            "{length} of {}",
            text.len()
        );
    }
    for at in 20..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(JoinToken::parse(&changed), Err(InvalidToken::Broken), "{at}");
    }
    assert_eq!(JoinToken::parse(&format!("{text}A")), Err(InvalidToken::Broken));
    assert_eq!(
        JoinToken::parse(&format!("argocd-agent-join.1.{}.AAAA", "A".repeat(1 << 20))),
        Err(InvalidToken::Broken)
    );
    assert_eq!(JoinToken::parse(&text.replace(".1.", ".2.")), Err(InvalidToken::Version));
    for other in ["", "eyJhbGciOiJSUzUxMiJ9", "argocd-agent"] {
        assert_eq!(JoinToken::parse(other), Err(InvalidToken::Other), "{other:?}");
    }
}

#[test]
fn neither_a_token_nor_its_record_shows_the_secret() {
    let token = token();
    let secret = URL_SAFE_NO_PAD.encode(token.secret.reveal());
    let record = JoinRecord::new(token.agent.clone(), &token.secret, token.end);
    let kept = serde_json::to_string(&record.to_secret(&token.id)).unwrap();
    for shown in [format!("{token:?}"), format!("{record:?}"), kept] {
        assert!(!shown.contains(&secret) && !shown.contains(&format!("{:?}", token.secret.reveal())), "{shown}");
    }
}

#[test]
fn a_record_is_read_as_it_was_written_and_nothing_else_is_one() {
    let token = token();
    let record = JoinRecord::new(token.agent.clone(), &token.secret, token.end);
    let kept = record.to_secret(&token.id);
    assert_eq!(kept.metadata.name, Some(format!("argocd-agent-join-{}", token.id)));
    assert_eq!(JoinRecord::from_secret(&kept), Ok(record.clone()));
    assert!(token.secret.is(&record.hash) && !TokenSecret::random().is(&record.hash));
    for (key, text) in [("agent", "Edge"), ("secret-sha256", "zz"), ("secret-sha256", "ä"), ("expires", "soon")] {
        let mut other = kept.clone();
        other.data.as_mut().unwrap().insert(key.into(), k8s_openapi::ByteString(text.as_bytes().to_vec()));
        let error = JoinRecord::from_secret(&other).unwrap_err().to_string();
        assert_eq!(error, format!("it is no join token's Secret: {key} is missing or wrong"));
    }
    let unlabelled = k8s_openapi::api::core::v1::Secret { metadata: Default::default(), ..kept };
    assert!(JoinRecord::from_secret(&unlabelled).is_err());
}

#[test]
fn ids_are_what_may_stand_in_a_name() {
    assert!(TokenId::parse("0123456789abcdef").is_some());
    for bad in ["", "0123456789abcde", "0123456789abcdeF", "../456789abcdef0", "0123456789abcdef0", "0123456789abcdeä"]
    {
        assert!(TokenId::parse(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn a_pin_is_of_all_certificates_in_their_order() {
    let [one, other] = [1, 2].map(|byte| CertificateDer::from(vec![byte; 4]));
    let joined = CertificateDer::from([one.as_ref(), other.as_ref()].concat());
    let pins = [
        Pin::of(&[one.clone(), other.clone()]),
        Pin::of(&[other.clone(), one.clone()]),
        Pin::of(std::slice::from_ref(&one)),
        Pin::of(&[joined]),
        Pin::of(&[]),
    ];
    for (index, pin) in pins.iter().enumerate() {
        assert!(pins[..index].iter().all(|before| before != pin), "{index}");
    }
}

#[test]
fn addresses_are_read_with_and_without_brackets() {
    let host = |text| Address::parse(text).map(|address| address.host().to_owned());
    assert_eq!(host("[::1]:1").as_deref(), Some("::1"));
    assert_eq!(host("a.b:1").as_deref(), Some("a.b"));
    for bad in ["", "a", "a:", "a:0", "a:65536", "::1:1", "a b:1", ":1"] {
        assert_eq!(host(bad), None, "{bad:?}");
    }
}

/// As a principal does that enrolls nobody: what it has against the connection it says after the agent's last word of TLS.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_as_the_call_begins_ends_the_call() {
    let agent = AgentName::parse("edge").unwrap();
    // Whether the call or the connection is looked at first is a matter of chance.
    for round in 0..64 {
        let (near, far) = tokio::io::duplex(1 << 10);
        let connection = http2(near, 1 << 20).await.unwrap();
        drop(far);
        sleep(std::time::Duration::from_millis(1)).await;
        let began = Instant::now();
        let error = renew(connection, &agent).await.unwrap_err();
        assert!(matches!(error, EnrollError::Broken(_)), "{error}");
        assert_eq!(began.elapsed(), std::time::Duration::ZERO, "{round}");
    }
}
