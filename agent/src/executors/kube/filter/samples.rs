//! One Pod as Kubernetes 1.36 itself writes it (`runtime/serializer/{json,protobuf}`), and what is to be read in it.

use proptest::prelude::*;

use super::meta::{ObjectMeta, OwnerReference};

/// The Pod in JSON.
pub(super) const POD_JSON: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-7f-x2","namespace":"shop","uid":"0f3c","resourceVersion":"812","generation":3,"creationTimestamp":"2023-11-14T22:13:20Z","labels":{"app":"web","empty":""},"annotations":{"argocd.argoproj.io/tracking-id":"web:apps/Deployment:shop/web","note":"a \"quoted\" ä\n"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7f","uid":"9a","controller":true}],"finalizers":["f"],"managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{}}}]},"spec":{"containers":[{"name":"c","image":"i","resources":{}}]},"status":{}}
"#;

/// The Pod in protobuf, in hexadecimal.
const POD_PROTOBUF: &str = "6b3873000a090a0276311203506f6412c8020af6010a097765622d37662d783212001a0473686f7022002a0430\
6633633203383132380342080880e2cfaa0610005a0a0a0361707012037765625a090a05656d7074791200623e0a1e6172676f63642e6172676f70\
726f6a2e696f2f747261636b696e672d6964121c7765623a617070732f4465706c6f796d656e743a73686f702f77656262160a046e6f7465120e61\
202271756f7465642220c3a40a6a230a0a5265706c6963615365741a067765622d3766220239612a07617070732f763130017201668a01300a016d\
12065570646174651a02763132084669656c647356313a130a117b22663a6d65746164617461223a7b7d7d42001238121a0a01631201692a004200\
6a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c201001a130a001a0022002a0032004a005a\
0072008801001a002200";

/// The Pod in protobuf.
pub(super) fn pod_protobuf() -> Vec<u8> {
    unhex(POD_PROTOBUF)
}

/// The bytes that a hexadecimal text spells.
pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// The Pod's metadata.
pub(super) fn pod_meta() -> ObjectMeta {
    let text = str::to_owned;
    ObjectMeta {
        name: text("web-7f-x2"),
        namespace: Some(text("shop")),
        uid: text("0f3c"),
        resource_version: text("812"),
        labels: [(text("app"), text("web")), (text("empty"), text(""))].into(),
        annotations: [
            (text("argocd.argoproj.io/tracking-id"), text("web:apps/Deployment:shop/web")),
            (text("note"), text("a \"quoted\" ä\n")),
        ]
        .into(),
        owners: vec![OwnerReference {
            api_version: text("apps/v1"),
            kind: text("ReplicaSet"),
            name: text("web-7f"),
            uid: text("9a"),
        }],
    }
}

/// Any metadata that an object could have.
pub(super) fn any_meta() -> impl Strategy<Value = ObjectMeta> {
    let text = || "[\\PC\"\\\\\n]{0,8}";
    let map = || proptest::collection::btree_map(text(), text(), 0..4);
    let owner = (text(), text(), text(), text()).prop_map(|(api_version, kind, name, uid)| OwnerReference {
        api_version,
        kind,
        name,
        uid,
    });
    let owners = proptest::collection::vec(owner, 0..3);
    let namespace = proptest::option::of("[\\PC\"]{1,8}");
    (text(), namespace, text(), text(), map(), map(), owners).prop_map(
        |(name, namespace, uid, resource_version, labels, annotations, owners)| ObjectMeta {
            name,
            namespace,
            uid,
            resource_version,
            labels,
            annotations,
            owners,
        },
    )
}
