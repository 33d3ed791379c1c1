"""What Argo CD and Flux are told of an EventBusPermission: Lua, with no more libraries than Argo CD has, and CEL."""

import json
import re
import textwrap
from datetime import datetime, timezone

from means import ROOT, check, run, same, written

FOLDER = ROOT / "deploy/argocd"
PAGE = "docs/gitops.md"
# Argo CD opens the base and table libraries, and of `os` the time, where it is required.
SANDBOX = """
local write = io.write
package.loaded.os = {time = os.time, date = os.date}
os, io, string, math, debug, coroutine, channel, dofile, loadfile = nil, nil, nil, nil, nil, nil, nil, nil, nil
"""
# Tables as JSON, with keys in order.
TELL = """
local function tell(value)
  if type(value) == "table" then
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys)
    write("{")
    for at, key in ipairs(keys) do
      write(at > 1 and ', "' or '"', key, '": ')
      tell(value[key])
    end
    write("}")
  elseif type(value) == "string" then write('"', value, '"')
  else write(tostring(value)) end
end
"""


def answer(tools, script, thing):
    """What a script returns for an object."""
    call = f"{SANDBOX}{TELL}local function script(obj)\n{script}end\ntell(script({lua(thing)}))\n"
    with written(call) as file:
        return json.loads(run(tools / "glua", file).stdout)


def lua(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{json.dumps(key)}] = {lua(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(lua, value)) + "}"
    return json.dumps(value)


def text(path):
    return (FOLDER / path).read_text()


def page_has_the_files():
    """The piece of argocd-cm in the page is made of the files of deploy/argocd."""
    actions = ["reconcile", "pause", "resume"]
    present = sorted(path.parent.name for path in FOLDER.glob("actions/*/action.lua"))
    check("deploy/argocd has these actions", present == sorted(actions), str(present))
    wanted = "  resource.customizations.health.busgrant.dev_EventBusPermission: |\n" + indented("health.lua", 4)
    wanted += "  resource.customizations.actions.busgrant.dev_EventBusPermission: |\n"
    wanted += "    discovery.lua: |\n" + indented("actions/discovery.lua", 6) + "    definitions:\n"
    for action in actions:
        wanted += f"    - name: {action}\n      action.lua: |\n" + indented(f"actions/{action}/action.lua", 8)
    block = re.search(r"^# argocd-cm\ndata:\n(.*?)^```", (ROOT / PAGE).read_text(), re.M | re.S)
    same(f"{PAGE} has the files of deploy/argocd", wanted, block[1] if block else "")


def indented(path, depth):
    return textwrap.indent(text(path), " " * depth)


def health_is_as_documented(tools):
    """On statuses as the controller writes them."""

    def true(*kinds):
        return [{"type": kind, "status": "True", "message": kind} for kind in kinds]

    def ready(status):
        return [{"type": "Ready", "status": status, "message": "Ready"}]

    expressions = flux_expressions()
    waits = "Progressing", "inProgress"
    working = true("Reconciling")
    for state, status, argo, flux in [
        ("before anybody looked", {"observedGeneration": -1}, *waits),
        ("edited since", {"observedGeneration": 1, "conditions": true("Ready")}, *waits),
        ("edited since, and stalled", {"observedGeneration": 1, "conditions": true("Stalled")}, *waits),
        ("at work", {"observedGeneration": 2, "conditions": ready("Unknown") + working}, *waits),
        ("tried again", {"observedGeneration": 2, "conditions": ready("False") + working}, *waits),
        ("in sync", {"observedGeneration": 2, "conditions": true("Accepted", "Synced", "Ready")}, "Healthy", "current"),
        ("stalled", {"observedGeneration": 2, "conditions": ready("False") + true("Stalled")}, "Degraded", "failed"),
        ("paused, and different", {"observedGeneration": 2, "conditions": ready("False")}, "Degraded", "failed"),
    ]:
        thing = {"metadata": {"generation": 2}, "status": status}
        said = answer(tools, text("health.lua"), thing)
        right = said["status"] == argo and said["message"]
        check(f"Argo CD's health of an object {state}: {argo}", right, str(said))
        # One alone holds, so that their order is no matter.
        holds = [name for name, value in zip(expressions, evaluate(tools, expressions.values(), thing)) if value]
        check(f"Flux's health of an object {state}: {flux}", holds == [flux], str(holds))
    said = answer(tools, text("health.lua"), {"metadata": {"generation": 2}})
    check("Argo CD's health of an object without a status: Progressing", said["status"] == "Progressing", str(said))


def flux_expressions():
    """Those of the page."""
    block = re.search(r"^ {2}healthCheckExprs:\n(.*?)^```", (ROOT / PAGE).read_text(), re.M | re.S)[1]
    found = re.findall(r'^ {4}(inProgress|failed|current): (?:"(.*)"|>-\n((?: {6}.*\n)+))', block, re.M)
    expressions = {name: " ".join((plain or folded).split()) for name, plain, folded in found}
    known = ["inProgress", "failed", "current"]
    check(f"{PAGE} has expressions for Flux", list(expressions) == known, str(expressions))
    return expressions


def evaluate(tools, expressions, thing):
    every = "[" + ", ".join(expressions) + "]"
    return json.loads(run(tools / "cel", "--output", "json", "--context", json.dumps(thing), every).stdout)


def actions_do_what_they_say(tools):
    def annotated(annotations):
        return {"metadata": {"name": "a", **({} if annotations is None else {"annotations": annotations})}}

    def act(action, annotations):
        """Its annotations afterwards; nothing else has changed."""
        changed = answer(tools, text(f"actions/{action}/action.lua"), annotated(annotations))
        after = changed["metadata"].pop("annotations", None)
        check(f"Argo CD's {action} changes annotations alone", changed == {"metadata": {"name": "a"}}, str(changed))
        return after

    paused, other = {"busgrant.dev/paused": "true"}, {"example.com/team": "billing"}
    check("Argo CD's pause pauses", act("pause", None) == paused and act("pause", other) == {**other, **paused})
    check("Argo CD's resume goes on", act("resume", {**other, **paused}) == other)
    # An empty table is an empty list to Argo CD, which then takes the annotations to be as before.
    check("Argo CD's resume leaves no empty table", act("resume", paused) is None and act("resume", None) is None)
    for annotations in (None, other, {"busgrant.dev/reconcile-at": "2026-01-01T00:00:00Z"}):
        before = datetime.now(timezone.utc).replace(microsecond=0)
        said = act("reconcile", annotations)["busgrant.dev/reconcile-at"]
        at = datetime.strptime(said, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        check("Argo CD's reconcile says now", before <= at <= datetime.now(timezone.utc), said)
    for annotations, off in ((None, "resume"), ({"busgrant.dev/paused": "false"}, "resume"), (paused, "pause")):
        offered = answer(tools, text("actions/discovery.lua"), annotated(annotations))
        disabled = [action for action, how in offered.items() if how.get("disabled")]
        whole = sorted(offered) == ["pause", "reconcile", "resume"] and disabled == [off]
        check(f"Argo CD offers all but {off} with {annotations}", whole, str(offered))
