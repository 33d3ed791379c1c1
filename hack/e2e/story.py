"""What a user sees of it, from nothing to nothing."""

from installation import SYSTEM, permission
from means import ROOT, check, condition, eventually
from simulator import ACCOUNT


def installed(e):
    """Two Pods where Pod Security is enforced; one leads."""
    answer = e.kubectl("run", "any", "--image=any", "-n", SYSTEM, "--dry-run=server", ok=None)
    check(
        "violates PodSecurity" in answer.stderr,
        "the namespace must refuse a Pod that says nothing of security",
        answer.stderr,
    )
    pods = e.ready_pods(2)
    for one in pods:
        spec = one["spec"]["securityContext"]
        check((spec["runAsUser"], spec["runAsNonRoot"]) == (65532, True), f"runs as {spec}")
    check(e.restarts() == 0, "no container was restarted", str(e.restarts()))
    lease, leader = e.leader()
    for one in pods:
        name = one["metadata"]["name"]
        path = f"/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/readyz"
        right = "leader" if name == leader else "standby"
        eventually(f"{name} says {right}", lambda: e.kubectl("get", "--raw", path).stdout.strip() == right)
    images = {one["status"]["containerStatuses"][0]["imageID"] for one in pods}
    check(len(images) == 1, f"one image: {images}")
    return f"2 Pods Ready under Pod Security restricted as user 65532, leader and standby of {lease['metadata']['name']}"


def story(e):
    """Applied, edited, repaired, deleted; others' statements stay."""
    sim, kubectl = e.sim, e.kubectl
    sim.create_bus("orders")
    status, said = sim.aws(
        ACCOUNT, "PutPermission", EventBusName="orders", StatementId="console-partner", Action="events:PutEvents",
        Principal="999988887777",
    )  # fmt: skip
    check(status == 200, f"PutPermission: {said}")
    foreign = sim.statements("orders")["console-partner"]
    check(not sim.accepts("111122223333", "orders"), "before its grant an account must be denied")

    e.namespace("billing")
    kubectl("apply", "-f", ROOT / "examples")
    kubectl("wait", "--for=condition=Ready", "--timeout=60s", "--all", "ebp", "-n", "billing")
    check(len(sim.statements("orders")) == 8, "seven statements and the foreign one", str(sim.statements("orders")))
    check(sim.accepts("111122223333", "orders"), "the granted account must be accepted")
    check(not sim.accepts("777788889999", "orders"), "another account must be denied")

    kubectl.apply(permission("billing", "billing", "orders", "666677778888", "invoices"))
    kubectl("wait", "--for=condition=Ready", "--timeout=60s", "ebp/billing", "-n", "billing")
    # A wait may see the status of before the edit: the generation tells.
    eventually("the edit is served", lambda: ready(e, "billing", "billing"))
    check(sim.accepts("666677778888", "orders"), "the new account must be accepted")
    check(not sim.accepts("111122223333", "orders"), "the old account must be denied")

    (sid,) = [sid for sid in sim.statements("orders") if sid.endswith("-invoices-666677778888")]
    sim.aws(ACCOUNT, "RemovePermission", EventBusName="orders", StatementId=sid)
    eventually("drift is repaired", lambda: sid in sim.statements("orders"), 30)
    events = ["events", "-n", "billing", "--field-selector=reason=DriftCorrected"]
    eventually("an event says so", lambda: kubectl.items(*events), 30)

    kubectl("delete", "--timeout=60s", "-f", ROOT / "examples")
    left = sim.statements("orders")
    check(left["console-partner"] == foreign, "the foreign statement must be as it was", str(left))
    retained = [sid for sid in left if sid.endswith("-analytics-rules")]
    check(len(left) == 2 and retained, "only it and the retained statement must be left", str(left))
    kubectl("delete", "namespace", "billing", "--timeout=60s")
    return "examples applied, Ready, PutEvents accepted and denied, edited, drift repaired, deleted; foreign one untouched"


def ready(e, namespace, name):
    return condition(e.kubectl.get("ebp", name, "-n", namespace), "Ready").get("status") == "True"


def namespace(e):
    """A namespace that is deleted with its permissions goes, and so do they."""
    with e.team("leaving") as (bus,), e.team("staying"):
        e.kubectl.apply(*(permission("leaving", f"p{n}", bus, f"1111222233{n:02}") for n in range(10)))
        e.kubectl.apply(permission("staying", "stays", bus, "999988887777"))
        e.all_ready("leaving")
        e.all_ready("staying")
        check(len(e.sim.statements(bus)) == 11, "11 statements before")
        e.kubectl("delete", "namespace", "leaving", "--timeout=120s")
        check(e.kubectl.get("namespace", "leaving") is None, "the namespace must be gone")
        e.holds(bus, {("stays", "999988887777")})
        e.namespace("leaving")  # for the end of this step
    return "10 permissions and their namespace gone, their statements removed, another namespace's on the same bus kept"


def without_credentials(e):
    """The Pods stay up and ready, and objects say what is missing; with credentials they become Ready without a restart."""
    with e.team("poor", 2) as buses:
        e.install()
        e.kubectl.apply(permission("poor", "before", buses[0], "111122223333"))
        e.all_ready("poor")
        e.install(credentials=False)
        mark = e.sim.mark()
        e.kubectl.apply(permission("poor", "after", buses[1], "111122223333"))

        def says():
            said = [condition(one, "Ready") for one in e.objects("poor")]
            good = [
                one for one in said if one.get("status") != "True" and one.get("reason") == "CredentialsUnavailable"
            ]
            return said if len(said) == len(good) == 2 else None

        said = eventually("both objects say CredentialsUnavailable", says, 150)
        check(all("credentials" in one["message"] for one in said), "the message says what is missing", str(said))
        e.ready_pods(2)
        check(e.restarts() == 0, "no container was restarted")
        check(not e.sim.writes(mark), "nothing is written without credentials")
        e.holds(buses[0], {("before", "111122223333")})
        e.install()
        e.all_ready("poor")
        e.holds(buses[1], {("after", "111122223333")})
    message = said[0]["message"].split(". ")[0]
    return f"2 Pods Ready without credentials, no restart, no writes; objects say: {message}"
