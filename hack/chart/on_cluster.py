"""What a cluster makes of the chart: a real API server, without nodes, so that no Pod runs."""

import itertools
import json
import re
import shutil
import tempfile
from pathlib import Path

from means import (
    CASES, CHART, CRD, NAMESPACE, ROOT, TESTS, check, eventually, parallel, render, run, same, snapshot, values,
)  # fmt: skip

CRD_FILE = "crds/busgrant.dev_eventbuspermissions.yaml"


def flags_are_values(helm, plane):
    """Every flag of the controller is an environment variable of the Pod, with the program's own default."""
    source = "".join((ROOT / f"src/cli/{file}.rs").read_text() for file in ("controller", "allowed"))
    found = re.findall(r'env = "(BUSGRANT_[A-Z_]+)"(?:.*?default_value(?:_t)? = (?:"([^"]*)"|([^",)]*)))?', source)
    flags = {name: text or bare for name, text, bare in found}
    check("flags are found in the source", len(flags) > 10, str(flags))
    every, default = (environment(helm, plane, case) for case in ("everything", "defaults"))
    ours = {name for name in every if name.startswith("BUSGRANT_")}
    check("every flag is a value, and nothing else", set(flags) == ours, str(set(flags) ^ ours))
    # Where a Pod differs from a shell: it serves probes, there may be several, and its log is read by machines.
    meant = {"BUSGRANT_METRICS_ADDR", "BUSGRANT_LEADER_ELECT", "BUSGRANT_LOG_FORMAT"}
    other = {
        name: (said, default.get(name, ""))
        for name, said in flags.items()
        if name not in meant and re.sub(r"(?<=\d)_(?=\d)", "", said) != default.get(name, "")
    }
    check("defaults are the program's", not other, str(other))
    unset = [name for name in ours if every[name] == default.get(name) and name != "BUSGRANT_LEADER_ELECT"]
    check("the case everything changes every flag", not unset, str(unset))


def environment(helm, plane, case):
    (deployment,) = [one for one in plane.objects(render(helm, case)) if one["kind"] == "Deployment"]
    entries = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    check(f"{case}: no variable twice", len({entry["name"] for entry in entries}) == len(entries))
    return {entry["name"]: entry.get("value") for entry in entries}


def definition_is_the_generated_one(helm, plane):
    source = plane.objects((ROOT / CRD_FILE).read_text())[0]
    for case, kept in (("defaults", True), ("everything", False)):
        (rendered,) = plane.objects(helm.template("-f", values(case), "-s", "templates/crds.yaml").stdout)
        check(f"{case}: the definition is the generated one", rendered["spec"] == source["spec"])
        annotations = rendered["metadata"].get("annotations", {})
        policy = annotations.get("helm.sh/resource-policy"), annotations.get("argocd.argoproj.io/sync-options")
        check(f"{case}: kept: {kept}", policy == (("keep", "Prune=false") if kept else (None, None)), str(annotations))


def rights_are_those_that_were_proved(helm, plane):
    """The same as deploy/busgrant.yaml, with which the controller was run."""

    def rules(objects):
        rights = set()
        for one in objects:
            for rule in one.get("rules", []) if one["metadata"]["name"] in ("busgrant", "busgrant-lease") else []:
                parts = rule["apiGroups"], rule["resources"], rule.get("resourceNames", [""]), rule["verbs"]
                rights |= {(one["kind"], *right) for right in itertools.product(*parts)}
        return rights

    proved = rules(plane.objects((ROOT / "deploy/busgrant.yaml").read_text()))
    ours = rules(plane.objects(render(helm, "defaults")))
    check("the rights are those of deploy/busgrant.yaml", proved == ours and len(ours) > 10, str(proved ^ ours))


def api_server_takes_it(helm, plane):
    """Under Pod Security restricted, and without a warning."""
    for case in CASES:
        text = helm.template("-f", values(case)).stdout
        answer = plane.kubectl(
            "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
            "--warnings-as-errors", "-f", "-", input=text, ok=None,
        )  # fmt: skip
        check(f"{case}: the API server takes it", answer.returncode == 0, answer.stderr)


def release_is_taken(helm, plane):
    """What a release brings for those without Helm: it names the image, and needs no editing."""
    version = run(ROOT / "hack/release", "version").stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        run(ROOT / "hack/release", "manifests", folder)
        released = Path(folder)
        names = sorted(path.name for path in released.iterdir())
        wanted = [f"busgrant-{version}.tgz", "crds.yaml", "install.yaml"]
        check("a release has these manifests", names == wanted, str(names))
        text = (released / "install.yaml").read_text()
        definition = (released / "crds.yaml").read_text()
        packed = helm.template("-f", values("defaults"), chart=released / f"busgrant-{version}.tgz").stdout
    same("the release's chart is this one", helm.template("-f", values("defaults")).stdout, packed)
    check("crds.yaml is the definition", plane.objects(definition) == plane.objects((ROOT / CRD_FILE).read_text()))
    found = {(one["kind"], one["metadata"]["name"]): one for one in plane.objects(text)}
    namespace = found["Namespace", NAMESPACE]
    check("install.yaml makes the namespace", "restricted" in str(namespace["metadata"]["labels"]))
    check("install.yaml has the definition", ("CustomResourceDefinition", CRD) in found)
    pod = found["Deployment", "busgrant"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    check("install.yaml names the image", container["image"] == f"ghcr.io/busgrant/busgrant:{version}", container["image"])
    told = container["envFrom"] == [{"configMapRef": {"name": "busgrant-settings"}}]
    kept = {entry["name"] for entry in container["env"]} & {"AWS_REGION", "BUSGRANT_ACCOUNT_ID"}
    check("install.yaml takes Region and account from a ConfigMap", told and not kept, str(container))
    answer = plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--warnings-as-errors",
        "-f", "-", input=text, ok=None,
    )  # fmt: skip
    check("the API server takes install.yaml", answer.returncode == 0, answer.stderr)


def notes_are_as_reviewed(helm, plane):
    def notes(case):
        answer = helm(
            "install", "busgrant", CHART, "-n", NAMESPACE, "-f", values(case), "--dry-run=client", "--take-ownership",
            "-o", "json", kubeconfig=plane.kubeconfig,
        )  # fmt: skip
        return json.loads(answer.stdout)["info"]["notes"].strip() + "\n"

    for case, text in zip(CASES, parallel(notes, CASES)):
        if helm.major == "v4":
            snapshot(TESTS / f"snapshots/{case}.txt", text)
        else:
            same(f"{case}: the notes, {helm.major}", (TESTS / f"snapshots/{case}.txt").read_text(), text)


def lives(helm, plane):
    """Installed, upgraded, uninstalled, installed again; the definition and the objects stay."""

    def install(*flags, command="install", chart=CHART, ok=True):
        release = "busgrant", chart, "-n", NAMESPACE, "-f", values("defaults")
        return helm(command, *release, *flags, kubeconfig=plane.kubeconfig, ok=ok)

    def get(*what):
        return json.loads(plane.kubectl("get", *what, "-o", "json").stdout)

    def told(what):
        return f"{what}, {helm.major}"

    def state():
        replicas = get("deployment", "busgrant", "-n", NAMESPACE)["spec"]["replicas"]
        return replicas, "The Region of the bus." in json.dumps(get("crd", CRD))

    plane.apply_definition()
    answer = install(ok=None)
    refused = answer.returncode != 0 and "cannot be imported" in answer.stderr
    check(told("a definition of somebody else's isn't taken"), refused, answer.stderr)
    install("--take-ownership")
    permission = (
        "apiVersion: busgrant.dev/v1alpha1\nkind: EventBusPermission\nmetadata: {name: a, namespace: team-a}\n"
        "spec: {eventBus: {name: orders}, statements: [{name: a, principals: {accountIDs: ['111122223333']}}]}\n"
    )
    plane.kubectl("apply", "-f", "-", input=permission)
    uid = get("ebp", "a", "-n", "team-a")["metadata"]["uid"]

    for way in ("--server-side=false", "--server-side"):
        manifests = helm.template("-f", values("defaults")).stdout
        diff = plane.kubectl("diff", way, "-f", "-", input=manifests, ok=None)
        check(told(f"what is installed is what is in Git, kubectl diff {way}"), diff.returncode == 0, diff.stdout + diff.stderr)

    account = f"system:serviceaccount:{NAMESPACE}:busgrant"
    may = [
        ("list", "busgrant.dev", "eventbuspermissions", "", "team-b"),
        ("patch", "busgrant.dev", "eventbuspermissions/status", "", "team-b"),
        ("create", "events.k8s.io", "events", "", "team-b"),
        ("get", "apiextensions.k8s.io", "customresourcedefinitions", CRD, ""),
        ("get", "", "namespaces", "kube-system", ""),
        ("update", "coordination.k8s.io", "leases", "busgrant-x", NAMESPACE),
    ]
    may_not = [
        ("delete", "busgrant.dev", "eventbuspermissions", "", "team-b"),
        ("get", "apiextensions.k8s.io", "customresourcedefinitions", "other", ""),
        ("get", "", "namespaces", "team-b", ""),
        ("get", "", "secrets", "", NAMESPACE),
        ("update", "coordination.k8s.io", "leases", "busgrant-x", "team-b"),
    ]
    check(told("the controller may what it needs"), plane.may(account, may) == [True] * len(may))
    check(told("and nothing beyond"), plane.may(account, may_not) == [False] * len(may_not))
    aggregated(plane, told)

    with tempfile.TemporaryDirectory() as folder:
        newer = Path(folder) / "busgrant"
        shutil.copytree(CHART, newer)
        for path in (newer / "files/crds").iterdir():
            path.write_text(path.read_text().replace("The Region of the event bus.", "The Region of the bus."))
        # kubectl holds the fields of the definition that it applied, until somebody takes them by force.
        force = ["--force-conflicts"] if helm.major == "v4" else []
        install("--set", "replicaCount=3,controller.log=debug", *force, command="upgrade", chart=newer)
    check(told("an upgrade changes the Deployment and the definition"), state() == (3, True))
    helm("rollback", "busgrant", "1", "-n", NAMESPACE, kubeconfig=plane.kubeconfig)
    check(told("a rollback takes both back"), state() == (2, False))

    def uninstall():
        helm("uninstall", "busgrant", "-n", NAMESPACE, kubeconfig=plane.kubeconfig)
        left = plane.kubectl(
            "get", "deployment,service,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding,pdb", "-A",
            "-l", "app.kubernetes.io/instance=busgrant", "-o", "name",
        ).stdout  # fmt: skip
        check(told("uninstall leaves nothing else"), left == "", left)
        same_object = get("ebp", "a", "-n", "team-a")["metadata"]["uid"] == uid
        check(told("uninstall leaves definition and objects"), same_object)

    uninstall()
    install()
    uninstall()
    install("--set", "crds.keep=false")
    plane.kubectl("delete", "ebp", "a", "-n", "team-a")
    helm("uninstall", "busgrant", "-n", NAMESPACE, kubeconfig=plane.kubeconfig)
    gone = eventually(lambda: plane.kubectl("get", "crd", CRD, ok=None).returncode != 0)
    check(told("without crds.keep the definition goes too"), gone)


def aggregated(plane, told):
    def verbs(role):
        rules = json.loads(plane.kubectl("get", "clusterrole", role, "-o", "json").stdout).get("rules") or []
        return {verb for rule in rules if "busgrant.dev" in rule.get("apiGroups", []) for verb in rule["verbs"]}

    read = {"get", "list", "watch"}
    roles = ("view", "edit", "admin")
    readable = eventually(lambda: all(verbs(role) >= read for role in roles))
    check(told("view, edit and admin may read objects"), readable)
    check(told("and no more by default"), all(verbs(role) == read for role in roles))
