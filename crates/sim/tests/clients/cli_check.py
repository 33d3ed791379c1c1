"""The AWS CLI creates, grants, lists, pages, removes, and reads errors."""
import json
import subprocess


def aws(*arguments):
    done = subprocess.run(["aws", "--output", "json", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else {}


def aws_fails(code, *arguments):
    done = subprocess.run(["aws", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and f"({code})" in done.stderr, done.stderr or done.stdout


def main():
    assert aws("sts", "get-caller-identity")["Account"] == "123456789012"
    arn = aws("events", "create-event-bus", "--name", "cli")["EventBusArn"]
    put = ["events", "put-permission", "--event-bus-name", "cli"]
    grant = [*put, "--action", "events:PutEvents", "--principal", "222222222222", "--statement-id", "member"]
    aws(*grant)
    statement = json.loads(aws("events", "describe-event-bus", "--name", "cli")["Policy"])["Statement"][0]
    assert statement["Resource"] == arn and statement["Sid"] == "member", statement
    document = {"Version": "2012-10-17", "Statement": [{**statement, "Sid": "whole", "Effect": "Deny"}]}
    aws(*put, "--policy", json.dumps(document))
    for name in ("cli-a", "cli-b", "cli-c"):
        aws("events", "create-event-bus", "--name", name)
    page = aws("events", "list-event-buses", "--name-prefix", "cli", "--limit", "3")
    rest = aws("events", "list-event-buses", "--name-prefix", "cli", "--limit", "3", "--next-token", page["NextToken"])
    names = [bus["Name"] for bus in page["EventBuses"] + rest["EventBuses"]]
    assert names == ["cli", "cli-a", "cli-b", "cli-c"], names
    assert "whole" in page["EventBuses"][0]["Policy"], page
    remove = ["events", "remove-permission", "--event-bus-name", "cli"]
    aws_fails("ResourceNotFoundException", *remove, "--statement-id", "member")
    aws_fails("ValidationException", *remove)
    aws_fails("ResourceNotFoundException", "events", "describe-event-bus", "--name", "none")
    aws(*remove, "--statement-id", "whole")
    assert "Policy" not in aws("events", "describe-event-bus", "--name", "cli")
    aws("events", "delete-event-bus", "--name", "cli")
    print("AWS CLI: as it should be")


if __name__ == "__main__":
    main()
