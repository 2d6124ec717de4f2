//! What kube-apiserver 1.36 makes of the same request lines; the rows were compared with its `RequestInfoFactory`.

use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Result<Request, BadPath> {
    let (method, target) = line.split_once(' ').unwrap();
    Request::parse(&method.parse().unwrap(), target)
}

fn resource(line: &str) -> ResourceRequest {
    match parse(line) {
        Ok(Request::Resource(resource)) => resource,
        other => panic!("{line}: {other:?}"),
    }
}

/// `verb group/version namespace resource name subresource`, with a dash for what is absent and a plus for a rest.
fn row(line: &str) -> String {
    let ResourceRequest { verb, group, version, namespace, resource, name, subresource, rest } = resource(line);
    let part = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
    let rest = if rest { " +" } else { "" };
    format!("{verb} {group}/{version} {} {resource} {} {}{rest}", part(namespace), part(name), part(subresource))
}

#[test]
fn resource_paths_are_read_as_the_api_server_reads_them() {
    for (line, expected) in [
        ("GET /api/v1/namespaces/shop/pods/p", "get /v1 shop pods p -"),
        ("HEAD /api/v1/namespaces/shop/pods/p", "get /v1 shop pods p -"),
        ("GET /api/v1/namespaces/shop/pods/", "list /v1 shop pods - -"),
        ("GET /api/v1/pods", "list /v1 - pods - -"),
        ("GET /api/v1/nodes/n", "get /v1 - nodes n -"),
        ("POST /api/v1/namespaces/shop/pods", "create /v1 shop pods - -"),
        ("POST /api/v1/namespaces/shop/pods/p/eviction", "create /v1 shop pods p eviction"),
        ("PUT /apis/apps/v1/namespaces/shop/deployments/web/scale", "update apps/v1 shop deployments web scale"),
        ("PATCH /apis/apps/v1/namespaces/shop/deployments/web", "patch apps/v1 shop deployments web -"),
        ("DELETE /apis/apps/v1/namespaces/shop/deployments/web", "delete apps/v1 shop deployments web -"),
        ("DELETE /apis/apps/v1/namespaces/shop/deployments", "deletecollection apps/v1 shop deployments - -"),
        ("GET /apis/apps/v1/deployments", "list apps/v1 - deployments - -"),
        ("GET /api/v1/namespaces/shop/pods/p/log?follow=true", "get /v1 shop pods p log"),
        ("GET /api/v1/namespaces/shop/pods/p?watch=true", "get /v1 shop pods p -"),
        ("OPTIONS /api/v1/namespaces/shop/pods/p/proxy", "other /v1 shop pods p proxy"),
        ("get /api/v1/pods", "other /v1 - pods - -"),
        ("GET /api/v1pods/x", "list /v1pods - x - -"),
        ("GET /apis/x/1/things", "list x/1 - things - -"),
    ] {
        assert_eq!(row(line), expected, "{line}");
    }
}

#[test]
fn a_namespace_is_an_object_and_its_status_is_no_resource_in_it() {
    for (line, expected) in [
        ("GET /api/v1/namespaces", "list /v1 - namespaces - -"),
        ("GET /api/v1/namespaces/foo", "get /v1 - namespaces foo -"),
        ("GET /api/v1/namespaces/foo/", "get /v1 - namespaces foo -"),
        ("DELETE /api/v1/namespaces/foo", "delete /v1 - namespaces foo -"),
        ("PUT /api/v1/namespaces/foo/status", "update /v1 - namespaces foo status"),
        ("PUT /api/v1/namespaces/foo/finalize", "update /v1 - namespaces foo finalize"),
        ("PUT /api/v1/namespaces/foo/f%69nalize", "update /v1 - namespaces foo finalize"),
        ("GET /api/v1/namespaces/foo/status/x", "get /v1 - namespaces foo status +"),
        ("GET /api/v1/namespaces/foo/namespaces", "list /v1 foo namespaces - -"),
        ("GET /api/v1/namespaces/status/pods", "list /v1 status pods - -"),
    ] {
        assert_eq!(row(line), expected, "{line}");
    }
}

#[test]
fn every_spelling_of_a_watch_is_a_watch() {
    for query in [
        "watch",
        "watch=",
        "watch=1",
        "watch=true",
        "watch=TRUE",
        "watch=yes",
        "watch=00",
        "w%61tch=1",
        "watch=%31",
        "watch=fals",
        "watch=+0",
        "limit=abc&watch=1",
        "watch=1&watch=0",
        "&&watch=1",
        "watch=true&resourceVersion=1",
    ] {
        assert_eq!(row(&format!("GET /api/v1/pods?{query}")), "watch /v1 - pods - -", "{query}");
    }
    for query in
        ["", "watch=0", "watch=false", "watch=FALSE", "watch=False&watch=1", "Watch=1", "watch=%66alse", "watc=1"]
    {
        assert_eq!(row(&format!("GET /api/v1/pods?{query}")), "list /v1 - pods - -", "{query}");
    }
}

#[test]
fn the_legacy_watch_path_is_a_watch_whatever_the_method() {
    for (line, expected) in [
        ("GET /api/v1/watch/pods", "watch /v1 - pods - -"),
        ("GET /api/v1/watch/namespaces/shop/pods", "watch /v1 shop pods - -"),
        ("GET /api/v1/watch/namespaces/shop/pods/p?watch=0", "watch /v1 shop pods p -"),
        ("GET /api/v1/watch/namespaces/shop", "watch /v1 - namespaces shop -"),
        ("GET /api/v1/w%61tch/namespaces", "watch /v1 - namespaces - -"),
        ("DELETE /apis/apps/v1/watch/deployments", "watch apps/v1 - deployments - -"),
        ("GET /apis/apps/v1/watch/watch", "watch apps/v1 - watch - -"),
    ] {
        assert_eq!(row(line), expected, "{line}");
    }
}

#[test]
fn what_is_not_below_a_version_is_no_resource() {
    for path in [
        "/",
        "/api",
        "/apis",
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/version",
        "/openapi/v3/apis/apps/v1",
        "/metrics",
        "/healthz/etcd",
        "/API/v1/pods",
        "/apiserver/v1/pods",
        "/.well-known/openid-configuration",
    ] {
        assert_eq!(parse(&format!("GET {path}?timeout=32s")), Ok(Request::NonResource { path: path.to_owned() }));
    }
    assert_eq!(parse("GET /apis/apps/v1/"), Ok(Request::NonResource { path: "/apis/apps/v1".to_owned() }));
    assert_eq!(parse("GET /v%65rsion"), Ok(Request::NonResource { path: "/version".to_owned() }));
}

#[test]
fn names_are_decoded_and_encoded_again() {
    let role = resource("GET /apis/rbac.authorization.k8s.io/v1/clusterroles/read%20er+x:y");
    assert_eq!(role.name.as_deref(), Some("read er+x:y"));
    assert_eq!(role.object_path(), "/apis/rbac.authorization.k8s.io/v1/clusterroles/read%20er%2Bx%3Ay");
    assert_eq!(role.collection_path(), "/apis/rbac.authorization.k8s.io/v1/clusterroles");

    let exec = resource("POST /api/v1/namespaces/shop/pods/p/exec?command=sh");
    assert_eq!(exec.object_path(), "/api/v1/namespaces/shop/pods/p");
    assert_eq!(exec.collection_path(), "/api/v1/namespaces/shop/pods");

    let namespace = resource("PUT /api/v1/namespaces/shop/status");
    assert_eq!(namespace.object_path(), "/api/v1/namespaces/shop");
    assert_eq!(resource("GET /api/v1/pods").object_path(), "/api/v1/pods");
    assert_eq!(resource("GET /api/v1/nodes/a%2525%5C").name.as_deref(), Some("a%25\\"));
}

#[test]
fn paths_that_another_hop_could_read_otherwise_are_refused() {
    for (path, expected) in [
        ("api/v1/pods", BadPath::NotAbsolute),
        ("*", BadPath::NotAbsolute),
        ("", BadPath::NotAbsolute),
        ("//", BadPath::EmptySegment),
        ("//api/v1/pods", BadPath::EmptySegment),
        ("/api//v1/pods", BadPath::EmptySegment),
        ("/api/v1//pods", BadPath::EmptySegment),
        ("/api/v1/pods//", BadPath::EmptySegment),
        ("/api/v1/namespaces//pods/x", BadPath::EmptySegment),
        ("/apis//v1/pods", BadPath::EmptySegment),
        ("/version//", BadPath::EmptySegment),
        ("/api/v1/./pods", BadPath::DotSegment),
        ("/api/v1/namespaces/shop/../../pods", BadPath::DotSegment),
        ("/api/v1/%2e%2E/pods", BadPath::DotSegment),
        ("/api/v1/namespaces/shop/pods/p/proxy/../../x", BadPath::DotSegment),
        ("/api/v1/namespaces/shop/pods/p/proxy/a%2f..%2Fb", BadPath::DotSegment),
        ("/version/..", BadPath::DotSegment),
        ("/api/v1/namespaces/shop%2Fpods/p", BadPath::EncodedSlash),
        ("/api/v1/namespaces/shop/pods/p%2fexec", BadPath::EncodedSlash),
        ("/api/v1/namespaces/shop/pods/p/exec%2F", BadPath::EncodedSlash),
        ("/api%2Fv1/pods", BadPath::EncodedSlash),
        ("/healthz%2Fetcd", BadPath::EncodedSlash),
        ("/api/v1/pods%", BadPath::Escape),
        ("/api/v1/pods%2", BadPath::Escape),
        ("/api/v1/pods%zz", BadPath::Escape),
        ("/api/v1/pods/%FF", BadPath::Text),
        ("/api/v1/pods/%C0%AF", BadPath::Text),
        ("/api/v1/pods/a%00", BadPath::Text),
        ("/api/v1/watch", BadPath::NoResource),
        ("/apis/apps/v1/watch/", BadPath::NoResource),
        ("/api/v1/proxy", BadPath::NoResource),
        ("/api/v1/proxy/namespaces/shop/pods/p", BadPath::LegacyProxy),
    ] {
        assert_eq!(parse(&format!("GET {path}")), Err(expected), "{path}");
    }
    assert_eq!(parse(&format!("GET /api/v1/pods?{}", "&".repeat(10_000))), Err(BadPath::TooManyParameters));
}

#[test]
fn what_is_proxied_behind_a_subresource_is_the_backends_affair() {
    for path in ["", "/", "/metrics", "//a", "/a//b/", "/a%2Fb", "/%20"] {
        let proxy = resource(&format!("GET /api/v1/namespaces/shop/services/https:web:1/proxy{path}"));
        assert_eq!(proxy.subresource.as_deref(), Some("proxy"));
        assert_eq!(proxy.rest, path.len() > 1, "{path}");
        assert_eq!(proxy.object_path(), "/api/v1/namespaces/shop/services/https%3Aweb%3A1");
    }
}

#[test]
fn apply_is_known_by_its_content_type() {
    for apply in
        ["application/apply-patch+yaml", "application/apply-patch+cbor", "application/apply-patch+yaml; charset=utf-8"]
    {
        assert!(is_apply(apply), "{apply}");
    }
    for other in [
        "",
        "application/json",
        "application/merge-patch+json",
        "application/apply-patch+yamls",
        "text/apply-patch+yaml",
    ] {
        assert!(!is_apply(other), "{other}");
    }
}

#[test]
fn discovery_is_what_tells_nothing_of_the_clusters_contents() {
    for path in [
        "/version",
        "/api",
        "/apis",
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/apps/v1",
        "/healthz",
        "/livez",
        "/readyz",
        "/readyz/etcd",
    ] {
        assert!(is_discovery(path), "{path}");
    }
    for path in [
        "/",
        "/metrics",
        "/logs",
        "/logs/kube-apiserver.log",
        "/debug/pprof",
        "/openapi",
        "/version/x",
        "/openid/v1/jwks",
    ] {
        assert!(!is_discovery(path), "{path}");
    }
}

#[test]
fn reviews_are_told_apart_from_objects() {
    let review = |line: &str| resource(line).review();
    for own in ["selfsubjectaccessreviews", "selfsubjectrulesreviews"] {
        assert_eq!(review(&format!("POST /apis/authorization.k8s.io/v1/{own}")), Some(Review::Own));
    }
    assert_eq!(review("POST /apis/authentication.k8s.io/v1/selfsubjectreviews"), Some(Review::Own));
    assert_eq!(review("POST /apis/authentication.k8s.io/v1/tokenreviews"), Some(Review::Other));
    assert_eq!(review("POST /apis/authorization.k8s.io/v1/subjectaccessreviews"), Some(Review::Other));
    assert_eq!(
        review("POST /apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews"),
        Some(Review::Other)
    );
    for none in [
        "GET /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x",
        "POST /apis/example.com/v1/selfsubjectaccessreviews",
        "POST /apis/authentication.k8s.io/v1/selfsubjectaccessreviews",
    ] {
        assert_eq!(review(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn an_object_path_leads_back_to_the_object(
        group in "[a-z.]{0,8}", namespace in proptest::option::of("[a-z]{1,5}"), name in "[^/\0]{1,12}",
    ) {
        prop_assume!(![".", ".."].contains(&name.as_str()) && ![".", ".."].contains(&group.as_str()));
        let request = ResourceRequest {
            verb: Verb::Get, group, version: "v1".to_owned(), namespace, resource: "things".to_owned(),
            name: Some(name), subresource: None, rest: false,
        };
        prop_assert_eq!(Request::parse(&Method::GET, &request.object_path()), Ok(Request::Resource(request)));
    }

    #[test]
    fn no_path_makes_it_panic(target in "(/(api|apis|v1|namespaces|watch|status|%2[eEfF]|[.]|%|\\PC)?){0,9}(\\?\\PC*)?") {
        let _unread = Request::parse(&Method::GET, &target);
    }
}
