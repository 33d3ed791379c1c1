"""What happens to an installation, minute by minute, as its metrics tell it; and which alerts fire then, and no others.

Values are promtool's: `0+3x120` begins at 0 and grows by 3 in each of 120 minutes, `_x40` is 40 minutes without a
sample, `stale` the end of a series.
"""

JOB = "busgrant-metrics"
NAMESPACE = "busgrant-system"
ORDERS = "arn:aws:events:eu-west-1:123456789012:event-bus/orders"
AUDIT = "arn:aws:events:eu-west-1:123456789012:event-bus/audit"
# At this minute an object is being changed, so that there is something to see everywhere.
BUSY = 42
# Until then the first replica leads, then the second.
HANDOVER = 120
FEW = "metrics.perObject=false,replicaCount=1,controller.leaderElect=false"
VARIANTS = {"with leader election": (), "alone and without objects' series": ("--set", FEW)}
LED, ALONE = VARIANTS


class Weather:
    """Series by name and labels."""

    def __init__(self, series=()):
        self.series = dict(series)

    def set(self, metric, values, pod="busgrant-a", /, **labels):
        """None takes the series away."""
        key = metric, tuple(sorted({"job": JOB, "namespace": NAMESPACE, "pod": pod, **labels}.items()))
        self.series[key] = values
        return self

    def input(self):
        return [
            {"series": name + "{" + ",".join(f'{label}="{value}"' for label, value in labels) + "}", "values": values}
            for (name, labels), values in self.series.items()
            if values is not None
        ]


def ordinary():
    """An ordinary day, with the small troubles of one. At its end, the leader is replaced."""
    day = Weather()
    later = f"_x{HANDOVER + 1} "

    def led(metric, first, after=None, /, **labels):
        """What only a leader tells: the first until the handover, the second from then on."""
        day.set(metric, f"{first} stale", **labels)
        day.set(metric, later + (after or "0x60"), "busgrant-b", **labels)

    for pod in ("busgrant-a", "busgrant-b"):
        day.set("up", "1x180", pod)
        day.set("busgrant_build_info", "1x180", pod, version="0.1.0", revision="abc")
        day.set("process_resident_memory_bytes", "20000000x180", pod)
        day.set("process_cpu_seconds_total", "0+0.2x180", pod)
        day.set("controller_runtime_reconcile_panics_total", "0x180", pod, controller="eventbuspermission")
    day.set("leader_election_master_status", f"1x{HANDOVER} stale", name="busgrant-prod1")
    day.set("leader_election_master_status", f"0x{HANDOVER} 1x60", "busgrant-b", name="busgrant-prod1")

    this = {"controller": "eventbuspermission"}
    led("controller_runtime_reconcile_total", "0+3x120", "0+3x60", result="success", **this)
    led("controller_runtime_reconcile_total", "0x30 1x89", result="error", **this)
    led("controller_runtime_reconcile_errors_total", "0x30 1x89", **this)
    led("controller_runtime_terminal_reconcile_errors_total", "0x120", **this)
    led("controller_runtime_reconcile_time_seconds_bucket", "0+3x120", "0+3x60", le="0.005", **this)
    led("controller_runtime_reconcile_time_seconds_bucket", "0+3x120", "0+3x60", le="+Inf", **this)
    led("controller_runtime_active_workers", "0x120", **this)
    queue = {"name": "eventbuspermission", **this}
    led("workqueue_depth", "0x40 2x3 0x76", **queue)
    for part in ("queue", "work"):
        led(f"workqueue_{part}_duration_seconds_bucket", "0+1x120", "0+1x60", le="0.1", **queue)
        led(f"workqueue_{part}_duration_seconds_bucket", "0+1x120", "0+1x60", le="+Inf", **queue)
    led("busgrant_status_writes_total", "0x40 2x79", "0x60")

    # An object is changed at minute 40 and ready again at 44; another one needed a person for three minutes.
    led("busgrant_permissions", "7x120", "7x60", ready="True", reason="InSync")
    day.set("busgrant_permissions", "_x40 1x3 stale", ready="False", reason="Applying")
    billing = {"exported_namespace": "billing", "name": "invoices"}
    led("busgrant_condition", "1x39 _x4 1x75", "1x60", type="Ready", status="True", **billing)
    day.set("busgrant_condition", "_x40 1x3 stale", type="Ready", status="False", **billing)
    org = {"exported_namespace": "audit", "name": "org"}
    day.set("busgrant_condition", "_x60 1x3 stale", type="Stalled", status="True", **org)

    for bus in (ORDERS, AUDIT):
        led("busgrant_policy_characters", "4100x120", "4100x60", bus=bus)
        led("busgrant_policy_characters_allowed", "10240x120", "10240x60", bus=bus)
        led("busgrant_statements", "9x120", "9x60", bus=bus, owner="self")
        led("busgrant_statements", "3x120", "3x60", bus=bus, owner="foreign")
        led("busgrant_last_sync_timestamp_seconds", "0+60x120", f"{(HANDOVER + 1) * 60}+60x60", bus=bus)
        led("busgrant_concurrent_modifications_total", "0x20 4x99", bus=bus)
        led("busgrant_lost_updates_total", "0x120", bus=bus)
        led("busgrant_flights_total", "0+1x120", "0+1x60", bus=bus)
        led("busgrant_drift_total", "0x35 2x84", bus=bus, action="put")
        led("busgrant_drift_total", "0x120", bus=bus, action="remove")
        for kind in ("changed", "vanished"):
            led("busgrant_foreign_statement_changes_total", "0x120", bus=bus, kind=kind)
        # An object is made again by hand, under its old name.
        led("busgrant_orphaned_statements", "0x70 2x10 0x39", bus=bus)

    def calls(operation, code, *values, region="eu-west-1"):
        led("busgrant_aws_requests_total", *values, operation=operation, code=code, region=region)

    calls("ListEventBuses", "ok", "0+1x120", "0+1x60")
    calls("DescribeEventBus", "ok", "0+0.5x120", "0+0.5x60")
    calls("GetCallerIdentity", "ok", "1x120", "1x60", region="")
    calls("PutPermission", "ok", "0+0.2x120", "0+0.2x60")
    calls("PutPermission", "ConcurrentModificationException", "0x20 4x99")
    calls("RemovePermission", "ResourceNotFoundException", "0+0.2x120")
    calls("ListEventBuses", "ThrottlingException", "0x25 3x94")
    calls("PutPermission", "AccessDeniedException", "0x35 2x84")
    calls("DescribeEventBus", "InternalException", "0x50 4x69")
    calls("DescribeEventBus", "UnknownOutcome", "0x52 1x67")
    led("busgrant_aws_request_duration_seconds_bucket", "0+1x120", "0+1x60", operation="ListEventBuses", le="0.1")
    led("busgrant_aws_request_duration_seconds_bucket", "0+1x120", "0+1x60", operation="ListEventBuses", le="+Inf")
    return day


class Story:
    """An ordinary day but for something. `fires` has for each alert that fires at the minute `at` its labels."""

    def __init__(self, name, at, fires, change=lambda day: None, variants=(LED, ALONE)):
        self.name, self.at, self.fires, self.variants = name, at, fires, variants
        self.day = ordinary()
        change(self.day)

    def names(self):
        return {name for name, _ in self.day.series}

    def test(self):
        samples = []
        for alert, each in self.fires.items():
            for labels in each:
                told = ",".join(f'{label}="{value}"' for label, value in {"alertname": alert, **labels}.items())
                samples.append({"labels": "{" + told + "}", "value": 1})
        told = "alertname, bus, kind, operation, region, code, reason, exported_namespace, name"
        firing = f'count by ({told}) (ALERTS{{alertstate="firing"}})'
        tests = [{"expr": firing, "eval_time": f"{self.at}m", "exp_samples": samples}]
        return {"interval": "1m", "input_series": self.day.input(), "promql_expr_test": tests}


def change(metric, values, /, **labels):
    return lambda day: day.set(metric, values, **labels)


def every(*changes):
    def all_of_them(day):
        for one in changes:
            one(day)

    return all_of_them


def without(*pods):
    """These Pods' series end at minute 30."""

    def end(day):
        for (name, labels), values in day.series.items():
            if dict(labels)["pod"] in pods:
                first = values.split(" ")[0]
                kind, _, _ = first.partition("x")
                day.series[name, labels] = None if first.startswith("_") else f"{kind}x30 stale"

    return end


def calls(code, values, operation="ListEventBuses", region="eu-west-1"):
    return change("busgrant_aws_requests_total", values, operation=operation, code=code, region=region)


THIS = {"controller": "eventbuspermission"}
ONE = [{}]
ON_ORDERS = [{"bus": ORDERS}]
INVOICES = [{"exported_namespace": "billing", "name": "invoices"}]
UNREADY = {"type": "Ready", "exported_namespace": "billing", "name": "invoices"}
STUCK = {"type": "Stalled", "status": "True", "exported_namespace": "billing", "name": "invoices"}
BOTH = ("busgrant-a", "busgrant-b")

def second_leads(day):
    day.set("leader_election_master_status", "0x30 1x90", "busgrant-b", name="busgrant-prod1")


STORIES = [
    *(Story(f"minute {at} of an ordinary day", at, {}) for at in (26, 30, 36, 44, 56, 64, 79, 119, 122, 130, 180)),
    Story("the standby never gets to lead", 36, {"BusgrantControllerDown": ONE},
          change("leader_election_master_status", "1x30 0x90", name="busgrant-prod1"), [LED]),
    Story("no Pod is left", 36, {"BusgrantControllerDown": ONE}, without(*BOTH)),
    Story("no Pod is left, for four minutes", 34, {}, without(*BOTH)),
    Story("one of two Pods is left, and leads", 40, {},
          every(without("busgrant-a"), second_leads), [LED]),
    Story("a quarter of the reconciliations fail", 20, {"BusgrantReconcileErrors": ONE},
          every(change("controller_runtime_reconcile_errors_total", "0+1x120", **THIS),
                change("controller_runtime_reconcile_total", "0+1x120", result="error", **THIS))),
    Story("the controller panics at an object", 42, {"BusgrantReconcilePanics": ONE},
          change("controller_runtime_reconcile_panics_total", "0x40 1x80", **THIS)),
    Story("an object isn't ready for a quarter of an hour, False or Unknown", 56,
          {"BusgrantPermissionNotReady": INVOICES},
          every(change("busgrant_condition", "_x40 1x9 stale", status="False", **UNREADY),
                change("busgrant_condition", "_x50 1x9 stale", status="Unknown", **UNREADY)), [LED]),
    Story("an object isn't ready for a quarter of an hour", 56,
          {"BusgrantPermissionNotReady": [{"reason": "Applying"}]},
          change("busgrant_permissions", "_x40 1x20", ready="False", reason="Applying"), [ALONE]),
    Story("an object is stalled", 47, {"BusgrantPermissionStalled": INVOICES},
          change("busgrant_condition", "_x40 1x20", **STUCK), [LED]),
    Story("an object became stalled", 47, {"BusgrantPermissionStalled": ONE},
          change("controller_runtime_terminal_reconcile_errors_total", "0x40 1x80", **THIS), [ALONE]),
    Story("a policy is filling up", 46, {"BusgrantPolicySizeHigh": ON_ORDERS},
          change("busgrant_policy_characters", "4100x40 8300x80", bus=ORDERS)),
    Story("a policy is all but full", 46,
          {"BusgrantPolicySizeHigh": ON_ORDERS, "BusgrantPolicySizeCritical": ON_ORDERS},
          change("busgrant_policy_characters", "4100x40 9800x80", bus=ORDERS)),
    Story("a bus isn't looked at", 50, {"BusgrantSyncStale": ON_ORDERS},
          change("busgrant_last_sync_timestamp_seconds", "0+60x40 2400x80", bus=ORDERS)),
    Story("a bus isn't looked at for five minutes", 45, {},
          change("busgrant_last_sync_timestamp_seconds", "0+60x40 2400x80", bus=ORDERS)),
    Story("somebody writes a bus all the time", 30, {"BusgrantConcurrentModificationStorm": ON_ORDERS},
          change("busgrant_concurrent_modifications_total", "0+3x120", bus=ORDERS)),
    Story("an update is lost", 42, {"BusgrantLostUpdate": ON_ORDERS},
          change("busgrant_lost_updates_total", "0x40 1x80", bus=ORDERS)),
    Story("somebody undoes what is written", 60, {"BusgrantDriftFlapping": ON_ORDERS},
          change("busgrant_drift_total", "0x20 1 2 3x10 4x10 5x10 6x10 7x30", bus=ORDERS, action="put")),
    Story("a foreign statement vanishes around a write", 42,
          {"BusgrantForeignStatementChanged": [{"bus": ORDERS, "kind": "vanished"}]},
          change("busgrant_foreign_statement_changes_total", "0x40 1x80", bus=ORDERS, kind="vanished")),
    Story("statements belong to no object", 72, {"BusgrantOrphanedStatements": ON_ORDERS},
          change("busgrant_orphaned_statements", "0x40 2x80", bus=ORDERS)),
    Story("AWS limits the rate", 52, {"BusgrantAWSThrottled": [{"region": "eu-west-1"}]},
          calls("ThrottlingException", "0x40 0+2x80")),
    Story("the role lacks a right", 52,
          {"BusgrantAWSAccessDenied": [
              {"operation": "ListEventBuses", "region": "eu-west-1", "code": "AccessDeniedException"}]},
          calls("AccessDeniedException", "_x39 1+1x80")),
    Story("the credentials are gone", 52,
          {"BusgrantAWSAccessDenied": [{"operation": "GetCallerIdentity", "code": "NoCredentials"}]},
          calls("NoCredentials", "_x39 1+1x80", operation="GetCallerIdentity", region="")),
    Story("EventBridge can't be reached", 62, {"BusgrantAWSErrors": ONE}, calls("Transient", "0x40 0+1x80")),
]  # fmt: skip
