{{- define "cutout.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cutout.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cutout.labels" -}}
{{ include "cutout.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: cutout
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "cutout.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cutout.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "cutout.tag" -}}
{{- default .Chart.AppVersion .Values.image.tag -}}
{{- end -}}

{{/* What every pod has. Call with dict "root" $ "part" (values of the component). */}}
{{- define "cutout.podSpec" -}}
serviceAccountName: {{ include "cutout.serviceAccount" .root }}
automountServiceAccountToken: false
# else a Service of a name like cutout-web sets CUTOUT_WEB_PORT in every pod
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "cutout.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "cutout.redisEnv" -}}
- name: CUTOUT_REDIS_URL
  valueFrom:
    secretKeyRef: { name: {{ .Values.redis.existingSecret | quote }}, key: {{ .Values.redis.key | quote }} }
{{- end -}}

{{- define "cutout.s3Env" -}}
{{- if .Values.s3.existingSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: { name: {{ $.Values.s3.existingSecret | quote }}, key: {{ . }} }
{{- end }}
{{- end }}
{{- with .Values.s3.endpointUrl }}
- { name: AWS_ENDPOINT_URL, value: {{ . | quote }} }
{{- end }}
{{- with .Values.s3.region }}
- { name: AWS_DEFAULT_REGION, value: {{ . | quote }} }
{{- end }}
{{- end -}}

{{/* The environment of every process. The two time limits must be the same everywhere. */}}
{{- define "cutout.env" -}}
{{ include "cutout.redisEnv" .root }}
{{- include "cutout.s3Env" .root }}
- { name: CUTOUT_TIME_LIMIT, value: {{ .root.Values.timeLimit | quote }} }
- { name: CUTOUT_VISIBILITY_TIMEOUT, value: {{ .root.Values.visibilityTimeout | quote }} }
- { name: CUTOUT_METRICS_ADDRESS, value: "0.0.0.0" }
- { name: CUTOUT_METRICS_PORT, value: {{ .root.Values.metrics.port | quote }} }
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with .part.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cutout.webhookEnv" -}}
{{- if .Values.webhookSecret.existingSecret }}
- name: CUTOUT_WEBHOOK_SECRET
  valueFrom:
    secretKeyRef: { name: {{ .Values.webhookSecret.existingSecret | quote }}, key: {{ .Values.webhookSecret.key | quote }} }
{{- end }}
{{- end -}}

{{- define "cutout.envFrom" -}}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
