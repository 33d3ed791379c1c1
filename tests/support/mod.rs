//! A real Kubernetes control plane for the tests that need one, and what they share to talk to it.
//!
//! The control plane is one per test process: the first test that asks starts it, and it ends with the process, whose end
//! of the pipe it watches. Tests run beside each other on it, each in namespaces of its own.

pub(crate) mod api_server;

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::Mutex;

/// Long enough for a busy machine. A test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running control plane.
pub(crate) struct ControlPlane {
    /// The administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    /// The folder of kubectl and the servers.
    pub(crate) bin: PathBuf,
    /// Its standard input is ours: it ends when this process does, however that ends.
    _run: Child,
}

impl ControlPlane {
    /// Starts one. Tests that spoil it for others start one of their own.
    pub(crate) fn start() -> Result<Self, String> {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/control-plane/run");
        let mut child = Command::new(&run)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", run.display()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let field = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(PathBuf::from);
        match (field("KUBECONFIG="), field("BIN=")) {
            (Some(kubeconfig), Some(bin)) => Ok(Self { kubeconfig, bin, _run: child }),
            _ => Err(format!("{} did not get ready, and said why on standard error: {line:?}", run.display())),
        }
    }
}

impl ControlPlane {
    /// A client for the administrator. It belongs to the runtime that made it, so each test makes its own.
    pub(crate) async fn client(&self) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }
}

/// The control plane of this test process, started on first use.
pub(crate) fn control_plane() -> &'static ControlPlane {
    static CONTROL_PLANE: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
    match CONTROL_PLANE.get_or_init(ControlPlane::start) {
        Ok(control_plane) => control_plane,
        Err(error) => panic!("no control plane: {error}"),
    }
}

/// A client for the administrator of that control plane.
pub(crate) async fn client() -> kube::Client {
    control_plane().client().await
}

/// Runs kubectl as the administrator. It doesn't hold up the test's runtime, where a controller may be running.
pub(crate) async fn kubectl(args: &[&str]) -> Output {
    kubectl_with_input(args, "").await
}

/// Runs kubectl with `input` as its standard input: `kubectl_with_input(&["apply", "-f-"], yaml)`.
pub(crate) async fn kubectl_with_input(args: &[&str], input: &str) -> Output {
    let control_plane = control_plane();
    let mut command = Command::new(control_plane.bin.join("kubectl"));
    command
        .arg("--kubeconfig")
        .arg(&control_plane.kubeconfig)
        .arg("--cache-dir") // of this control plane, not of another that had its port
        .arg(control_plane.kubeconfig.with_file_name("kubectl-cache"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // kubectl may end without reading all of it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

/// What a command printed. Panics with its standard error when it failed.
pub(crate) fn stdout(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// Makes a namespace that no other test has, and returns its name.
pub(crate) async fn unique_namespace(client: &kube::Client, prefix: &str) -> String {
    let namespace = Namespace {
        metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let created = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    created.metadata.name.unwrap()
}

/// Applies the CRDs in `yaml`, once per process, and waits until the API server serves them.
pub(crate) async fn install_crds(client: &kube::Client, yaml: &str) {
    static INSTALLED: OnceLock<Mutex<HashSet<String>>> = OnceLock::new();
    let mut installed = INSTALLED.get_or_init(Mutex::default).lock().await;
    if !installed.contains(yaml) {
        install_crds_again(client, yaml).await;
        installed.insert(yaml.to_owned());
    }
}

/// The same, whether they were installed before or not, on any control plane.
pub(crate) async fn install_crds_again(client: &kube::Client, yaml: &str) {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let apply = PatchParams::apply("busgrant-tests").force();
    for crd in serde_saphyr::from_multiple::<CustomResourceDefinition>(yaml).unwrap() {
        let name = crd.metadata.name.clone().unwrap();
        api.patch(&name, &apply, &Patch::Apply(&crd)).await.unwrap();
        for version in crd.spec.versions.iter().filter(|version| version.served) {
            let path = format!("/apis/{}/{}/{}", crd.spec.group, version.name, crd.spec.names.plural);
            let list = Request::new(path).list(&ListParams::default().limit(1)).unwrap();
            eventually(&format!("{name} {} is served", version.name), PATIENCE, async || {
                client.request_text(list.clone()).await
            })
            .await;
        }
    }
}

/// Waits until `probe` finds what it looks for. Its error says what it saw instead; the last one ends up in the panic.
pub(crate) async fn eventually<T, E: Display>(
    what: &str,
    patience: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + patience;
    let mut seen = String::from("nothing: the probe itself took that long");
    loop {
        match tokio::time::timeout_at(deadline.into(), probe()).await {
            Ok(Ok(found)) => return found,
            Ok(Err(error)) => seen = error.to_string(),
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}; last seen: {seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_control_plane_finishes_deletions() {
    let client = client().await;
    let namespace = unique_namespace(&client, "support").await;
    stdout(&kubectl(&["create", "configmap", "kept", "-n", &namespace]).await);
    stdout(&kubectl(&["delete", "namespace", &namespace]).await);
    let gone = kubectl(&["get", "namespace", &namespace]).await;
    assert!(String::from_utf8_lossy(&gone.stderr).contains("NotFound"), "{gone:?}");
}

#[tokio::test]
#[should_panic(expected = "not within 10ms: the moon; last seen: the sun")]
async fn what_never_comes_is_told_with_what_came_instead() {
    eventually("the moon", Duration::from_millis(10), async || Err::<(), _>("the sun")).await;
}

#[tokio::test]
async fn crds_are_served_once_installed() {
    let crd = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: moons.test.busgrant.dev}
spec:
  group: test.busgrant.dev
  scope: Namespaced
  names: {plural: moons, singular: moon, kind: Moon}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
";
    let client = client().await;
    install_crds(&client, crd).await;
    let namespace = unique_namespace(&client, "moons").await;
    let moon = "{apiVersion: test.busgrant.dev/v1, kind: Moon, metadata: {name: io}}";
    let created = kubectl_with_input(&["create", "-n", &namespace, "-f-"], moon).await;
    assert_eq!(stdout(&created), "moon.test.busgrant.dev/io created\n");
}
