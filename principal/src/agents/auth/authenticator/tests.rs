use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, header::AUTHORIZATION};

use super::*;

/// Knows agents by `method`; users have the password `right`.
struct Scene {
    authenticator: Authenticator,
    _signal: drain::Signal,
    _folder: tempfile::TempDir,
}

async fn scene(method: &str, change: impl FnOnce(&mut Terms)) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwd");
    let hash = bcrypt::hash_with_salt("right", 4, [3; 16]).unwrap();
    std::fs::write(&file, format!("agent:{hash}\nother:{hash}\nargocd:{hash}\n")).unwrap();
    let method = AuthMethod::parse(&method.replace("FILE", file.to_str().unwrap())).unwrap();
    let mut terms = Terms {
        principal_namespace: "argocd".into(),
        certificates: ClientCertificates::IfGiven,
        matches_common_name: false,
    };
    change(&mut terms);
    let (signal, drain) = drain::channel();
    let authenticator = Authenticator::start(method, terms, &mut Registry::default(), &drain).await.unwrap();
    Scene { authenticator, _signal: signal, _folder: folder }
}

fn shown(common_name: &str) -> Shown {
    Shown::Certificate(Arc::new(PeerIdentity {
        common_name: Some(common_name.to_owned()),
        subject: format!("CN={common_name}"),
        uri_sans: Vec::new(),
        fingerprint: String::new(),
        not_after: 0,
    }))
}

fn login(name: &str, password: &str) -> HeaderMap {
    let value = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    [(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())].into_iter().collect()
}

impl Scene {
    async fn attach(&self, entrance: &Entrance, headers: &HeaderMap) -> Result<String, Reason> {
        let attached = self.authenticator.attach(entrance, headers).await;
        attached.map(|(agent, _)| agent.to_string()).map_err(|unknown| unknown.reason())
    }

    fn pipe(&self, entrance: &Entrance, headers: &HeaderMap) -> Result<String, Reason> {
        let known = self.authenticator.pipe(entrance, headers);
        known.map(|agent| agent.to_string()).map_err(|unknown| unknown.reason())
    }
}

#[tokio::test]
async fn no_agent_has_the_name_of_the_principals_namespace_or_one_that_is_none_whatever_the_method() {
    let by_certificate = scene("mtls:", |_| {}).await;
    let by_password = scene("userpass:FILE", |_| {}).await;
    let by_header = scene("header:x-agent:(.*)", |_| {}).await;
    let header = |name: &str| HeaderMap::from_iter([("x-agent".parse().unwrap(), name.parse().unwrap())]);
    for name in ["argocd", "Agent", "a.b", "a b", &"x".repeat(64), ""] {
        let entrance = Entrance::new(shown(name));
        assert_eq!(by_certificate.attach(&entrance, &HeaderMap::new()).await, Err(Reason::Name), "{name}");
        let entrance = Entrance::new(Shown::Nothing);
        assert_eq!(by_header.attach(&entrance, &header(name)).await, Err(Reason::Name), "{name}");
    }
    let entrance = Entrance::new(Shown::Nothing);
    assert_eq!(by_password.attach(&entrance, &login("argocd", "right")).await, Err(Reason::Name));
    assert_eq!(by_password.attach(&Entrance::new(Shown::Nothing), &login("Agent", "x")).await, Err(Reason::Login));
}

#[tokio::test]
async fn a_connection_belongs_to_who_attached_by_it_and_its_pipes_need_no_password() {
    let scene = scene("userpass:FILE", |_| {}).await;
    let (mine, another) = (Entrance::new(Shown::Nothing), Entrance::new(Shown::Nothing));
    let nothing = HeaderMap::new();
    assert_eq!(scene.pipe(&mine, &nothing), Err(Reason::NoLogin));
    assert_eq!(scene.attach(&mine, &nothing).await, Err(Reason::NoLogin));
    assert_eq!(scene.attach(&mine, &login("agent", "right")).await.as_deref(), Ok("agent"));
    assert_eq!(scene.pipe(&mine, &nothing).as_deref(), Ok("agent"));
    assert_eq!(scene.attach(&mine, &login("other", "right")).await, Err(Reason::OtherAgent));
    assert_eq!(scene.attach(&mine, &login("agent", "right")).await.as_deref(), Ok("agent"));
    // A login in a Pipe's headers is nothing.
    assert_eq!(scene.pipe(&another, &login("agent", "right")), Err(Reason::NoLogin));
}

#[tokio::test]
async fn a_connection_that_guesses_is_not_listened_to_any_more() {
    let scene = scene("userpass:FILE", |_| {}).await;
    let entrance = Entrance::new(Shown::Nothing);
    for _ in 0..LOGINS {
        assert_eq!(scene.attach(&entrance, &login("agent", "wrong")).await, Err(Reason::Login));
    }
    assert_eq!(scene.attach(&entrance, &login("agent", "right")).await, Err(Reason::Login));
    let checks = scene.authenticator.metrics.password_checks.get();
    assert_eq!(checks, u64::from(LOGINS));
    assert!(scene.attach(&Entrance::new(Shown::Nothing), &login("agent", "right")).await.is_ok());
}

#[tokio::test]
async fn a_certificate_may_be_asked_for_beside_a_password_and_a_revoked_one_keeps_out_by_every_method() {
    let required = scene("userpass:FILE", |terms| terms.certificates = ClientCertificates::Required).await;
    let right = login("agent", "right");
    assert_eq!(required.attach(&Entrance::new(Shown::Nothing), &right).await, Err(Reason::NoCertificate));
    assert_eq!(required.attach(&Entrance::new(shown("whoever")), &right).await.as_deref(), Ok("agent"));
    let matched = scene("userpass:FILE", |terms| terms.matches_common_name = true).await;
    assert_eq!(matched.attach(&Entrance::new(shown("agent")), &right).await.as_deref(), Ok("agent"));
    assert_eq!(matched.attach(&Entrance::new(shown("other")), &right).await, Err(Reason::CommonName));
    assert_eq!(matched.attach(&Entrance::new(Shown::Nothing), &right).await, Err(Reason::CommonName));
    for method in ["userpass:FILE", "mtls:", "header:authorization:(.+)"] {
        let scene = scene(method, |_| {}).await;
        assert_eq!(scene.attach(&Entrance::new(Shown::Revoked), &right).await, Err(Reason::Revoked), "{method}");
    }
}

#[tokio::test]
async fn by_certificate_who_has_none_is_nobody_and_a_password_does_not_help() {
    let scene = scene("mtls:CN=([^,]+)", |_| {}).await;
    let nothing = HeaderMap::new();
    let entrance = Entrance::new(Shown::Nothing);
    assert_eq!(scene.attach(&entrance, &login("agent", "right")).await, Err(Reason::NoCertificate));
    let entrance = Entrance::new(shown("agent"));
    assert_eq!(scene.pipe(&entrance, &nothing).as_deref(), Ok("agent"));
    assert_eq!(scene.attach(&entrance, &nothing).await.as_deref(), Ok("agent"));
}

#[tokio::test]
async fn in_a_mesh_each_call_of_one_connection_may_be_another_agents() {
    let scene = scene("header:x-agent:^(.+)$", |_| {}).await;
    let entrance = Entrance::new(Shown::Nothing);
    for name in ["one", "two", "one"] {
        let headers = HeaderMap::from_iter([("x-agent".parse().unwrap(), name.parse().unwrap())]);
        assert_eq!(scene.attach(&entrance, &headers).await.as_deref(), Ok(name));
        assert_eq!(scene.pipe(&entrance, &headers).as_deref(), Ok(name));
    }
    assert_eq!(scene.pipe(&entrance, &HeaderMap::new()), Err(Reason::Header));
}
