-- ListEventBuses: a page of 100 buses with their policies.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-amz-json-1.1"
wrk.headers["X-Amz-Target"] = "AWSEvents.ListEventBuses"
wrk.headers["Authorization"] =
  "AWS4-HMAC-SHA256 Credential=123456789012/20260913/us-east-1/events/aws4_request, SignedHeaders=host, Signature=0"
wrk.body = '{"NamePrefix":"bench-","Limit":100}'
