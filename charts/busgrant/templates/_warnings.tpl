{{/* What NOTES.txt warns of: nothing of it keeps the chart from being installed. */}}
{{- define "busgrant.warnings" -}}
{{- $controller := .Values.controller }}
{{- $warnings := list }}
{{- if not (include "busgrant.hasCredentials" .) }}
{{- $warnings = append $warnings "No AWS credentials: there is neither IRSA (serviceAccount.annotations) nor aws.podIdentity.enabled nor aws.credentialsSecret.name. Unless the node lends its own, objects will say CredentialsUnavailable." }}
{{- end }}
{{- $regionBy := include "busgrant.regionBy" . }}
{{- if and (not .Values.aws.region) (eq $regionBy "EKS") }}
{{- $warnings = append $warnings "No aws.region: the controller depends on AWS_REGION, which EKS sets in the Pod, and self-made IRSA often doesn't." }}
{{- else if and (not .Values.aws.region) (eq $regionBy "others") }}
{{- $warnings = append $warnings "No aws.region: the chart can't see whether anything else tells the controller its Region. If nothing does, objects will say CredentialsUnavailable." }}
{{- end }}
{{- if not $controller.accountID }}
{{- $warnings = append $warnings "No controller.accountID: with credentials of another account the controller would work on that account's buses." }}
{{- end }}
{{- if not $controller.leaderElect }}
{{- $warnings = append $warnings "No leader election: nothing keeps a second Pod, scaled or started by hand, from acting at the same time." }}
{{- else if eq (int64 .Values.replicaCount) 1 }}
{{- $warnings = append $warnings "One replica: while it is being moved, nothing is granted, repaired or revoked. What is on the buses stays." }}
{{- end }}
{{- if $controller.allowPublic }}
{{- $warnings = append $warnings "controller.allowPublic: whoever may write an object may open a bus to anyone in AWS." }}
{{- end }}
{{- if or .Values.rbac.aggregate.edit .Values.rbac.aggregate.admin }}
{{- $warnings = append $warnings "rbac.aggregate: everybody who is bound to edit or admin in a namespace may open any bus that the controller's role reaches." }}
{{- end }}
{{- if not .Values.rbac.create }}
{{- $warnings = append $warnings (printf "No rbac.create: the ServiceAccount %s needs the rights of deploy/busgrant.yaml from somewhere." (include "busgrant.serviceAccountName" .)) }}
{{- end }}
{{- if and .Values.crds.install (not .Values.crds.keep) }}
{{- $warnings = append $warnings "No crds.keep: helm uninstall deletes the definition and with it every EventBusPermission." }}
{{- end }}
{{- $metrics := .Values.metrics }}
{{- if and $metrics.prometheusRule.enabled (not $metrics.prometheusRule.selector) (not (and $metrics.service.create $metrics.serviceMonitor.enabled)) }}
{{- $warnings = append $warnings "metrics.prometheusRule finds series by the job and namespace that the chart's Service and ServiceMonitor give, and one of these is off: say in metrics.prometheusRule.selector how they are found, or BusgrantControllerDown fires for ever and the others never." }}
{{- end }}
{{- range $warnings }}
{{- printf "WARNING: %s\n" . }}
{{- end }}
{{- end }}
