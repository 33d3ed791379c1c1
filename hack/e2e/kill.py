"""The leader ends in the middle of many changes: nothing is lost, and another takes over in time."""

import threading
from datetime import datetime

from installation import SYSTEM, permission
from means import Skip, check, eventually, run

NUMBER, BUSES = 200, 10
GRACEFUL, CRASH = 3, 20  # seconds that a takeover may take


def ended_in_order(e):
    """`kubectl delete pod`, as an eviction or an upgrade does it."""

    def end(pod):
        e.kubectl("delete", "pod", pod, "-n", SYSTEM, "--wait=false")

    return changes(e, "graceful", end, GRACEFUL)


def crashed(e):
    """SIGKILL to the process, which can't say anything any more."""
    if not e.cluster.ctr:
        raise Skip("the node's runtime can't be asked to kill a process; BUSGRANT_E2E_CTR says how to run its ctr")

    def end(pod):
        container = e.kubectl.get("pod", pod, "-n", SYSTEM)["status"]["containerStatuses"][0]["containerID"]
        run(
            *e.cluster.ctr,
            "-n",
            "k8s.io",
            "tasks",
            "kill",
            "--signal",
            "SIGKILL",
            container.removeprefix("containerd://"),
        )

    return changes(e, "crash", end, CRASH)


def changes(e, name, end, allowed):
    """200 new objects on ten buses, then an edit of each; the leader ends in the middle of the edits."""
    with e.team(name, BUSES) as buses:
        # Old ones, that only look the same, must not be taken for those of this step.
        first, second = ([f"{start + n:012}" for n in range(NUMBER)] for start in (100000000000, 200000000000))

        def objects(accounts):
            return [permission(name, f"p{n:03}", buses[n % BUSES], accounts[n]) for n in range(NUMBER)]

        e.kubectl.apply(*objects(first))
        e.all_ready(name, 180)
        lease, pod = e.leader()
        mark, transitions = e.sim.mark(), lease["spec"]["leaseTransitions"]
        editing = threading.Thread(target=e.kubectl.apply, args=objects(second))
        editing.start()
        eventually("a quarter of the writes is done", lambda: len(e.sim.writes(mark)) >= NUMBER // 2)
        ended = e.sim.now()
        end(pod)
        lease, successor = e.leader(other_than=lease["spec"]["holderIdentity"])
        editing.join()
        e.all_ready(name, 240)
        e.ready_pods(2)

        for number, bus in enumerate(buses):
            e.holds(bus, {(f"p{n:03}", second[n]) for n in range(NUMBER) if n % BUSES == number})
        acquired = datetime.fromisoformat(lease["spec"]["acquireTime"].replace("Z", "+00:00")).timestamp() * 1000
        writes = e.sim.writes(mark)
        # The successor writes nothing before it asked for the Lease, and the other nothing after it gave it up or was dead.
        before = [one["atMillis"] for one in writes if one["atMillis"] <= acquired]
        after = [one["atMillis"] for one in writes if one["atMillis"] > acquired]
        check(before and after, f"the leader must end in the middle: {len(before)} writes before, {len(after)} after")
        took, since = (after[0] - before[-1]) / 1000, (after[0] - ended) / 1000
        check(took <= allowed, f"the takeover may take {allowed} s between two writes and took {took:.1f} s")
        moved = lease["spec"]["leaseTransitions"] - transitions
        check(moved == 1, f"the Lease changed hands once, not {moved} times")
        return (
            f"{NUMBER} edits, {len(before)} writes by {pod[-5:]} and {len(after)} by {successor[-5:]}; takeover {took:.1f} s "
            f"from write to write, {since:.1f} s from the end; all Ready, {BUSES} policies exact, 1 Lease transition"
        )
