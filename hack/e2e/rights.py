"""The controller's rights are the least that it needs: the API server's audit log says which it used."""

import json
from collections import Counter

from installation import SYSTEM, permission
from means import Skip, check, eventually
from simulator import ACCOUNT

USER = f"system:serviceaccount:{SYSTEM}:busgrant"


def minimal(e):
    """Every right was used in the steps before, and nothing was asked for that no right gives."""
    return proved(e, e.rules, "")


def in_namespaces(e):
    """The same of an installation that serves one namespace, with a Role in it; it leaves others alone."""
    need_audit(e)
    with e.team("served") as (bus,), e.team("beyond") as (other,):
        e.uninstall()
        since = e.now()
        e.install(controller__watchNamespaces=["served"], controller__owner="few")
        rules = e.rules
        e.kubectl.apply(permission("beyond", "a", other, "111122223333"))
        e.kubectl.apply(permission("served", "a", bus, "111122223333"))
        e.all_ready("served")
        (sid,) = e.sim.statements(bus)
        check(sid.startswith("bg-few-"), f"the Sid must say the owner: {sid}")
        for times in (1, 2):  # what happens again is counted in the event that there is
            e.sim.aws(ACCOUNT, "RemovePermission", EventBusName=bus, StatementId=sid)
            eventually(f"drift is repaired, {times}", lambda: sid in e.sim.statements(bus), 30)
            e.all_ready("served")
        eventually("the event is counted up", lambda: used(e, since, "patch", "events"), 30)
        e.kubectl("delete", "ebp", "a", "-n", "served", "--timeout=60s")
        (beyond,) = e.objects("beyond")
        check("finalizers" not in beyond["metadata"] and not e.sim.statements(other), "another namespace is left alone")
        said = proved(e, rules, since)
        e.uninstall()
        e.kubectl("delete", "lease", "busgrant-few", "-n", SYSTEM)
        e.install()
        e.all_ready("beyond")
    return said


def need_audit(e):
    if not e.cluster.audit:
        raise Skip("there is no audit log; BUSGRANT_E2E_AUDIT_LOG names it")


def used(e, since, verb, resource):
    found = [one for one in entries(e.cluster.audit, since) if one["verb"] == verb and key_of(one)[1] == resource]
    return [one for one in found if one["responseStatus"].get("code") == 200]


def proved(e, rules, since):
    """The table of these rights and what was answered to each since then. Fails if one was not used, or one was missing."""
    need_audit(e)
    answers, forbidden, others, excused = {}, Counter(), Counter(), 0
    for entry in entries(e.cluster.audit, since):
        key, code = key_of(entry), entry.get("responseStatus", {}).get("code", 0)
        if entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid":
            if e.excused(entry["requestReceivedTimestamp"]):
                excused += 1
            else:
                forbidden[key] += 1
            continue
        answers.setdefault((*key, (entry.get("objectRef") or {}).get("name", "")), Counter())[code] += 1
        if code in (401, 403):
            message = entry["responseStatus"].get("message", "")
            ending = "its namespace is being deleted" if "because it is being terminated" in message else message
            others[f"{code}: {key[2]} {key[0]}/{key[1]}, since {ending}"] += 1
    lines, unused = [], []
    for kind, group, resource, name, verb in rules:
        codes = Counter()
        for (*key, named), found in answers.items():
            if key == [group, resource, verb] and name in ("", named):
                codes += found
        said = ", ".join(f"{code}: {times}" for code, times in sorted(codes.items())) or "NEVER USED"
        lines.append(f"      {kind:12} {verb:7} {group or 'core'}/{resource}{f' {name}' if name else ''}  {said}")
        if not codes:
            unused.append(f"{verb} {group}/{resource} {name}")
    lines += [f"      not for want of a right, {times} times {said}" for said, times in others.items()]
    if excused:
        lines.append(f"      {excused} requests of Pods that ended after helm uninstall had taken their rights")
    table = "\n".join(lines)
    check(not forbidden, f"asked for without a right: {dict(forbidden)}", table)
    check(rules and not unused, f"rights that were never used: {unused}", table)
    return f"{len(rules)} rights, each used; nothing refused for want of one. Answers by code:\n{table}"


def key_of(entry):
    reference = entry.get("objectRef") or {"resource": entry["requestURI"]}
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    return reference.get("apiGroup", ""), resource, entry["verb"]


def entries(path, since):
    """One for each request after that time; of a watch the last, when it has ended or still goes on."""
    found = {}
    for line in path.read_text().rpartition("\n")[0].splitlines():  # the rest is still being written
        entry = json.loads(line)
        if entry["user"]["username"] == USER and entry["requestReceivedTimestamp"] >= since:
            found[entry["auditID"]] = entry
    return found.values()
