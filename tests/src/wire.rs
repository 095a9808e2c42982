//! Any rpc of the contract by its name, from JSON to JSON, over gRPC: so that a scenario can go through all that there are.

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::StreamExt as _;
use qipp_api::json;
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// An rpc of the contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rpc {
    /// Full name, `package.Service/Method`.
    pub name: String,
    /// The caller sends a stream.
    pub client_streams: bool,
    /// The answer is a stream.
    pub server_streams: bool,
    input: String,
    output: String,
}

/// Every rpc of the descriptors.
#[must_use]
pub fn contract() -> Vec<Rpc> {
    let services = json::pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .map(|method| Rpc {
            name: format!("{}/{}", method.parent_service().full_name(), method.name()),
            client_streams: method.is_client_streaming(),
            server_streams: method.is_server_streaming(),
            input: method.input().full_name().to_owned(),
            output: method.output().full_name().to_owned(),
        })
        .collect()
}

/// The rpc of that name.
#[must_use]
pub fn rpc(name: &str) -> Rpc {
    contract()
        .into_iter()
        .find(|rpc| rpc.name == name)
        .unwrap_or_else(|| panic!("{name} is no rpc"))
}

/// Calls an rpc with one message and gives its first answer.
///
/// # Errors
/// What the house refused with.
pub async fn call(
    url: &str,
    key: Option<&str>,
    name: &str,
    message: Value,
) -> Result<Value, Status> {
    let rpc = rpc(name);
    let bytes =
        json::from_json(&rpc.input, message).unwrap_or_else(|error| panic!("{name}: {error}"));
    let channel = Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = Request::new(futures::stream::iter([bytes]));
    if let Some(key) = key {
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    let path = format!("/{name}").parse().unwrap();
    let mut answers = grpc.streaming(request, path, Raw).await?.into_inner();
    let first = answers
        .next()
        .await
        .unwrap_or_else(|| Err(Status::unknown("no answer")))?;
    Ok(json::to_json(&rpc.output, &first).unwrap())
}

/// Messages as bytes.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
