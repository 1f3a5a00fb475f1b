{{- define "fluffy.name" -}}
{{- if contains "fluffy" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-fluffy" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fluffy.selector" -}}
app.kubernetes.io/name: fluffy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fluffy.labels" -}}
{{ include "fluffy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "fluffy.secret" -}}
{{ .Values.existingSecret | default (include "fluffy.name" .) }}
{{- end }}

{{- define "fluffy.domain" -}}
{{ include "fluffy.name" . }}-peers.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- /* NAME=HOST of the nodes that the cluster is born with: what FLUFFY_NODES holds. */ -}}
{{- define "fluffy.nodes" -}}
{{- $name := include "fluffy.name" . -}}
{{- $domain := include "fluffy.domain" . -}}
{{- range $i := until (int .Values.bornWith) }}{{ if $i }} {{ end }}{{ $name }}-{{ $i }}={{ $name }}-{{ $i }}.{{ $domain }}{{ end }}
{{- end }}
