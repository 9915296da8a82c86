//! The whole router over a log and stores in memory, request in, answer and log records out.

mod api;
mod app;
mod crowd;
mod description;
mod ingest;
mod overrides;
mod pages;
mod range;
mod router;
mod serve;
mod stream;
