//! Free ports of 127.0.0.1.

use std::{collections::BTreeSet, io, net::Ipv4Addr};

use anyhow::{Result, bail};
use rand::Rng;
use tokio::net::TcpSocket;

/// `COUNT` different ports that nobody listens on.
///
/// They are not the system's choice (port 0): it gives those to whoever asks next, outgoing connections included, and
/// the programs that these are for bind them a moment later.
pub(crate) fn free<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let mut random = rand::rng();
    let mut ports = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        let candidate = random.random_range(RANGE);
        if bind(candidate).is_ok() {
            ports.insert(candidate);
        }
        if ports.len() == COUNT {
            break;
        }
    }
    let ports: Vec<_> = ports.into_iter().collect();
    let Ok(ports) = ports.try_into() else { bail!("no {COUNT} free ports among {} to {}", RANGE.start, RANGE.end) };
    Ok(ports)
}

/// A socket of that port, which fails where somebody listens.
///
/// It does not listen itself: a listener is inherited by every process that another thread forks meanwhile, and keeps
/// the port taken, after it was closed here, until that process has become its program.
fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

/// Below the range that Linux and the BSDs take for outgoing connections, above what well-known programs use.
const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// Where so many do not suffice, the taken ports are no accident.
const ATTEMPTS: usize = 200;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, net::TcpListener};

    use super::*;

    #[test]
    fn the_ports_differ() {
        let ports = free::<8>().unwrap();
        assert_eq!(HashSet::from(ports).len(), 8);
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(bind(listener.local_addr().unwrap().port()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_free_port_can_be_listened_on_at_once_while_other_threads_fork() {
        let forks = std::thread::spawn(|| {
            for _ in 0..100 {
                assert!(std::process::Command::new("true").status().unwrap().success());
            }
        });
        while !forks.is_finished() {
            let [port] = free().unwrap();
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
        forks.join().unwrap();
    }
}
