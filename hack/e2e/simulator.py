"""The simulated EventBridge in its Pod: calls as AWS has them, the simulator's own controls, and its journal."""

import http.client
import json

from means import Failure, check, eventually

ACCOUNT, REGION, PORT = "123456789012", "eu-west-1", 4010
NAMESPACE = "busgrant-e2e-aws"
WRITES = ("PutPermission", "RemovePermission")


class Simulator:
    def __init__(self, cluster):
        self.kubectl, self.image = cluster.kubectl, cluster.simulator_image
        self.forward = self.connection = None

    def install(self):
        labels = {"app": "simulator"}
        security = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        container = {
            "name": "simulator",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "args": ["--listen", f"0.0.0.0:{PORT}"],
            "ports": [{"containerPort": PORT}],
            "readinessProbe": {"httpGet": {"path": "/_sim/health", "port": PORT}, "periodSeconds": 1},
            "securityContext": security,
        }
        pod = {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        meta = {"name": "simulator", "namespace": NAMESPACE}
        service = {"selector": labels, "ports": [{"port": PORT}]}
        self.kubectl.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": deployment},
            {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        )
        self.kubectl("rollout", "status", "deployment/simulator", "-n", NAMESPACE, "--timeout=120s")

    def endpoint(self):
        """By name, which is looked up from inside the scratch container."""
        return f"http://simulator.{NAMESPACE}.svc:{PORT}"

    def close(self):
        if self.forward:
            self.forward.kill()
            self.forward.wait()
        self.forward = self.connection = None

    # What is asked

    def ask(self, method, path, body=None, headers=(), ok=True):
        """The answer's status and body. A forwarding that broke is made again, once: that is none of the test's business."""
        text = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        for attempt in (1, 2):
            try:
                if self.connection is None:
                    self.forward, port = self.kubectl.forward(NAMESPACE, "deployment/simulator", PORT)
                    self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                self.connection.request(method, path, text, dict(headers))
                answer = self.connection.getresponse()
                said = json.loads(answer.read() or "{}")
                break
            except (OSError, http.client.HTTPException):
                self.close()
                if attempt == 2:
                    raise
        if ok and answer.status != 200:
            raise Failure(f"the simulator answered {answer.status} to {method} {path}: {said}")
        return answer.status, said

    def aws(self, account, operation, **body):
        """As that account; the simulator takes a 12-digit access key id for it and checks no signature."""
        scope = f"{account}/20260101/{REGION}/events/aws4_request"
        headers = {
            "X-Amz-Target": f"AWSEvents.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
        }
        return self.ask("POST", "/", body, headers.items(), ok=None)

    def control(self, method, path, body=None):
        return self.ask(method, f"/_sim/{path}", body)[1]

    def create_bus(self, name):
        self.control("PUT", f"buses/{ACCOUNT}/{REGION}/{name}")

    def statements(self, bus):
        """The live policy's, by Sid."""
        policy = self.control("GET", f"policy/{ACCOUNT}/{REGION}/{bus}") or {"Statement": []}
        return {one["Sid"]: one for one in policy["Statement"]}

    def accepts(self, account, bus, source="com.acme.orders", kind="OrderPlaced"):
        """Whether that account may put an event on the bus."""
        arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}"
        entry = {"EventBusName": arn, "Source": source, "DetailType": kind, "Detail": "{}"}
        status, said = self.aws(account, "PutEvents", Entries=[entry])
        check(status == 200 or "AccessDenied" in said.get("__type", ""), f"PutEvents: {status} {said}")
        return status == 200 and said["FailedEntryCount"] == 0

    # The journal

    def mark(self):
        return self.control("GET", "journal?limit=1")["last"]

    def now(self):
        """The simulator's own clock, in milliseconds, that the journal's times are of."""
        return self.control("POST", "advance", {"millis": 0})["nowMillis"]

    def calls(self, since, operation=None, caller=ACCOUNT):
        """Of the controller's account, after that mark."""
        which = f"&operation={operation}" if operation else ""
        return self.control("GET", f"journal?since={since}&account={caller}{which}")["entries"]

    def writes(self, since):
        """The controller's writes after that mark; what this test sends is none, as it goes by the controls."""
        return sorted((one for name in WRITES for one in self.calls(since, name)), key=lambda one: one["seq"])

    def looked_over(self, since):
        """Waits until the controller has looked over all buses, twice: the second time it has dealt with the first."""
        looks = ("ListEventBuses", "DescribeEventBus")
        eventually(
            "the controller reads the policies", lambda: sum(len(self.calls(since, one)) for one in looks) >= 2, 90
        )


def told(writes):
    return "\n".join(f"{one['operation']} {json.dumps(one['input'])[:200]}" for one in writes[:10])
