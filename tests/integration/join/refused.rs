//! Tokens that are not good, and who else does not get a certificate.

use common::{
    AgentName,
    config::TlsVersions,
    enrollment::{EnrollError, Pin, TokenId, TokenSecret, discover},
    grpc::Grpc,
    pki::now,
    proto::enrollment::{JoinRequest, RenewRequest, enrollment_client::EnrollmentClient},
    proxy::Proxies,
};
use futures_util::future::join_all;
use tonic::Code;

use super::*;

const UNKNOWN: &str = "the principal says no: the join token is not known, was used, or is over: make a new one with \
                       `argocd-agentctl agent join-token`";

async fn token(rig: &Rig) -> JoinToken {
    JoinToken::parse(&rig.token().await).unwrap()
}

fn not_joined(rig: &Rig, agent: &str, why: &str) -> String {
    format!("cannot join as agent {agent} at {}: {why}", rig.principal.grpc)
}

#[tokio::test]
async fn a_token_is_good_once() {
    let rig = Rig::start(&[]).await;
    let token = rig.token().await;
    let said = rig.join(&token).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let key = rig.agents_key().await;
    // Without --upsert it is not even told.
    let line = rig.not_joined(&token).await;
    let path = format!("{}/{CLIENT}", rig.operator.agent);
    assert_eq!(
        line,
        format!("Certificate exists in secret {path}, please use --upsert to replace it: the token was not used.")
    );
    let line = rig.operator.told("agent join --upsert", &token).await.refusal("agent join", 1);
    assert_eq!(line, not_joined(&rig, AGENT, UNKNOWN));
    assert_eq!(rig.agents_key().await, key);
    // With another one it is replaced.
    let said = rig.operator.told("agent join --upsert", &rig.token().await).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_ne!(rig.agents_key().await, key);
}

#[tokio::test]
async fn of_many_who_show_a_token_at_once_one_gets_a_certificate() {
    let rig = Rig::start(&[]).await;
    let (token, proxies) = (token(&rig).await, Proxies::default());
    let principal = discover(&token, &proxies, TlsVersions::TLS13).await.unwrap();
    let answers = join_all((0..12).map(|_| principal.join())).await;
    let (got, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(got.len(), 1);
    for error in refused {
        assert!(matches!(error, Err(EnrollError::Refused(status)) if status.code() == Code::Unauthenticated));
    }
    assert_eq!(rig.counted("certificates", "join").await, 1.0);
    assert_eq!(rig.counted("refused", "reason=\"token\"").await, 11.0);
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_refused_and_deleted() {
    let rig = Rig::start(&[]).await;
    let (id, secret) = (TokenId::random(), TokenSecret::random());
    // Its holder believes that there is time.
    let token = JoinToken { id, secret, ..token(&rig).await };
    record(&rig.operator, &token, &JoinRecord::new(token.agent.clone(), &token.secret, now() - 1)).await;
    assert_eq!(rig.tokens().await.len(), 2);
    let line = rig.not_joined(&token.reveal()).await;
    let over = "the principal says no: the join token is over: make a new one with `argocd-agentctl agent join-token`";
    assert_eq!(line, not_joined(&rig, AGENT, over));
    assert_eq!(rig.tokens().await.len(), 1);
    assert_eq!(rig.counted("refused", "reason=\"expired\"").await, 1.0);
    // One that nobody shows goes when the next is made.
    record(&rig.operator, &token, &JoinRecord::new(token.agent.clone(), &token.secret, now() - 1)).await;
    let _another = rig.token().await;
    let name = format!("secret/{}", token.id.secret_name());
    assert_eq!((rig.tokens().await.len(), rig.tokens().await.contains(&name)), (2, false));
}

#[tokio::test]
async fn a_token_is_for_its_name_and_its_secret_and_what_fails_leaves_it_good() {
    let rig = Rig::start(&[]).await;
    let good = token(&rig).await;
    let other = JoinToken { agent: AgentName::parse("other").unwrap(), ..good.clone() };
    let line = rig.not_joined(&other.reveal()).await;
    let expected = "the principal says no: the join token is another agent's";
    assert_eq!(line, not_joined(&rig, "other", expected));
    let guessed = JoinToken { secret: TokenSecret::random(), ..good.clone() };
    assert_eq!(rig.not_joined(&guessed.reveal()).await, not_joined(&rig, AGENT, UNKNOWN));
    let unknown = JoinToken { id: TokenId::random(), ..good.clone() };
    assert_eq!(rig.not_joined(&unknown.reveal()).await, not_joined(&rig, AGENT, UNKNOWN));
    // Even where somebody made one for the principal's own namespace.
    let own =
        JoinToken { agent: AgentName::parse(&rig.operator.principal).unwrap(), id: TokenId::random(), ..good.clone() };
    record(&rig.operator, &own, &JoinRecord::new(own.agent.clone(), &own.secret, own.end)).await;
    assert!(rig.not_joined(&own.reveal()).await.ends_with(expected));
    let line = rig.operator.fails(&format!("agent join-token {} --principal-address=127.0.0.1:1", own.agent), 1).await;
    assert!(line.starts_with("no agent may be called "), "{line}");

    assert_eq!(rig.counted("refused", "reason=\"agent\"").await, 2.0);
    let said = rig.join(&good.reveal()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn nothing_is_told_to_a_principal_that_is_not_the_tokens() {
    let rig = Rig::start(&[]).await;
    let good = token(&rig).await;
    let other = JoinToken { pin: Pin::of(&[]), ..good.clone() };
    let line = rig.not_joined(&other.reveal()).await;
    let expected = format!(
        "whoever answers at {} is not the principal of this token, or its authorities were changed since: nothing was told \
         to it; make a new token",
        rig.principal.grpc
    );
    assert_eq!(line, not_joined(&rig, AGENT, &expected));
    // The right authorities, and a certificate with another name.
    rig.operator.ok(&format!("pki issue principal --upsert --dns=elsewhere.example --ip=10.9.9.9 {FAST}")).await;
    eventually("the principal shows it", async || {
        let reloads = metric(rig.principal.metrics, "argocd_agent_tls_reloads_total", "what=\"grpc\"").await;
        (reloads == 1.0).then_some(())
    })
    .await;
    let line = rig.not_joined(&good.reveal()).await;
    let expected = not_joined(&rig, AGENT, "the principal cannot be reached: TLS handshake with 127.0.0.1 failed: ");
    assert!(line.starts_with(&expected), "{line}");
    assert_eq!(rig.counted("refused", "").await, 0.0);
    assert_eq!(rig.tokens().await.len(), 1);

    let line = rig.operator.fails("agent join-token edge --principal-address=127.0.0.1:8443", 1).await;
    let secret = format!("Secret {}/argocd-agent-principal-tls", rig.operator.principal);
    assert!(
        line.starts_with(&format!(
            "the certificate in {secret} is not for 127.0.0.1, but for elsewhere.example, 10.9.9.9: "
        )),
        "{line}"
    );
}

#[tokio::test]
async fn what_is_no_token_is_told_in_one_line() {
    let rig = Rig::start(&[]).await;
    let token = rig.token().await;
    let cut = token.get(..100).unwrap();
    assert_eq!(
        rig.not_joined(cut).await,
        "cannot use the join token from stdin: it is cut or changed: copy it again, whole"
    );
    assert_eq!(
        rig.not_joined("").await,
        "cannot use the join token from stdin: it is no join token: those begin with `argocd-agent-join.`"
    );
    let line = rig.operator.fails("agent join-token edge --principal-address=127.0.0.1:1 --ttl=25h", 2).await;
    assert_eq!(line, "--ttl: must be 24h at most: make a token when it is needed");
}

#[tokio::test]
async fn requests_that_are_none_leave_the_token_good_and_strangers_renew_nothing() {
    let rig = Rig::start(&[]).await;
    let token = token(&rig).await;
    let mut client = stranger(&rig).await;
    for request in [&b""[..], b"garbage", &[0x30; 8000], &[0; 9000]] {
        let request = JoinRequest {
            token_id: token.id.to_string(),
            token_secret: token.secret.reveal().to_vec().into(),
            agent: token.agent.to_string(),
            request: request.to_vec().into(),
        };
        let status = client.join(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let oversized = JoinRequest { request: vec![0; 20_000].into(), ..JoinRequest::default() };
    assert_eq!(stranger(&rig).await.join(oversized).await.unwrap_err().code(), Code::OutOfRange);
    let status = stranger(&rig).await.renew(RenewRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "authentication failed"));
    assert_eq!(rig.counted("refused", "reason=\"request\"").await, 4.0);
    assert_eq!(rig.counted("refused", "reason=\"unauthenticated\"").await, 1.0);
    let said = rig.join(&token.reveal()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn a_principal_that_enrolls_nobody_says_so() {
    let rig = Rig::start(&[NOBODY]).await;
    let line = rig.not_joined(&rig.token().await).await;
    assert!(line.starts_with(&not_joined(&rig, AGENT, "")) && line.contains("--enable-enrollment"), "{line}");
    assert_eq!(rig.tokens().await.len(), 1);
}

/// A connection without a certificate, whose driver runs as long as the test.
async fn stranger(rig: &Rig) -> EnrollmentClient<Grpc> {
    let ca = data(&rig.operator.principal_object("secret", "argocd-agent-ca").await, "tls.crt");
    let caller = Caller::new(ca, None).alpn(&[b"h2"]);
    let tcp = tokio::net::TcpStream::connect(local(rig.principal.grpc.port())).await.unwrap();
    let tls = harness::raw::handshake(caller.config(), tcp).await.unwrap();
    let (grpc, driver) = common::grpc::http2(tls, 1 << 20).await.unwrap();
    let (signal, watch) = common::drain::channel();
    watch.spawn(tracing::Span::none(), async move {
        let _signal = signal;
        let _ended = driver.await;
    });
    EnrollmentClient::with_origin(grpc, http::Uri::from_static("https://principal"))
}
