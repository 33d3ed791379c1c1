//! The program: what it prints, and how it stops.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

#[tokio::test]
async fn it_says_where_it_listens_and_stops_at_once_when_told() {
    for signal in ["TERM", "INT"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_busgrant-sim"))
            .args(["--listen", "127.0.0.1:0"])
            .env("BUSGRANT_SIM_POLICY_QUOTA", "30720")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let address = line.strip_prefix("listening on http://").unwrap();
        let _open = TcpStream::connect(address).await.unwrap(); // an open connection does not delay it
        let pid = program.id().unwrap().to_string();
        let told = Command::new("kill").args([&format!("-{signal}"), &pid]).status().await.unwrap();
        assert!(told.success());
        let stopped = tokio::time::timeout(Duration::from_secs(5), program.wait()).await.unwrap().unwrap();
        assert!(stopped.success(), "SIG{signal}: {stopped}");
    }
}
