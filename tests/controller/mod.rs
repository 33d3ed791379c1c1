//! The operator as users run it: the program itself, on a real API server, with a simulated `EventBridge`.
//!
//! Each test has a [`Scene`] of its own: a namespace, an owner, a simulator, and a proxy before the API server that keeps
//! a journal in one order with the simulator's. When a scene ends, its journals are held against the promises that every
//! scene must keep ([`promises`]): foreign statements untouched, status true, nothing written for nothing.

mod drawn;
mod effects;
mod front;
mod link;
mod operator;
mod oracle;
mod promises;
mod readiness;
mod record;
mod scene;
mod seeds;
mod somebody;
mod stops;
mod team;

mod absence;
mod bad_input;
mod calls;
mod cluster;
mod crash;
mod credentials;
mod definition;
mod deletion;
mod documented;
mod drift;
mod faults;
mod fragile;
mod gitops;
mod kill;
mod kstatus;
mod lease;
mod leftovers;
mod missed;
mod observability;
mod observe;
mod others;
mod overtaken;
mod poison;
mod quiet;
mod replicas;
mod rest;
mod rivals;
mod sequences;
mod space;
mod stale;
mod start;
mod statements;
mod story;
mod truth;
