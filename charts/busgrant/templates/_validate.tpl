{{/* Values that are right one by one and wrong together. Everything that is wrong is said at once. */}}
{{- define "busgrant.validate" -}}
{{- $controller := .Values.controller }}
{{- $wrong := list }}

{{- if not .Values.image.repository }}
{{- $wrong = append $wrong "image.repository must be set: no image is published yet. Build one, as docs/install.md says, and name it" }}
{{- end }}

{{- if lt (int64 .Values.replicaCount) 1 }}
{{- $wrong = append $wrong "replicaCount must be 1 or more: with none, nothing is granted, repaired or revoked, and deleted objects don't go away. For a while, use kubectl scale, or annotate the objects with busgrant.dev/paused=true" }}
{{- end }}
{{- if and (gt (int64 .Values.replicaCount) 1) (not $controller.leaderElect) }}
{{- $wrong = append $wrong "controller.leaderElect must be true with more than one replica: EventBridge has no lock, and two that act at once undo each other's writes" }}
{{- end }}
{{- if and (not $controller.leaderElect) (ne (default "Recreate" .Values.strategy.type) "Recreate") }}
{{- $wrong = append $wrong "strategy.type must be Recreate without controller.leaderElect: an update would run two that act at once" }}
{{- end }}

{{- if and $controller.watchNamespaces (not $controller.owner) }}
{{- $wrong = append $wrong "controller.owner must be set with controller.watchNamespaces: 1 to 8 of a-z and 0-9, another for each installation. The default is the same for every installation in the cluster, and they would take each other's statements for their own" }}
{{- end }}
{{- if and $controller.watchNamespaces (eq .Values.rbac.scope "Cluster") }}
{{- $wrong = append $wrong "rbac.scope must not be Cluster with controller.watchNamespaces: for some namespaces there is a Role in each. Empty one of the two" }}
{{- end }}
{{- if and (not $controller.watchNamespaces) (eq .Values.rbac.scope "Namespaces") }}
{{- $wrong = append $wrong "controller.watchNamespaces must name namespaces with rbac.scope Namespaces: an empty list means all of the cluster" }}
{{- end }}

{{- if not (or .Values.aws.region (include "busgrant.regionBy" .)) }}
{{- $wrong = append $wrong "aws.region must be set, such as eu-west-1: nothing else tells the controller its Region. Only with IRSA (serviceAccount.annotations), aws.podIdentity.enabled or AWS_REGION in extraEnv may it be empty" }}
{{- end }}

{{- $irsa := include "busgrant.irsaRole" . }}
{{- if gt (len (without (list $irsa .Values.aws.credentialsSecret.name (ternary "yes" "" .Values.aws.podIdentity.enabled)) "")) 1 }}
{{- $wrong = append $wrong "the annotation eks.amazonaws.com/role-arn, aws.podIdentity.enabled and aws.credentialsSecret.name must not be used together: one would silently win over the other" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- $wrong = append $wrong "serviceAccount.name must name an existing ServiceAccount when serviceAccount.create is false" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) .Values.serviceAccount.annotations }}
{{- $wrong = append $wrong "serviceAccount.annotations must be empty when serviceAccount.create is false: annotate the existing ServiceAccount" }}
{{- end }}

{{- $call := include "busgrant.milliseconds" $controller.awsCallTimeout | int64 }}
{{- if le (include "busgrant.milliseconds" $controller.outcomeWait | int64) $call }}
{{- $wrong = append $wrong "controller.outcomeWait must be longer than controller.awsCallTimeout: a call that is still under way may take effect" }}
{{- end }}
{{- if lt (include "busgrant.milliseconds" $controller.sweepInterval | int64) 1000 }}
{{- $wrong = append $wrong "controller.sweepInterval must be at least 1s: each look costs calls that the account shares" }}
{{- end }}
{{- if $controller.leaderElect }}
{{- $lease := include "busgrant.milliseconds" $controller.leaseDuration | int64 }}
{{- $deadline := include "busgrant.milliseconds" $controller.leaseRenewDeadline | int64 }}
{{- $period := include "busgrant.milliseconds" $controller.leaseRetryPeriod | int64 }}
{{- if ge $deadline $lease }}
{{- $wrong = append $wrong "controller.leaseRenewDeadline must be shorter than controller.leaseDuration: a leader must have ended before another takes over" }}
{{- end }}
{{- if gt (mul 2 $period) $deadline }}
{{- $wrong = append $wrong "controller.leaseRetryPeriod must be at most half of controller.leaseRenewDeadline: one failed try must not end the leader" }}
{{- end }}
{{- if gt $call (sub $lease (mul 2 $period)) }}
{{- $wrong = append $wrong "controller.awsCallTimeout must be at most controller.leaseDuration less two of controller.leaseRetryPeriod: a call must be over before another replica may lead" }}
{{- end }}
{{- end }}
{{- if le (mul (int64 .Values.terminationGracePeriodSeconds) 1000) $call }}
{{- $wrong = append $wrong "terminationGracePeriodSeconds must be longer than controller.awsCallTimeout: a call that is cut off leaves its successor waiting for what became of it" }}
{{- end }}

{{- $flags := include "busgrant.flags" . | fromYaml }}
{{- range .Values.extraEnv }}
{{- if hasKey $flags .name }}
{{- $wrong = append $wrong (printf "extraEnv must not set %s: it has a value of its own, under controller or metrics" .name) }}
{{- end }}
{{- end }}

{{- $rule := .Values.metrics.prometheusRule }}
{{- $known := list }}
{{- range .Files.Get "files/alerts.yaml" | fromYamlArray }}
{{- $known = append $known .alert }}
{{- end }}
{{- range $rule.disabled }}
{{- if not (has . $known) }}
{{- $wrong = append $wrong (printf "metrics.prometheusRule.disabled must name alerts: %s is none. They are %s" . (join ", " (uniq $known))) }}
{{- end }}
{{- end }}
{{- if ge (int64 $rule.thresholds.policySizeHighPercent) (int64 $rule.thresholds.policySizeCriticalPercent) }}
{{- $wrong = append $wrong "metrics.prometheusRule.thresholds.policySizeHighPercent must be less than policySizeCriticalPercent: it is the warning before" }}
{{- end }}

{{- if $wrong }}
{{- fail (printf "\n\nThe values can't be installed:\n- %s\n" (join "\n- " $wrong)) }}
{{- end }}
{{- end }}
