//! Two nginx hops with mTLS between them: the least that a principal and an agent could be. It dials the wrong way
//! round (an agent cannot be dialed), knows no agents and filters nothing.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use super::{Contestant, Ground, Kind, Nginx, free_ports};
use crate::{load::Endpoint, pki::write_private, process::Process};

pub(super) fn start(ground: Ground<'_>, nginx: &Nginx) -> Result<Contestant> {
    let dir = ground.dir.join("chain");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let [front_port, back_port] = free_ports()?;
    let api = ground.api_server.credentials();
    let values = [
        ("@dir@", dir.display().to_string()),
        ("@front_port@", front_port.to_string()),
        ("@back_port@", back_port.to_string()),
        ("@to_back_port@", ground.towards(back_port)?.to_string()),
        ("@api_server@", ground.api_server.endpoint().address().to_string()),
        ("@ca@", ground.pki.file("ca.crt").display().to_string()),
        ("@server_cert@", ground.pki.file("server.crt").display().to_string()),
        ("@server_key@", ground.pki.file("server.key").display().to_string()),
        ("@client_cert@", ground.pki.file("client.crt").display().to_string()),
        ("@client_key@", ground.pki.file("client.key").display().to_string()),
        ("@api_ca@", api.ca.display().to_string()),
        ("@api_client_cert@", api.cert.display().to_string()),
        ("@api_client_key@", api.key.display().to_string()),
    ];
    let hop = |name: &'static str, template: &str| {
        let text = values.iter().fold(template.to_owned(), |text, (key, value)| text.replace(key, value));
        let config = dir.join(format!("{name}.conf"));
        write_private(&config, &text)?;
        let prefix = dir.clone();
        // Before its configuration says otherwise nginx logs where only root may.
        let args = [PathBuf::from("-p"), prefix, "-c".into(), config, "-e".into(), "stderr".into()];
        Process::start(name, &dir, &nginx.program, args)
    };
    let processes = vec![hop("back", BACK)?, hop("front", FRONT)?];
    let endpoint = Endpoint::new(([127, 0, 0, 1], front_port).into(), &ground.pki.client())?;
    Ok(Contestant::starting(Kind::Chain, endpoint, processes))
}

const FRONT: &str = include_str!("../../nginx/front.conf");
const BACK: &str = include_str!("../../nginx/back.conf");
