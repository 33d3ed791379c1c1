//! The protocol by which busgrant writes, verifies, waits and deletes, as a model whose every state is visited.
#![cfg(test)]

mod controller;
mod model;
mod proofs;
mod search;
mod world;
