//! One pipe at the agent: opened because the principal asked, served by an executor until it ends.

use std::future::poll_fn;

use common::{
    Report, drain,
    tunnel::{
        Incoming, PipeError, PipeId, SessionId, TunnelStream, call, event::Open, flow::PipeFlow, stream::Outgoing,
    },
};
use tokio::sync::oneshot;
use tower_service::Service;
use tracing::debug;

use super::connect::Grpc;
use crate::dispatch::Admitted;

/// Opens the pipe and serves it. The executor starts on the early data at once, beside the call that opens the pipe.
///
/// # Cancel safety
/// Dropping the future cuts the pipe and cancels what runs in it.
pub(super) async fn serve(
    grpc: Grpc,
    session: SessionId,
    open: Open,
    flow: Option<PipeFlow>,
    admitted: Admitted,
    finish: drain::Watch,
) {
    let pipe = open.pipe;
    let (attached, when_attached) = oneshot::channel();
    let (mut stream, outgoing) = TunnelStream::accept(open.early_data, when_attached, flow);
    let remainder = stream.remainder();
    let call = async {
        let incoming = open_pipe(grpc, session, pipe, outgoing).await;
        if let Err(error) = &incoming {
            debug!(%pipe, error = %Report(error), "pipe not opened");
        }
        // The executor may have ended already.
        attached.send(incoming).unwrap_or_default();
    };
    tokio::join!(call, admitted.serve(stream, finish));
    // It holds its place for as long.
    remainder.hear_out().await;
}

/// The call itself, until it is answered.
async fn open_pipe(
    mut grpc: Grpc,
    session: SessionId,
    pipe: PipeId,
    outgoing: Outgoing,
) -> Result<Incoming, PipeError> {
    let lost = |error| PipeError::Cut(Report(&error).to_string());
    poll_fn(|cx| grpc.poll_ready(cx)).await.map_err(lost)?;
    call::opened(grpc.call(call::request(session, pipe, outgoing)).await.map_err(lost)?)
}
