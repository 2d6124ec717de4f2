//! Generated code is checked in, so that wire changes show in review and builders need no protoc: this test generates
//! it anew and compares. `BLESS=1 cargo test -p common --test proto` writes it.

use std::{fs, path::Path};

#[test]
fn generated_code_is_what_the_proto_says() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = here.join("../proto");
    let descriptors = protox::compile(SOURCES, [&proto]).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .codec_path("crate::tunnel::codec::TunnelCodec")
        .out_dir(fresh.path())
        .compile_fds(descriptors)
        .unwrap();
    for generated in GENERATED {
        let fresh = fs::read_to_string(fresh.path().join(generated)).unwrap();
        let kept = here.join("src/proto").join(generated);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&kept, &fresh).unwrap();
        }
        assert!(
            fs::read_to_string(&kept).unwrap_or_default() == fresh,
            "{generated} is not what proto/ says: run `BLESS=1 cargo test -p common --test proto`"
        );
    }
}

const SOURCES: [&str; 2] = ["tunnel.proto", "enrollment.proto"];
const GENERATED: [&str; 2] = ["argocdagent.tunnel.v1.rs", "argocdagent.enrollment.v1.rs"];
