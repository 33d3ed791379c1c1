"""The cluster that it runs on: one that was named, kind where an engine runs, or the node of hack/node."""

import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from means import CRD, ROOT, Failure, Kubectl, check, run

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
"""
KIND = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  extraMounts: [{{hostPath: {folder}, containerPath: /audit}}]
  kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    apiServer:
      extraArgs: {{audit-policy-file: /audit/policy.yaml, audit-log-path: /audit/audit.log}}
      extraVolumes: [{{name: audit, hostPath: /audit, mountPath: /audit}}]
"""


@dataclass
class Cluster:
    what: str
    kubectl: Kubectl
    kubeconfig: str
    image: str
    simulator_image: str
    ctr: list | None = None  # the runtime's client on the node, to end a process as a crash does
    audit: Path | None = None
    stays: bool = False  # it is somebody's own, perhaps in a cloud whose nodes have credentials


@contextmanager
def cluster(folder):
    """Gone again at the end, but for one that was named."""
    if os.environ.get("BUSGRANT_E2E_KUBECONFIG"):
        yield named(folder)
    elif shutil.which("kind") and shutil.which("docker") and run("docker", "info", ok=None).returncode == 0:
        with of_kind(folder) as made:
            yield made
    else:
        with of_node(folder) as made:
            yield made


def named(folder):
    """A cluster of yours. Not KUBECONFIG: this deletes the definition with all objects, and nobody should do so unawares."""
    image, simulator = (os.environ.get(f"BUSGRANT_E2E_{name}") for name in ("IMAGE", "SIM_IMAGE"))
    check(
        image and simulator, "BUSGRANT_E2E_IMAGE and BUSGRANT_E2E_SIM_IMAGE must name images that the cluster can pull"
    )
    kubeconfig = os.environ["BUSGRANT_E2E_KUBECONFIG"]
    kubectl = Kubectl(shutil.which("kubectl") or "kubectl", kubeconfig, folder)
    check(kubectl.get("crd", CRD) is None, "the cluster must not have busgrant's definition: it is deleted here")
    ctr = os.environ.get("BUSGRANT_E2E_CTR", "").split() or None
    audit = os.environ.get("BUSGRANT_E2E_AUDIT_LOG")
    return Cluster(kubeconfig, kubectl, kubeconfig, image, simulator, ctr, Path(audit) if audit else None, True)


@contextmanager
def of_kind(folder):
    audit = folder / "audit"
    audit.mkdir()
    (audit / "policy.yaml").write_text(AUDIT_POLICY)
    (folder / "kind.yaml").write_text(KIND.format(folder=audit))
    kubeconfig, name = folder / "kubeconfig", f"busgrant-e2e-{os.getpid()}"
    try:
        run(
            "kind",
            "create",
            "cluster",
            "--name",
            name,
            "--kubeconfig",
            kubeconfig,
            "--config",
            folder / "kind.yaml",
            "--wait=180s",
        )
        images = {}
        for program in ("busgrant", "busgrant-sim"):
            archive, images[program] = image(program)
            run("kind", "load", "image-archive", archive, "--name", name)
        kubectl = Kubectl(shutil.which("kubectl") or "kubectl", kubeconfig, folder)
        ctr = ["docker", "exec", f"{name}-control-plane", "ctr"]
        yield Cluster("kind", kubectl, kubeconfig, *images.values(), ctr, audit / "audit.log")
    finally:
        run("kind", "delete", "cluster", "--name", name, ok=None)


@contextmanager
def of_node(folder):
    kubeconfig = folder / "kubeconfig"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([ROOT / "hack/node/run", kubeconfig], text=True, **pipes)
    try:
        line = process.stdout.readline()
        if not line.startswith("ready "):
            raise Failure("the node doesn't start; its messages are above")
        said = dict(word.split("=", 1) for word in line.split()[1:])
        ctr, images = ["ctr", "--address", said["CONTAINERD"]], {}
        for program in ("busgrant", "busgrant-sim"):
            archive, images[program] = image(program)
            run(*ctr, "-n", "k8s.io", "images", "import", archive)
        kubectl = Kubectl(f"{said['BIN']}/kubectl", kubeconfig, folder)
        yield Cluster("hack/node", kubectl, kubeconfig, *images.values(), ctr, Path(said["AUDIT"]))
    finally:
        process.stdin.close()
        process.wait()


def image(program):
    """The archive that `make e2e` built, and the image's name in it."""
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    archive = ROOT / f"dist/{program}-{version}-linux-amd64.oci.tar"
    check(archive.exists(), f"{archive} is missing: run `make e2e`, which builds it")
    index = json.loads(run("tar", "-xOf", archive, "index.json").stdout)
    return archive, index["manifests"][0]["annotations"]["io.containerd.image.name"]
