//! Outputs against receivers that say what they like: what is sent, what is tried again, what is dropped.

#[cfg(test)]
mod otlp;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod remote_write;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod webhook;
