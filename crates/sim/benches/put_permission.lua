-- PutPermission on one of 1,000 buses: each call a change, since the principal differs.
local body = '{"EventBusName":"bench-%d","Action":"events:PutEvents","Principal":"%012d","StatementId":"s%d"}'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-amz-json-1.1"
wrk.headers["X-Amz-Target"] = "AWSEvents.PutPermission"
wrk.headers["Authorization"] =
  "AWS4-HMAC-SHA256 Credential=123456789012/20260913/us-east-1/events/aws4_request, SignedHeaders=host, Signature=0"

function request()
  local principal = 100000000000 + math.random(0, 899999999)
  return wrk.format(nil, nil, nil, string.format(body, math.random(0, 999), principal, math.random(0, 9)))
end
