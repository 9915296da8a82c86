//! `golden run` as a whole process: what it promises while it runs, is killed, and starts again.

mod demo;
mod http;
mod kill;
mod process;
