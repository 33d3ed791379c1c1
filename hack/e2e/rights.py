"""The controller's rights are the least that it needs: the API server's audit log says which it used."""

import json
from collections import Counter

from installation import SYSTEM
from means import Skip, check

USER = f"system:serviceaccount:{SYSTEM}:busgrant"


def minimal(e):
    """Every right was used in the steps before, and nothing was asked for that no right gives."""
    if not e.cluster.audit:
        raise Skip("there is no audit log; BUSGRANT_E2E_AUDIT_LOG names it")
    used, forbidden, others, excused = {}, {}, Counter(), 0
    for entry in entries(e.cluster.audit):
        reference = entry.get("objectRef") or {"resource": entry["requestURI"]}
        resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
        key = reference.get("apiGroup", ""), resource, entry["verb"]
        code = entry.get("responseStatus", {}).get("code", 0)
        if entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid":
            if e.excused(entry["requestReceivedTimestamp"]):
                excused += 1
            else:
                forbidden[key] = forbidden.get(key, 0) + 1
            continue
        codes = used.setdefault((*key, reference.get("name", "")), {})
        codes[code] = codes.get(code, 0) + 1
        if code in (401, 403):
            message = entry["responseStatus"].get("message", "")
            ending = "its namespace is being deleted" if "because it is being terminated" in message else message
            others[f"{code}: {key[2]} {key[0]}/{key[1]}, since {ending}"] += 1
    lines, unused = [], []
    for kind, group, resource, name, verb in e.rules:
        codes = {}
        for (a, b, c, named), found in used.items():
            if (a, b, c) == (group, resource, verb) and name in ("", named):
                for code, times in found.items():
                    codes[code] = codes.get(code, 0) + times
        said = ", ".join(f"{code}: {times}" for code, times in sorted(codes.items())) or "NEVER USED"
        lines.append(f"      {kind:12} {verb:7} {group or 'core'}/{resource}{f' {name}' if name else ''}  {said}")
        if not codes:
            unused.append(f"{verb} {group}/{resource} {name}")
    lines += [f"      not for want of a right, {times} times {said}" for said, times in others.items()]
    if excused:
        lines.append(f"      {excused} requests of Pods that ended after helm uninstall had taken their rights")
    table = "\n".join(lines)
    check(not forbidden, f"asked for without a right: {forbidden}", table)
    check(e.rules and not unused, f"rights that were never used: {unused}", table)
    return f"{len(e.rules)} rights, each used; nothing refused for want of one. Answers by code:\n{table}"


def entries(path):
    """One for each request; of a watch the last is taken, when it has ended or still goes on."""
    found = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry["user"]["username"] == USER:
            found[entry["auditID"]] = entry
    return found.values()
