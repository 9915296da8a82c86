//! Outputs that push: what stages put into their outboxes, sent to a receiver over HTTP.
//!
//! One output is one file that knows a protocol (`remote_write`, `otlp`, `webhook`) and one thread (`sender`) that knows none: it takes
//! chunks in order, tries each until the receiver has taken or refused it for good, and has it deleted. Calls go out at least once; a call
//! made again is the same one. Which chunks there are is decided in `golden_pipeline`, and nothing is stored here.

/// What an answer means.
mod answer;
/// gRPC.
mod grpc;
/// Which addresses may be called.
mod guard;
/// How a receiver is reached.
mod http;
/// OpenTelemetry.
mod otlp;
/// Prometheus and what speaks its protocol.
mod remote_write;
/// The thread of one output.
pub mod sender;
/// What is set.
pub mod settings;
/// Changes of health, to whoever wants to know.
mod webhook;

pub use otlp::Otlp;
pub use remote_write::RemoteWrite;
pub use webhook::Webhook;
