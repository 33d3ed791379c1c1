//! What only a real API server can tell.

#![cfg(test)] // which tells clippy that helpers may unwrap here too

#[path = "../controller/mod.rs"]
mod controller;
#[path = "../crd/mod.rs"]
mod crd;
#[path = "../support/mod.rs"]
mod support;
