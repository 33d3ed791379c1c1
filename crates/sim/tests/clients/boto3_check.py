"""boto3 creates, grants, lists, pages, removes, sends, assumes, and reads errors as typed exceptions."""
import json
import os
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

OWNER, MEMBER = "123456789012", "222222222222"
REGION = "eu-west-1"


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + path, data, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def client(service, account=OWNER):
    # The server's checks are what is tested, not botocore's.
    config = Config(parameter_validation=False, retries={"mode": "standard", "total_max_attempts": 3})
    keys = {"aws_access_key_id": account, "aws_secret_access_key": "unused"}
    return boto3.client(service, region_name=REGION, config=config, **keys)


def raises(expected, call, **arguments):
    try:
        call(**arguments)
    except expected as error:
        return error.response
    raise AssertionError(f"{expected} expected")


def fails(code, call, **arguments):
    response = raises(ClientError, call, **arguments)
    assert response["Error"]["Code"] == code, response
    return response


def main():
    events = client("events")
    arn = events.create_event_bus(Name="boto", Description="from boto3")["EventBusArn"]
    assert arn == f"arn:aws:events:{REGION}:{OWNER}:event-bus/boto", arn
    raises(events.exceptions.ResourceAlreadyExistsException, events.create_event_bus, Name="boto")
    bus = events.describe_event_bus(Name="boto")
    assert "Policy" not in bus and bus["Description"] == "from boto3", bus
    assert bus["CreationTime"] == bus["LastModifiedTime"] and bus["CreationTime"].year >= 2026, bus

    events.put_permission(EventBusName="boto", Action="events:PutEvents", Principal=MEMBER, StatementId="member")
    condition = {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": "o-a1b2c3d4e5"}
    events.put_permission(
        EventBusName="boto", Action="events:PutEvents", Principal="*", StatementId="org", Condition=condition)
    bus = events.describe_event_bus(Name=arn)
    statements = {one["Sid"]: one for one in json.loads(bus["Policy"])["Statement"]}
    assert statements["member"]["Principal"] == {"AWS": f"arn:aws:iam::{MEMBER}:root"}, statements
    assert statements["org"]["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}, statements
    assert bus["LastModifiedTime"] > bus["CreationTime"], bus

    entry = {"EventBusName": arn, "Source": "app", "DetailType": "Paid", "Detail": "{}"}
    assert client("events", MEMBER).put_events(Entries=[entry])["FailedEntryCount"] == 0
    fails("AccessDeniedException", client("events", "333333333333").put_events, Entries=[entry])

    for index in range(120):
        events.create_event_bus(Name=f"page-{index:03}")
    listed = [one["Name"] for page in pages(events, NamePrefix="page-", Limit=50) for one in page["EventBuses"]]
    assert listed == [f"page-{index:03}" for index in range(120)], listed

    not_found = raises(
        events.exceptions.ResourceNotFoundException, events.remove_permission, EventBusName="boto", StatementId="none")
    assert not_found["Error"]["Message"] == "Statement with the provided id does not exist.", not_found
    assert not_found["ResponseMetadata"]["RequestId"], not_found
    raises(events.exceptions.ResourceNotFoundException, events.describe_event_bus, Name="none")
    fails("ValidationException", events.put_permission, EventBusName="boto")
    fails("SerializationException", events.put_permission, EventBusName=7)
    statement = {"Sid": "long", "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": arn,
                 "Condition": {"StringEquals": {"events:source": "x" * 10240}}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    raises(
        events.exceptions.PolicyLengthExceededException, events.put_permission, EventBusName="boto", Policy=document)

    control("POST", "/_sim/faults", {"kind": "concurrentModification", "bus": "boto", "times": 1})
    grant = {"EventBusName": "boto", "Action": "events:PutEvents", "Principal": MEMBER, "StatementId": "second"}
    raises(events.exceptions.ConcurrentModificationException, events.put_permission, **grant)
    control("POST", "/_sim/faults", {"kind": "operationDisabled", "bus": "boto", "times": 1})
    raises(events.exceptions.OperationDisabledException, events.put_permission, **grant)
    for kind in ("throttling", "tooManyRequests", "internalError", "serviceUnavailable", "dropBeforeApply"):
        control("POST", "/_sim/faults", {"kind": kind, "bus": "boto", "times": 1})
        retries = events.put_permission(**grant)["ResponseMetadata"]["RetryAttempts"]
        assert retries == 1, f"botocore takes {kind} for something to be tried again, and does: {retries}"

    events.remove_permission(EventBusName="boto", StatementId="member")
    events.remove_permission(EventBusName="boto", RemoveAllPermissions=True)
    assert "Policy" not in events.describe_event_bus(Name="boto")
    events.delete_event_bus(Name="boto")
    events.delete_event_bus(Name="boto")

    sts = client("sts")
    assert sts.get_caller_identity()["Account"] == OWNER
    role = f"arn:aws:iam::{MEMBER}:role/across"
    fails("AccessDenied", sts.assume_role, RoleArn=role, RoleSessionName="boto")
    control("PUT", "/_sim/principals", {"arn": role, "trust": [{"account": OWNER, "externalId": "x"}]})
    keys = sts.assume_role(RoleArn=role, RoleSessionName="boto", ExternalId="x", DurationSeconds=900)["Credentials"]
    across = boto3.client(
        "events", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"], region_name=REGION)
    assert across.describe_event_bus()["Arn"] == f"arn:aws:events:{REGION}:{MEMBER}:event-bus/default"
    print("boto3: as it should be")


def pages(events, **arguments):
    while True:
        page = events.list_event_buses(**arguments)
        yield page
        if "NextToken" not in page:
            return
        arguments["NextToken"] = page["NextToken"]


if __name__ == "__main__":
    main()
