"""The release that the steps work on, and the objects of its users."""

import json
import re
from contextlib import contextmanager
from datetime import datetime, timezone

from means import CHART, CRD, Failure, Helm, check, condition, eventually, run
from simulator import ACCOUNT, NAMESPACE, REGION, Simulator

SYSTEM = "busgrant-system"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
CREDENTIALS = f"[default]\naws_access_key_id = {ACCOUNT}\naws_secret_access_key = none\n"
LABEL = "busgrant.dev/e2e"
PODS = ["-n", SYSTEM, "-l", "app.kubernetes.io/instance=busgrant"]


class Installation:
    def __init__(self, cluster, helm: Helm):
        self.cluster, self.kubectl, self.helm = cluster, cluster.kubectl, helm
        self.sim = Simulator(cluster)
        self.rules = []  # of the controller's roles, as they were installed
        self.without_rights = []  # when the release was being taken away, Pods may outlive their rights

    def prepare(self):
        for name in (SYSTEM, NAMESPACE):
            self.namespace(name)
        self.sim.install()
        secret = {"metadata": {"name": "aws", "namespace": SYSTEM}, "stringData": {"credentials": CREDENTIALS}}
        self.kubectl.apply({"apiVersion": "v1", "kind": "Secret", **secret})

    # The release

    def values(self, credentials=True, **more):
        repository, _, tag = self.cluster.image.rpartition(":")
        # Where there may be a metadata service of the cloud's, its credentials are none of this test's.
        off = [{"name": "AWS_EC2_METADATA_DISABLED", "value": "true"}] if self.cluster.stays else []
        values = {
            "image": {"repository": repository, "tag": tag},
            "controller": {"accountID": ACCOUNT, "sweepInterval": "2s"},
            "aws": {"region": REGION, "endpointURL": self.sim.endpoint()},
            "extraEnv": off,
        }
        if "@" in repository:
            values["image"] = dict(zip(("repository", "digest"), self.cluster.image.split("@")))
        if credentials:
            values["aws"]["credentialsSecret"] = {"name": "aws"}
        for path, value in more.items():
            inner = values
            *keys, last = path.split("__")
            for key in keys:
                inner = inner.setdefault(key, {})
            inner[last] = value
        return values

    def install(self, chart=CHART, **values):
        """Or upgrade; until the Pods are ready."""
        self.release(chart, **values)
        self.rolled_out()
        self.rules = self.rules_of_roles()

    def release(self, chart=CHART, **values):
        text = json.dumps(self.values(**values))
        self.helm("upgrade", "--install", "busgrant", chart, "-n", SYSTEM, "-f", "-", input=text)

    def rolled_out(self):
        self.kubectl("rollout", "status", "deployment/busgrant", "-n", SYSTEM, "--timeout=180s")

    def uninstall(self):
        start = datetime.now(timezone.utc)
        self.helm("uninstall", "busgrant", "-n", SYSTEM)
        eventually("the Pods go", lambda: not self.kubectl.items("pods", *PODS), 90)
        self.without_rights.append((start, datetime.now(timezone.utc)))

    @staticmethod
    def now():
        """As the audit log writes it."""
        return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def excused(self, stamp):
        when = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        return any(start <= when <= end for start, end in self.without_rights)

    def end(self):
        """A cluster that stays is left as it was found."""
        if self.cluster.stays:
            self.helm("uninstall", "busgrant", "-n", SYSTEM, "--ignore-not-found", ok=None)
            self.kubectl("delete", "crd", CRD, "--ignore-not-found", "--timeout=60s", ok=None)
            self.kubectl("delete", "namespace", "-l", LABEL, "--timeout=120s", ok=None)
        self.sim.close()

    def pods(self):
        """Those that are not about to go."""
        return [pod for pod in self.kubectl.items("pods", *PODS) if not pod["metadata"].get("deletionTimestamp")]

    def ready_pods(self, number):
        def ready():
            pods = self.pods()
            good = [pod for pod in pods if condition(pod, "Ready").get("status") == "True"]
            return pods if len(good) == len(pods) == number else None

        return eventually(f"{number} Pods are Ready", ready, 120)

    def restarts(self):
        return sum(one["restartCount"] for pod in self.pods() for one in pod["status"].get("containerStatuses", []))

    def lease(self):
        found = [
            one for one in self.kubectl.items("leases", "-n", SYSTEM) if one["metadata"]["name"].startswith("busgrant-")
        ]
        return found[0] if found else None

    def owner(self):
        return self.lease()["metadata"]["name"].removeprefix("busgrant-")

    def leader(self, other_than=None):
        """Waits for a holder of the Lease; gives the Lease and the name of the Pod."""

        def held():
            lease = self.lease()
            holder = (lease or {"spec": {}})["spec"].get("holderIdentity")
            if not holder or holder == other_than:
                return None
            pod = holder.split("_")[0]
            return (lease, pod) if self.kubectl.get("pod", pod, "-n", SYSTEM) else None

        return eventually("a Pod holds the Lease", held, 60)

    def rules_of_roles(self):
        """(kind of role, group, resource, name, verb) of all that the controller may."""
        rules = set()
        for kind in ("clusterrole", "role"):
            for role in self.kubectl.items(kind, "-A", "-l", "app.kubernetes.io/instance=busgrant"):
                if role["metadata"]["name"] in ("busgrant-view", "busgrant-edit"):
                    continue  # for people
                for rule in role["rules"]:
                    for group in rule["apiGroups"]:
                        for resource in rule["resources"]:
                            for name in rule.get("resourceNames", [""]):
                                rules |= {(role["kind"], group, resource, name, verb) for verb in rule["verbs"]}
        return sorted(rules)

    # What its users have

    def namespace(self, name):
        labels = {**RESTRICTED, LABEL: ""}
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    @contextmanager
    def team(self, name, buses=1):
        """A namespace and buses of one step, gone after it, so that steps share nothing."""
        self.namespace(name)
        names = [f"{name}-{number}" for number in range(buses)]
        for bus in names:
            self.sim.create_bus(bus)
        yield names
        self.kubectl("delete", "namespace", name, "--timeout=120s")

    def objects(self, namespace):
        return self.kubectl.items("ebp", "-n", namespace)

    def all_ready(self, namespace, seconds=120):
        def ready():
            objects = self.objects(namespace)
            not_yet = [one for one in objects if condition(one, "Ready").get("status") != "True"]
            if not_yet:
                raise Failure(
                    f"{len(not_yet)} are not, such as {not_yet[0]['metadata']['name']}: {conditions(not_yet[0])}"
                )
            return objects

        return eventually(f"all permissions in {namespace} are Ready", ready, seconds)

    def holds(self, bus, wanted, namespace=None):
        """The bus has exactly these (name, account) of ours, each granting just that account, and what others put there."""
        found, owner = {}, self.owner()
        for sid, statement in self.sim.statements(bus).items():
            ours = re.fullmatch(rf"bg-{owner}-[a-z2-7]{{12}}-(.+)-(\d{{12}})", sid)
            if ours:
                found[ours[1], ours[2]] = statement["Principal"], statement["Action"], statement["Effect"]
        lacks, more = set(wanted) - set(found), set(found) - set(wanted)
        check(
            not lacks and not more,
            f"{bus}: {len(lacks)} statements are missing and {len(more)} too many",
            f"{lacks} {more}",
        )
        for (name, account), said in found.items():
            right = {"AWS": f"arn:aws:iam::{account}:root"}, "events:PutEvents", "Allow"
            check(said == right, f"{bus}: {name} for {account} is {said}")
        return len(found)

    # When something is not as it must be

    def tell(self, out):
        def part(title, *command):
            answer = run(self.kubectl.program, *command, env=self.kubectl.environment, ok=None, timeout=30)
            print(f"\n== {title}\n{answer.stdout[-6000:]}{answer.stderr[-500:]}", file=out)

        part("Pods", "get", "pods", "-A", "-o", "wide")
        part("events", "get", "events", "-n", SYSTEM, "--sort-by=.lastTimestamp")
        not_ready = [one for one in self.kubectl.items("ebp", "-A") if condition(one, "Ready").get("status") != "True"]
        print(f"\n== {len(not_ready)} permissions are not Ready", file=out)
        for one in not_ready[:5]:
            print(f"{one['metadata']['namespace']}/{one['metadata']['name']}: {conditions(one)}", file=out)
        for pod in self.kubectl.items("pods", *PODS):
            name = pod["metadata"]["name"]
            part(f"log of {name}", "logs", name, "-n", SYSTEM, "--tail=40")
            if any(one["restartCount"] for one in pod["status"].get("containerStatuses", [])):
                part(f"log of {name} before", "logs", name, "-n", SYSTEM, "--tail=20", "--previous")


def permission(namespace, name, bus, account, statement=None, **more):
    statement = {"name": statement or name, "principals": {"accountIDs": [account]}}
    return {
        "apiVersion": "busgrant.dev/v1alpha1",
        "kind": "EventBusPermission",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"eventBus": {"name": bus}, "statements": [statement], **more},
    }


def conditions(thing):
    found = thing.get("status", {}).get("conditions", [])
    return (
        "; ".join(f"{one['type']}={one['status']} {one['reason']}: {one['message']}" for one in found)
        or "no conditions"
    )
