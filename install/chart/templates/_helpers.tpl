{{- define "weft.image" -}}
{{- with .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .Values.image.name }}:{{ include "weft.version" . }}
{{- end }}

{{- define "weft.version" -}}
{{- .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "weft.labels" -}}
{{ include "weft.common" . }}
{{ include "weft.selector" . }}
{{- end }}

{{- define "weft.node.labels" -}}
{{ include "weft.common" . }}
{{ include "weft.node.selector" . }}
{{- end }}

{{- define "weft.common" -}}
app.kubernetes.io/part-of: weft
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ include "weft.version" . | trunc 63 | trimAll "-_." | quote }}
{{- end }}

{{- define "weft.selector" -}}
app.kubernetes.io/name: weft-control
{{- end }}

{{- define "weft.node.selector" -}}
app.kubernetes.io/name: weft-node
{{- end }}

{{- define "weft.replicas" -}}
{{- if .Values.control.ha }}{{ max 2 (int .Values.control.replicas) }}{{ else }}{{ .Values.control.replicas }}{{ end }}
{{- end }}
