{{- define "busgrant.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the Service's suffix. */}}
{{- define "busgrant.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $both .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "busgrant.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "busgrant.serviceAccountName" -}}
{{- default (include "busgrant.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* Cluster or Namespaces: what the controller's rights span. */}}
{{- define "busgrant.scope" -}}
{{- ternary "Namespaces" "Cluster" (not (empty .Values.controller.watchNamespaces)) }}
{{- end }}

{{/* Several installations that serve some namespaces each may stand in one cluster; of the others only one. */}}
{{- define "busgrant.clusterRoleName" -}}
{{- $name := include "busgrant.fullname" . }}
{{- ternary (printf "%s-%s" $name (include "busgrant.namespace" .)) $name (eq (include "busgrant.scope" .) "Namespaces") }}
{{- end }}

{{- define "busgrant.selectorLabels" -}}
app.kubernetes.io/name: {{ include "busgrant.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{/* Metadata of an object: (dict "context" $ "name" … "labels" … "annotations" …); without "name" the full name, and with
     "cluster" no namespace. What the chart itself says of labels wins, and of annotations the more special. */}}
{{- define "busgrant.metadata" -}}
{{- $ := .context }}
{{- $own := include "busgrant.selectorLabels" $ | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/version" $.Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" $.Release.Service }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_") -}}
name: {{ default (include "busgrant.fullname" $) .name }}
{{- if not .cluster }}
namespace: {{ default (include "busgrant.namespace" $) .namespace }}
{{- end }}
labels:
  {{- merge $own (default dict .labels) $.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge dict (default dict .annotations) $.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "busgrant.image" -}}
{{- $image := .Values.image }}
{{- $repository := ternary $image.repository (printf "%s/%s" $image.registry $image.repository) (empty $image.registry) }}
{{- if $image.digest }}
{{- printf "%s%s@%s" $repository (ternary "" (printf ":%s" $image.tag) (empty $image.tag)) $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* The role that IRSA gives the chart's own ServiceAccount. */}}
{{- define "busgrant.irsaRole" -}}
{{- if .Values.serviceAccount.create }}
{{- get .Values.serviceAccount.annotations "eks.amazonaws.com/role-arn" }}
{{- end }}
{{- end }}

{{/* Over nodes and zones unless told otherwise; who leaves out the labelSelector means these Pods. */}}
{{- define "busgrant.spread" -}}
{{- $constraints := .Values.topologySpreadConstraints }}
{{- if and (not $constraints) (gt (int64 .Values.replicaCount) 1) }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
{{- $constraints = append $constraints (dict "topologyKey" . "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway" "matchLabelKeys" (list "pod-template-hash")) }}
{{- end }}
{{- end }}
{{- $selector := dict "matchLabels" (include "busgrant.selectorLabels" . | fromYaml) }}
{{- $all := list }}
{{- range $constraints }}
{{- $all = append $all (hasKey . "labelSelector" | ternary . (set (deepCopy .) "labelSelector" $selector)) }}
{{- end }}
{{- if $all }}
{{- toYaml $all }}
{{- end }}
{{- end }}
