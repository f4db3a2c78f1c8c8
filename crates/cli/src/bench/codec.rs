//! Bytes out, and of the answer no more than the verdict: the load program must not cost what it measures.

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// The verdict of an ExecuteResponse; all its other fields are skipped.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Verdict {
    #[prost(int32, tag = "1")]
    pub(super) verdict: i32,
}

/// Sends a request that was encoded before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Verdict;
    type Encoder = Encoded;
    type Decoder = Encoded;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> Encoded {
        Encoded
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Verdict;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Verdict>, Status> {
        let read = Verdict::decode(from.copy_to_bytes(from.remaining()));
        read.map(Some).map_err(|e| Status::internal(format!("the answer cannot be read: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_api::{executor::v1::ExecuteResponse, types::v1::OutcomeKind};

    #[test]
    fn the_verdict_of_a_whole_answer_is_read() {
        let answer =
            ExecuteResponse { verdict: OutcomeKind::Block.into(), execution_id: "e1".into(), ..Default::default() };
        let read = Verdict::decode(answer.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.verdict, i32::from(OutcomeKind::Block));
    }
}
