"""What the steps are made with: commands, waiting, and how a failure is told."""

import http.client
import json
import os
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/busgrant"
CRD = "eventbuspermissions.busgrant.dev"


class Failure(Exception):
    """Something is not as it must be."""


class Skip(Exception):
    """This cluster can't show it."""


def check(holds, what, detail=""):
    if not holds:
        raise Failure(f"{what}\n{detail}".strip())


def eventually(what, condition, seconds=60):
    """Waits until the condition gives something true, and gives that. It may fail on the way."""
    until, seen = time.monotonic() + seconds, None
    while True:
        try:
            if seen := condition():
                return seen
        except (Failure, OSError, http.client.HTTPException) as error:
            seen = error
        if time.monotonic() > until:
            raise Failure(f"not within {seconds} s: {what}; last seen: {seen}")
        time.sleep(0.1)


def run(*command, ok=True, **more):
    """ok: None takes a failure too."""
    words = [str(word) for word in command]
    answer = subprocess.run(words, **{"capture_output": True, "text": True, "timeout": 600, **more})
    if ok and answer.returncode != 0:
        raise Failure(f"{' '.join(words)}\nended with {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return answer


class Kubectl:
    def __init__(self, program, kubeconfig, home):
        self.program = program
        self.environment = {**environment(home), "KUBECONFIG": str(kubeconfig)}

    def __call__(self, *arguments, **more):
        return run(self.program, *arguments, env=self.environment, **more)

    def get(self, *what):
        """The object, or None if there is none."""
        answer = self("get", *what, "-o", "json", ok=None)
        if answer.returncode != 0:
            check("NotFound" in answer.stderr or "doesn't have a resource type" in answer.stderr, answer.stderr)
            return None
        return json.loads(answer.stdout)

    def items(self, *what):
        return (self.get(*what) or {"items": []})["items"]

    def apply(self, *objects):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self("apply", "-f", "-", input=text)

    def forward(self, namespace, target, port):
        """A process that forwards a free port of ours, and that port."""
        command = [self.program, "port-forward", "-n", namespace, target, f":{port}"]
        process = subprocess.Popen(
            [str(word) for word in command], env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        line = process.stdout.readline()
        found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
        if not found:
            process.kill()
            raise Failure(f"port-forward: {line}{process.stderr.read()}")
        return process, int(found[1])


class Helm:
    def __init__(self, program, kubeconfig, home):
        homes = {f"HELM_{kind}_HOME": f"{home}/helm-{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")}
        self.program, self.environment = program, {**environment(home), **homes, "KUBECONFIG": str(kubeconfig)}
        self.version = self("version", "--template", "{{.Version}}").stdout

    def __call__(self, *arguments, **more):
        return run(self.program, *arguments, env=self.environment, **more)


def environment(home):
    return {"PATH": os.environ["PATH"], "HOME": str(home), "KUBERC": "off"}


def condition(thing, kind):
    """A condition of an object, empty if it has none of that kind, or one of an older generation."""
    status = thing.get("status", {})
    if status.get("observedGeneration", thing["metadata"].get("generation")) != thing["metadata"].get("generation"):
        return {}
    return next((one for one in status.get("conditions", []) if one["type"] == kind), {})
