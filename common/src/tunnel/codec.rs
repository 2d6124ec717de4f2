//! Protobuf on gRPC, with buffers that fit what a call carries.
//!
//! Every call has a buffer for each direction for as long as it lives. tonic makes them 8 KiB; an agent's control stream
//! lives as long as the agent and carries a few bytes every ten seconds, and there are ten thousand of them. Pipes do without
//! it ([`super::call`]).

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// What the generated code encodes `T` and decodes `U` with.
#[derive(Debug, Clone, Copy)]
pub struct TunnelCodec<T, U>(PhantomData<(T, U)>);

// === impl TunnelCodec ===

impl<T, U> Default for TunnelCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for TunnelCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(EVENTS, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(EVENTS, YIELD))
    }
}

/// Holds pings and their like; it grows for a Hello, a Welcome and early data.
const EVENTS: usize = 64;

/// As much as tonic encodes by default before it hands on what there is.
const YIELD: usize = 32 * 1024;
