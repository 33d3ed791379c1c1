{{/* Each value of `controller`, as the environment variable of the flag of its name. Empty ones are left to the program. */}}
{{- define "busgrant.flags" -}}
{{- $controller := .Values.controller }}
BUSGRANT_OWNER: {{ $controller.owner | quote }}
BUSGRANT_ACCOUNT_ID: {{ $controller.accountID | quote }}
BUSGRANT_WATCH_NAMESPACES: {{ join "," $controller.watchNamespaces | quote }}
BUSGRANT_SWEEP_INTERVAL: {{ $controller.sweepInterval | quote }}
BUSGRANT_ALLOW_PUBLIC: {{ $controller.allowPublic | quote }}
BUSGRANT_DOCUMENT_WRITES: {{ $controller.documentWrites | quote }}
BUSGRANT_POLICY_QUOTA: {{ $controller.policyQuota | int64 | quote }}
BUSGRANT_AWS_CALL_TIMEOUT: {{ $controller.awsCallTimeout | quote }}
BUSGRANT_OUTCOME_WAIT: {{ $controller.outcomeWait | quote }}
BUSGRANT_AWS_REQUESTS_PER_SECOND: {{ $controller.awsRequestsPerSecond | int64 | quote }}
BUSGRANT_CONCURRENCY: {{ $controller.concurrency | int64 | quote }}
BUSGRANT_METRICS_ADDR: {{ printf "%s:%d" .Values.metrics.address (int64 .Values.metrics.port) | quote }}
BUSGRANT_METRICS_PER_OBJECT: {{ .Values.metrics.perObject | quote }}
BUSGRANT_LEADER_ELECT: {{ $controller.leaderElect | quote }}
BUSGRANT_LEASE_NAMESPACE: {{ $controller.leaseNamespace | quote }}
BUSGRANT_LEASE_DURATION: {{ $controller.leaseDuration | quote }}
BUSGRANT_LEASE_RENEW_DEADLINE: {{ $controller.leaseRenewDeadline | quote }}
BUSGRANT_LEASE_RETRY_PERIOD: {{ $controller.leaseRetryPeriod | quote }}
BUSGRANT_LOG_FORMAT: {{ $controller.logFormat | quote }}
BUSGRANT_LOG: {{ $controller.log | quote }}
{{- end }}

{{/* The container's environment. Of variables with one name the last counts, and only that is written: the API server takes
     no two in a server-side apply. */}}
{{- define "busgrant.environment" -}}
{{- $all := list }}
{{- with .Values.aws.region }}
{{- $all = append $all (dict "name" "AWS_REGION" "value" .) }}
{{- end }}
{{- with .Values.aws.endpointURL }}
{{- $all = append $all (dict "name" "AWS_ENDPOINT_URL" "value" .) }}
{{- end }}
{{- if .Values.aws.credentialsSecret.name }}
{{- $all = append $all (dict "name" "AWS_SHARED_CREDENTIALS_FILE" "value" "/etc/busgrant/aws/credentials") }}
{{- end }}
{{- range $name, $value := include "busgrant.flags" . | fromYaml }}
{{- if $value }}
{{- $all = append $all (dict "name" $name "value" $value) }}
{{- end }}
{{- end }}
{{- $all = concat $all .Values.extraEnv }}
{{- $last := dict }}
{{- range $all }}
{{- $_ := set $last .name . }}
{{- end }}
{{- $once := list }}
{{- range $all }}
{{- if hasKey $last .name }}
{{- $once = append $once (get $last .name) }}
{{- $_ := unset $last .name }}
{{- end }}
{{- end }}
{{- toYaml $once }}
{{- end }}

{{/* Whether extraEnv sets one of these names: (dict "context" $ "names" (list …)). */}}
{{- define "busgrant.setsOneOf" -}}
{{- $names := .names }}
{{- range .context.Values.extraEnv }}
{{- if has .name $names }}yes{{ end }}
{{- end }}
{{- end }}

{{/* What tells the controller its Region where aws.region is empty: EKS (with IRSA or Pod Identity), extraEnv, or perhaps
     what the chart can't see. Empty if nothing does. */}}
{{- define "busgrant.regionBy" -}}
{{- if include "busgrant.setsOneOf" (dict "context" . "names" (list "AWS_REGION" "AWS_DEFAULT_REGION" "AWS_PROFILE" "AWS_CONFIG_FILE")) }}
{{- "extraEnv" }}
{{- else if or (include "busgrant.irsaRole" .) .Values.aws.podIdentity.enabled }}
{{- "EKS" }}
{{- else if or .Values.extraEnvFrom (not .Values.serviceAccount.create) }}
{{- "others" }}
{{- end }}
{{- end }}

{{/* Whether the chart can see where credentials come from. */}}
{{- define "busgrant.hasCredentials" -}}
{{- $names := list "AWS_ACCESS_KEY_ID" "AWS_PROFILE" "AWS_CONFIG_FILE" "AWS_SHARED_CREDENTIALS_FILE" "AWS_WEB_IDENTITY_TOKEN_FILE" "AWS_CONTAINER_CREDENTIALS_FULL_URI" }}
{{- if or (include "busgrant.irsaRole" .) .Values.aws.podIdentity.enabled .Values.aws.credentialsSecret.name .Values.extraEnvFrom (not .Values.serviceAccount.create) (include "busgrant.setsOneOf" (dict "context" . "names" $names)) }}
{{- "yes" }}
{{- end }}
{{- end }}

{{/* A duration of the program in milliseconds. */}}
{{- define "busgrant.milliseconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 }}
{{- $unit := default "s" (regexFind "[a-z]+$" .) }}
{{- mul $number (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit) }}
{{- end }}
