"""What the tests of the chart are made with: Helm, a control plane, and how checks are told."""

import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/busgrant"
TESTS = ROOT / "tests/chart"
CRD = "eventbuspermissions.busgrant.dev"
NAMESPACE = "busgrant-system"
CASES = sorted(path.stem for path in (TESTS / "cases").glob("*.yaml"))
NAMESPACES = [NAMESPACE, "busgrant-other", "team-a", "team-b"]

UPDATE = sys.argv[1:] == ["--update"]
failures = []

class Helm:
    def __init__(self, program, home):
        self.program = program
        homes = {f"HELM_{kind}_HOME": f"{home}/helm-{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")}
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), **homes}
        self.version = self("version", "--template", "{{.Version}}").stdout
        self.major = self.version.split(".")[0]

    def __call__(self, *arguments, kubeconfig="/dev/null", **more):
        return run(self.program, *arguments, env={**self.environment, "KUBECONFIG": str(kubeconfig)}, **more)

    def template(self, *flags, chart=CHART, ok=True):
        version = [] if "--kube-version" in flags else ["--kube-version", "1.37.0"]
        return self("template", "busgrant", chart, "-n", NAMESPACE, *version, *flags, ok=ok)


class Plane:
    """A control plane, started beside what needs none."""

    def __init__(self, folder):
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([ROOT / "hack/control-plane/run", self.kubeconfig], text=True, **pipes)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def prepare(self, tools):
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            sys.exit("the control plane doesn't start; its messages are above")
        self.bin = Path(line.split(" BIN=")[1].strip())
        for namespace in NAMESPACES:
            self.kubectl("create", "namespace", namespace)
            modes = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn", "audit")]
            self.kubectl("label", "namespace", namespace, *modes)
        for kind in ("servicemonitors", "prometheusrules"):
            self.kubectl("create", "-f", tools / f"{kind}.yaml")
        self.apply_definition()

    def apply_definition(self):
        self.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")

    def kubectl(self, *arguments, **more):
        home = str(self.kubeconfig.parent)
        environment = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": str(self.kubeconfig)}
        return run(self.bin / "kubectl", *arguments, env=environment, **more)

    def objects(self, text):
        """Manifests as kubectl reads them."""
        return documents(self.kubectl("create", "--dry-run=client", "-o", "json", "-f", "-", input=text).stdout)

    def may(self, user, rights):
        """What the API server says of each of (verb, group, resource, name, namespace)."""
        reviews = []
        for verb, group, resource, name, namespace in rights:
            resource, _, sub = resource.partition("/")
            what = {"verb": verb, "group": group, "resource": resource, "subresource": sub}
            spec = {"user": user, "resourceAttributes": {**what, "name": name, "namespace": namespace}}
            reviews.append({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
        answers = documents(self.kubectl("create", "-o", "json", "-f", "-", input=text).stdout)
        return [answer["status"]["allowed"] for answer in answers]


def render(helm, case):
    """What is installed but for the definition and what is in the dashboard, most of it, which are compared elsewhere."""
    parts = re.split(r"^(?=---\n)", helm.template("-f", values(case)).stdout, flags=re.M)
    parts = [re.sub(r"\ndata:.*", "", part, flags=re.S) if "/dashboard.yaml\n" in part else part for part in parts]
    return "".join(part.rstrip("\n") + "\n" for part in parts if part and "/crds.yaml\n" not in part)


def documents(text):
    """One JSON document after the other."""
    found, at = [], 0
    while at < len(text.rstrip()):
        document, at = json.JSONDecoder().raw_decode(text, at)
        found += document["items"] if document["kind"] == "List" else [document]
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def values(case):
    return TESTS / f"cases/{case}.yaml"


@contextmanager
def written(text):
    """A file that holds the text."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        yield file.name


def run(*command, ok=True, **more):
    """ok: None takes a failure too."""
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **more)
    if ok and answer.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return answer


def parallel(function, items):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, items))


def eventually(condition):
    until = time.monotonic() + 30
    while not (done := condition()) and time.monotonic() < until:
        time.sleep(0.2)
    return done


def check(what, holds, detail=""):
    print(f"{'ok  ' if holds else 'FAIL'} {what}")
    if not holds:
        failures.append(what)
        if detail:
            print(detail.strip()[:4000])


def same(what, wanted, found):
    lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "wanted", "found", lineterm="")
    check(what, wanted == found, "\n".join(lines))


def snapshot(path, text):
    if UPDATE:
        path.write_text(text)
    same(f"snapshot {path.name} (else: hack/chart/test --update, and review)", path.read_text() if path.exists() else "", text)
