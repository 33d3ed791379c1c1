"""The life of the release: upgraded, rolled back, uninstalled, installed again, its definition deleted."""

import json
import shutil
import tempfile
from pathlib import Path

from installation import SYSTEM, permission
from means import CHART, CRD, check, condition, eventually
from simulator import told

OLD, NEW = "The Region of the event bus.", "The Region of the bus."


def upgraded(e):
    """New values and a new definition, while changes come; and back."""
    with e.team("upgrade") as (bus,), tempfile.TemporaryDirectory() as folder:
        e.install()
        e.kubectl.apply(permission("upgrade", "before", bus, "111122223333"))
        e.all_ready("upgrade")
        mark, revision = e.sim.mark(), history(e)[-1]["revision"]
        newer = Path(folder) / "busgrant"
        shutil.copytree(CHART, newer)
        for path in (newer / "files/crds").iterdir():
            path.write_text(path.read_text().replace(OLD, NEW))
        e.release(newer, replicaCount=3, controller__log="debug")
        e.kubectl.apply(permission("upgrade", "during", bus, "222233334444"))
        e.rolled_out()
        e.ready_pods(3)
        check(definition(e) == NEW, "the upgrade must change the definition")
        e.all_ready("upgrade")
        e.helm("rollback", "busgrant", str(revision), "-n", SYSTEM)
        e.rolled_out()
        e.ready_pods(2)
        check(definition(e) == OLD, "the rollback must take the definition back")
        e.kubectl.apply(permission("upgrade", "after", bus, "333344445555"))
        e.all_ready("upgrade")
        e.holds(bus, {("before", "111122223333"), ("during", "222233334444"), ("after", "333344445555")})
        writes = e.sim.writes(mark)
        check(len(writes) == 2, "only what was new may be written", told(writes))
    return "values and definition upgraded to 3 Pods and back to 2; a change in each was served; 2 writes for 2 objects"


def history(e):
    return json.loads(e.helm("history", "busgrant", "-n", SYSTEM, "-o", "json").stdout)


def definition(e):
    text = json.dumps(e.kubectl.get("crd", CRD))
    return NEW if NEW in text else OLD if OLD in text else None


def uninstalled(e):
    """What is left is exactly what was granted, and who is installed again finds it."""
    with e.team("uninstall") as (bus,):
        wanted = {(f"p{n}", f"1111222233{n:02}") for n in range(5)}
        e.kubectl.apply(*(permission("uninstall", name, bus, account) for name, account in sorted(wanted)))
        e.all_ready("uninstall")
        uids = uids_of(e, "uninstall")
        policy, mark = e.sim.statements(bus), e.sim.mark()
        e.uninstall()
        check(uids_of(e, "uninstall") == uids, "the objects must be left")
        check(e.sim.statements(bus) == policy, "the statements must be left")
        roles = "deployment,service,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding,pdb"
        left = e.kubectl("get", roles, "-A", "-l", "app.kubernetes.io/instance=busgrant", "-o", "name").stdout
        check(left == "", "nothing else may be left", left)
        e.install()
        e.leader()
        e.sim.looked_over(mark)
        check(not e.sim.writes(mark), "nothing may be written", told(e.sim.writes(mark)))
        looked_through(e, "uninstall", bus, mark, policy)
    return "definition, 5 objects and 5 statements left, and nothing else; installed again: 0 writes to own them"


def looked_through(e, namespace, bus, mark, policy):
    """One flight serves all objects of a bus: once one more is Ready, the others have been planned too."""
    e.kubectl.apply(permission(namespace, "probe", bus, "999900001111"))
    e.all_ready(namespace, 150)
    writes = e.sim.writes(mark)
    put = [one["input"]["StatementId"] for one in writes if one["operation"] == "PutPermission"]
    check(
        len(writes) == len(put) == 1 and put[0].endswith("-probe-999900001111"),
        "only the probe may be written",
        told(writes),
    )
    now = e.sim.statements(bus)
    check({sid: now.get(sid) for sid in policy} == policy, "the statements must be as they were")


def uids_of(e, namespace):
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in e.objects(namespace)}


def definition_deleted(e):
    """A mistake that must not revoke everything."""
    with e.team("mistake") as (bus,):
        objects = [permission("mistake", f"p{n}", bus, f"1111222233{n:02}") for n in range(5)]
        e.kubectl.apply(*objects)
        e.all_ready("mistake")
        policy, mark = e.sim.statements(bus), e.sim.mark()
        e.kubectl("delete", "crd", CRD, "--timeout=90s")
        check(e.kubectl.get("crd", CRD) is None, "the definition must be gone")
        check(e.sim.statements(bus) == policy, "the statements must be left")
        e.install()

        def established():
            return condition(e.kubectl.get("crd", CRD) or {"metadata": {}}, "Established").get("status") == "True"

        eventually("the definition is there again", established)
        e.ready_pods(2)
        e.kubectl.apply(*objects)
        e.all_ready("mistake", 180)
        check(not e.sim.writes(mark), "nothing may be written", told(e.sim.writes(mark)))
        looked_through(e, "mistake", bus, mark, policy)
        e.holds(bus, {(f"p{n}", f"1111222233{n:02}") for n in range(5)} | {("probe", "999900001111")})
    return "kubectl delete crd took 5 objects and no statement; created again they own theirs, 0 writes"
