//! Ports for programs that can only be told a number.

use std::{
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
};

use anyhow::{Context, Result};

/// Ports that are free now, all different. The programs are started at once, before others could take them.
///
/// Free on every address: health is served on all, and a connection from any of them would be in its way, of which a
/// benchmark of many agents beside this one has thousands.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let bind = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("looking for a free port");
    let listeners = (0..N).map(|_| bind()).collect::<Result<Vec<_>>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().context("looking for a free port")?.port();
    }
    Ok(ports)
}

/// The same, none as high as those that the kernel gives out by itself: some programs take no other.
pub(super) fn low_ports<const N: usize>() -> Result<[u16; N]> {
    // Where one looks first differs between runs, so that two at once seldom get into each other's way.
    let from = LOW_PORTS.start() + u16::try_from(std::process::id() % 8192).unwrap_or_default();
    let free = (from..=*LOW_PORTS.end()).filter_map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok());
    let listeners = free.take(N).collect::<Vec<_>>();
    let mut ports = [0; N];
    for (place, port) in ports.iter_mut().enumerate() {
        let listener = listeners.get(place).context("no free port below 32768")?;
        *port = listener.local_addr().context("looking for a free port")?.port();
    }
    Ok(ports)
}

/// Linux gives out ports from 32768 on (`net.ipv4.ip_local_port_range`).
const LOW_PORTS: RangeInclusive<u16> = 20_000..=32_767;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ports_are_low_and_all_different() {
        let ports = low_ports::<5>().unwrap();
        assert!(ports.iter().all(|port| LOW_PORTS.contains(port)), "{ports:?}");
        let mut distinct = ports.to_vec();
        distinct.dedup();
        assert_eq!(distinct, ports);
    }
}
