//! How often memory is asked for on the way of a request. Unlike time, that is the same on every machine.
//!
//! Everything runs on one thread of this process: caller, principal, agent and an API server that answers at once. What
//! caller and server need by themselves is known from asking without the two in between, and taken off.
//!
//! A binary of its own, as what counts is the process's allocator.

use std::future::Future;

use harness::{
    faulty::{AGENT, Rig},
    raw::{self, Raw, get},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::{Builder, Runtime},
};

#[test]
fn a_small_get_asks_for_memory_no_more_often_than_it_used_to() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rig = runtime.block_on(Rig::start());
    let mut through = runtime.block_on(rig.caller.connect(rig.world.door())).expect("a connection");
    let mut direct = runtime.block_on(raw::plain(rig.server.address)).expect("a connection");
    let through = per_request(&runtime, &mut through);
    let direct = per_request(&runtime, &mut direct);
    let between = through - direct;
    println!("{AGENT}: {through:.2} allocations for each GET, {direct:.2} of them not ours: {between:.2}");
    assert!(between <= MOST, "{between:.2} allocations for each GET, and {MOST} are allowed");
    // A bound that is far off guards nothing.
    assert!(between >= MOST * 0.7, "only {between:.2} allocations for each GET: lower the bound of {MOST}");
}

/// Of a connection that is warm.
fn per_request<S: AsyncRead + AsyncWrite + Unpin>(runtime: &Runtime, connection: &mut Raw<S>) -> f64 {
    let mut ask = async |times: u32| {
        for _ in 0..times {
            connection.send(get(PATH)).await.expect("the request is taken");
            assert_eq!(connection.answer().await.expect("an answer").status, 200);
        }
    };
    runtime.block_on(ask(WARM_UP));
    let counted = counted(runtime, ask(REQUESTS));
    #[expect(clippy::cast_precision_loss, reason = "there are a few thousand")]
    let counted = counted as f64;
    counted / f64::from(REQUESTS)
}

fn counted(runtime: &Runtime, work: impl Future<Output = ()>) -> u64 {
    let mut work = Some(work);
    let measured = allocation_counter::measure(|| {
        if let Some(work) = work.take() {
            runtime.block_on(work);
        }
    });
    measured.count_total
}

const PATH: &str = "/api/v1/namespaces/near/configmaps/any";

/// Principal and agent together, TLS and tunnel included, filter and log off. 27 when this was written.
const MOST: f64 = 30.0;

const WARM_UP: u32 = 50;
const REQUESTS: u32 = 200;
