{{- define "mastra-gateway.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* At most 57 characters, so that `-admin` still fits. */}}
{{- define "mastra-gateway.fullname" -}}
{{- $name := include "mastra-gateway.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{ .Values.fullnameOverride | default $full | trunc 57 | trimSuffix "-" }}
{{- end }}

{{- define "mastra-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mastra-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Without the chart's version: another chart that makes the same pods must not roll them, and cut streams. */}}
{{- define "mastra-gateway.podLabels" -}}
{{ include "mastra-gateway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: gateway
app.kubernetes.io/part-of: mastra
{{- end }}

{{- define "mastra-gateway.labels" -}}
{{ include "mastra-gateway.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mastra-gateway.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "mastra-gateway.fullname" .) "default") }}
{{- end }}

{{- define "mastra-gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}
