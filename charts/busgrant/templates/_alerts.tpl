{{/* The codes of failed calls, by who has to do something: src/aws.rs sorts them the same way. */}}
{{- define "busgrant.codes" -}}
throttled: .*Throttl.*|TooManyRequestsException|RequestLimitExceeded
denied: >-
  AccessDenied.*|UnauthorizedOperation|NotAuthorized|OptInRequired|Denied|Expired.*|InvalidClientTokenId|UnrecognizedClientException|.*Signature.*|MissingAuthenticationToken.*|InvalidAccessKeyId|NoCredentials
expected: >-
  ok|NotSent|ConcurrentModification.*|ResourceNotFoundException|NotFound|PolicyLengthExceededException|TooLong|OperationDisabledException|Disabled|Validation.*|InvalidParameterValue|SerializationException|Invalid
{{- end }}

{{/* What stands for ${…} in files/alerts.yaml. */}}
{{- define "busgrant.alertValues" -}}
{{- $rule := .Values.metrics.prometheusRule }}
{{- $fill := merge (dict) $rule.thresholds (include "busgrant.codes" . | fromYaml) }}
{{- $selector := printf "job=%q,namespace=%q" (printf "%s-metrics" (include "busgrant.fullname" .)) (include "busgrant.namespace" .) }}
{{- $_ := set $fill "selector" (default $selector $rule.selector) }}
{{- $sweep := include "busgrant.milliseconds" .Values.controller.sweepInterval | int64 }}
{{- /* Never shorter than metrics are likely to be fetched. */}}
{{- $_ := set $fill "staleSeconds" (max 180 (div (mul $sweep $rule.thresholds.staleSweeps) 1000)) }}
{{- toYaml $fill }}
{{- end }}

{{/* The alerts of files/alerts.yaml that these values ask for, as Prometheus has them. */}}
{{- define "busgrant.alerts" -}}
{{- $rule := .Values.metrics.prometheusRule }}
{{- $fill := include "busgrant.alertValues" . | fromYaml }}
{{- $when := list (ternary "leaderElect" "alone" .Values.controller.leaderElect) (ternary "perObject" "aggregate" .Values.metrics.perObject) }}
{{- $alerts := list }}
{{- range $alert := .Files.Get "files/alerts.yaml" | fromYamlArray }}
{{- if and (or (not $alert.when) (has $alert.when $when)) (not (has $alert.alert $rule.disabled)) }}
{{- $filled := dict }}
{{- range $key, $text := omit $alert "when" }}
{{- range $name, $value := $fill }}
{{- $text = replace (printf "${%s}" $name) (kindIs "float64" $value | ternary (int64 $value | toString) (toString $value)) $text }}
{{- end }}
{{- $_ := set $filled $key $text }}
{{- end }}
{{- $_ := set $filled "labels" (merge (dict "severity" $alert.severity) $rule.alertLabels) }}
{{- $runbook := printf "%s#%s" $rule.runbookURL (lower $alert.alert) }}
{{- $_ := set $filled "annotations" (merge (dict "runbook_url" $runbook) (pick $filled "summary" "description")) }}
{{- $alerts = append $alerts (omit $filled "severity" "summary" "description") }}
{{- end }}
{{- end }}
{{- toYaml $alerts }}
{{- end }}
