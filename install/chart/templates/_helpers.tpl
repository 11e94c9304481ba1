{{- define "weft.image" -}}
{{- with .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .Values.image.name }}:{{ include "weft.version" . }}
{{- end }}

{{- define "weft.version" -}}
{{- .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "weft.labels" -}}
app.kubernetes.io/part-of: weft
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ include "weft.version" . | trunc 63 | trimAll "-_." | quote }}
{{ include "weft.selector" . }}
{{- end }}

{{- define "weft.selector" -}}
app.kubernetes.io/name: weft-control
{{- end }}

{{- define "weft.replicas" -}}
{{- if .Values.control.ha }}{{ max 2 (int .Values.control.replicas) }}{{ else }}{{ .Values.control.replicas }}{{ end }}
{{- end }}
