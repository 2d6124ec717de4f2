//! One pipe at the agent: opened because the principal asked, served by an executor until it ends.

use common::{
    drain,
    proto::tunnel_client::TunnelClient,
    tunnel::{PIPE_HEADER, PipeError, SESSION_HEADER, SessionId, TunnelStream, event::Open, flow::PipeFlow},
};
use tokio::sync::oneshot;
use tonic::{Request, metadata::MetadataValue};
use tracing::debug;

use super::connect::Grpc;
use crate::dispatch::Admitted;

/// Opens the pipe and serves it. The executor starts on the early data at once, beside the call that opens the pipe.
///
/// # Cancel safety
/// Dropping the future cuts the pipe and cancels what runs in it.
pub(super) async fn serve(
    mut client: TunnelClient<Grpc>,
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
        let mut request = Request::new(outgoing);
        request.metadata_mut().insert(SESSION_HEADER, MetadataValue::from(session.get()));
        request.metadata_mut().insert(PIPE_HEADER, MetadataValue::from(pipe.get()));
        let inbound = match client.pipe(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => {
                debug!(%pipe, error = %status.message(), "pipe not opened");
                Err(PipeError::Cut(status.message().to_owned()))
            }
        };
        // The executor may have ended already.
        attached.send(inbound).unwrap_or_default();
    };
    tokio::join!(call, admitted.serve(stream, finish));
    // It holds its place for as long.
    remainder.hear_out().await;
}
