"""The alerts and the dashboard: read by promtool, as Prometheus does, and run on what happens to an installation."""

import json
import re
import tempfile
import textwrap
from pathlib import Path

import weather
from means import CHART, ROOT, check, parallel, run, values

# Labels that Prometheus or its operator give to what they fetch.
TARGET = {"job", "namespace", "pod", "exported_namespace", "instance"}
PAGE = "docs/metrics.md"


def text_of(path):
    return (CHART / path).read_text().strip()


def rules(helm, *flags):
    """The PrometheusRule's groups, as a file of rules."""
    enabled = "--set", "metrics.prometheusRule.enabled=true", "-s", "templates/prometheusrule.yaml"
    text = helm.template("-f", values("defaults"), *enabled, *flags).stdout
    return textwrap.dedent(text.split("\nspec:\n", 1)[1])


def documented_metrics():
    """Labels of each series in docs/metrics.md, which tests/controller/documented.rs holds to the program."""
    series = {"up": set(), "ALERTS": {"alertname", "alertstate"}}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", (ROOT / PAGE).read_text(), re.M):
        labels = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            series |= {f"{name}_{part}": labels | {"le"} for part in ("bucket", "sum", "count")}
        elif kind in ("counter", "gauge", "info"):
            series[name] = labels
    return series


def names_exist(what, expression, series):
    """Every metric and label that an expression names is one that there is. Each selector has matchers."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    used = re.findall(r"(\w+)\{([^}]*)\}", bare)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", " ".join(inside for _, inside in used)))
    for group in re.findall(r"\bby \(([^)]*)\)", bare):
        labels |= set(re.split(r",\s*", group))
    known = set().union(TARGET, *(series.get(name, set()) for name, _ in used))
    unknown = {name for name, _ in used} - set(series) | labels - known
    check(f"{what}: metrics and labels are those of {PAGE}", used and not unknown, f"{unknown} in {expression}")


def alerts_are_whole(helm, plane):
    """Each has what a person needs who is woken by it, and a section in the page."""
    series = documented_metrics()
    page = (ROOT / PAGE).read_text()
    sections = re.findall(r"^### (Busgrant\w+)$", page, re.M)
    names = set()
    for flags in weather.VARIANTS.values():
        enabled = "--set", "metrics.prometheusRule.enabled=true", "-s", "templates/prometheusrule.yaml"
        (rule,) = plane.objects(helm.template("-f", values("defaults"), *enabled, *flags).stdout)
        for alert in rule["spec"]["groups"][0]["rules"]:
            name, notes = alert["alert"], alert["annotations"]
            names.add(name)
            complete = set(notes) == {"summary", "description", "runbook_url"} and all(notes.values())
            grave = alert["labels"]["severity"] in ("warning", "critical")
            check(f"{name}: summary, description, runbook_url, severity", complete and grave, str(alert))
            linked = notes["runbook_url"] == f"https://github.com/busgrant/busgrant/blob/main/{PAGE}#{name.lower()}"
            check(f"{name}: runbook_url is its section", linked, notes["runbook_url"])
            names_exist(name, alert["expr"], series)
            kept = {label for group in re.findall(r"\bby \(([^)]*)\)", alert["expr"]) for label in group.split(", ")}
            told = set(re.findall(r"\$labels\.(\w+)", notes["description"]))
            check(f"{name}: the description names labels that the alert has", told <= kept, str(told - kept))
    (board,) = plane.objects(helm.template("-f", values("irsa"), "-s", "templates/dashboard.yaml").stdout)
    check("the dashboard is installed as it is", board["data"] == {"busgrant.json": text_of("files/dashboard.json")})
    check("every alert has a section, and every section an alert", names == set(sections), str(names ^ set(sections)))
    check("no section is there twice", len(sections) == len(set(sections)))
    untold = {alert for story in weather.STORIES for alert in story.fires} ^ names
    check("every alert fires in a story", not untold, str(untold))


def values_shape_the_alerts(helm):
    text = rules(
        helm, "--set", "metrics.prometheusRule.thresholds.policySizeHighPercent=50,controller.sweepInterval=10m",
        "--set", "metrics.prometheusRule.disabled={BusgrantOrphanedStatements}",
        "--set", "metrics.prometheusRule.alertLabels.team=platform", "--set-string",
        r'metrics.prometheusRule.selector=job="own"\,cluster=~"a|b: #c"', "--set", "metrics.prometheusRule.interval=1m",
    )  # fmt: skip
    text = " ".join(text.split())  # wherever its lines are broken
    check("a threshold is taken", "> 50 / 100 " in text)
    check("a bus is stale after three sweeps", "> 1800" in text)
    check("an alert can be left out", "BusgrantOrphanedStatements" not in text and "BusgrantLostUpdate" in text)
    check("alerts have more labels", text.count("team: platform") == text.count("alert: ") > 10)
    check("the selector is taken", text.count('{job="own",cluster=~"a|b: #c"') == text.count("{job=") > 15)
    check("nothing is left to fill in", "${" not in text)
    check("the interval is taken", "interval: 1m" in text)


def codes_are_sorted_as_in_the_program(helm):
    """What is throttled, denied, failed and in order: the alerts' regular expressions and src/aws/errors.rs agree."""
    text = " ".join(rules(helm).split())
    throttled, denied, other = (re.search(rf'code{how}"([^"]*)"\}}\[{time}m', text)[1]
                                for how, time in (("=~", 5), ("=~", 10), ("!~", 10)))  # fmt: skip
    source = (ROOT / "src/aws/errors.rs").read_text().split("fn class_of_code")[1].split("\n}\n")[0]
    arms = re.findall(r'((?:"\w+"\s*\|?\s*)+)=>\s*\{?\s*RetryClass::(\w+)', source)
    port = (ROOT / "src/port.rs").read_text()
    classes = re.findall(r"Self::(\w+),", port[port.index("pub const ALL") :])
    codes = [(code, kind) for arm, kind in arms for code in re.findall(r'"(\w+)"', arm)]
    # A failure without an answer is told by its class.
    codes += [(kind, kind) for kind in classes] + [("ok", "Ok"), ("InternalException", "Transient")]
    check("codes are found in the source", len(codes) > 35, str(codes))
    wanted = {"Throttled": (True, False), "Denied": (False, True), "NoCredentials": (False, True)}
    for code, kind in codes:
        found = tuple(bool(re.fullmatch(regex, code)) for regex in (throttled, denied))
        failed = not re.fullmatch(other, code)
        right = found == wanted.get(kind, (False, False)) and failed == (kind in ("Transient", "UnknownOutcome"))
        check(f"the alerts take {code} for {kind}", right, f"throttled, denied: {found}, failed: {failed}")


def alerts_fire_when_they_should(helm, promtool):
    """Each story of weather.py: exactly its alerts fire."""
    series = documented_metrics()
    for variant, flags in weather.VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rules.yaml"
            file.write_text(rules(helm, *flags))
            taken = run(promtool, "check", "rules", file, ok=None)
            check(f"{variant}: promtool takes the rules", taken.returncode == 0, taken.stdout + taken.stderr)

            def tried(story):
                test = Path(folder) / f"{id(story)}.yaml"
                tests = {"rule_files": [file.name], "evaluation_interval": "1m", "tests": [story.test()]}
                test.write_text(json.dumps(tests))
                return run(promtool, "test", "rules", test, ok=None)

            stories = [story for story in weather.STORIES if variant in story.variants]
            for story, said in zip(stories, parallel(tried, stories)):
                lacking = story.names() - set(series)
                check(f"{story.name}: its series are those of {PAGE}", not lacking, str(lacking))
                check(f"{variant}: {story.name}", said.returncode == 0, said.stdout + said.stderr)


def dashboard_shows_something(promtool):
    """Every expression is PromQL, of metrics that there are, and finds something on an ordinary day."""
    dashboard = json.loads(text_of("files/dashboard.json"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    titles = [panel["title"] for panel in panels]
    check("the dashboard has panels, no two of one title", len(titles) > 20 and len(set(titles)) == len(titles))
    boxes = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [(x, y) for b in boxes for x in range(b["x"], b["x"] + b["w"]) for y in range(b["y"], b["y"] + b["h"])]
    check("no panel lies on another, or beyond the edge", len(cells) == len(set(cells)) and max(cells)[0] < 24)
    series, tests, recorded = documented_metrics(), [], []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            query = re.match(r"label_values\((\w+).*, (\w+)\)$", variable["query"]["query"])
            known = query and query[2] in series[query[1]] | TARGET
            check(f"the variable {variable['name']} is a label that there is", known, str(variable))
    for panel in panels:
        for target in panel["targets"]:
            names_exist(panel["title"], target["expr"], series)
            expression = target["expr"].replace("$job", weather.JOB).replace("$bus", ".*")
            expression = expression.replace("$__rate_interval", "5m")
            check(f"{panel['title']}: every variable is known", "$" not in expression, expression)
            recorded.append({"record": "x", "expr": expression})
            tests.append({"expr": f"clamp_max(count({expression}), 1)", "eval_time": f"{weather.BUSY}m",
                          "exp_samples": [{"labels": "{}", "value": 1}]})  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recorded.yaml"
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
        taken = run(promtool, "check", "rules", "--lint=none", file, ok=None)
        check("promtool takes the dashboard's expressions", taken.returncode == 0, taken.stdout + taken.stderr)
        test = {"interval": "1m", "input_series": weather.ordinary().input(), "promql_expr_test": tests}
        file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
        said = run(promtool, "test", "rules", file, ok=None)
        check("every panel shows something", said.returncode == 0, said.stdout + said.stderr)
