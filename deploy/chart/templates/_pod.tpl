{{- /* Whether a pod has several workers. The image `gpu` starts one for each GPU. */ -}}
{{- define "retina-srm.several" -}}
{{- $workers := .Values.workers -}}
{{- if kindIs "invalid" $workers }}{{ if gt (int .Values.gpu.count) 1 }}true{{ end }}
{{- else if kindIs "string" $workers }}true
{{- else if gt (int $workers) 1 }}true
{{- end }}
{{- end }}

{{- /* The longest end of the service: the drain, and the time of a request. One process ends HTTP first, then gRPC.
       Then come the records, for 5 s at most. The supervisor of several workers waits for 10 s more than a request. */ -}}
{{- define "retina-srm.grace" -}}
{{- $request := ceil (addf (float64 .Values.timeouts.body) (float64 .Values.timeouts.request)) -}}
{{- $ports := ternary 2.0 1.0 .Values.grpc.enabled -}}
{{- addf (ceil (float64 .Values.timeouts.drain)) (mulf $ports $request) 15.0 | int64 }}
{{- end }}

{{- /* A value as the service reads it: numbers without an exponent, lists and maps as JSON. */ -}}
{{- define "retina-srm.value" -}}
{{- if or (kindIs "map" .) (kindIs "slice" .) }}{{ toJson . | quote }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . | toString | quote }}
{{- else }}{{ toString . | quote }}
{{- end }}
{{- end }}

{{- define "retina-srm.podsecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "retina-srm.containersecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* A variable from a Secret: a list of its name and the reference. */ -}}
{{- define "retina-srm.secret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ (index . 1).name }}
      key: {{ (index . 1).key }}
{{- end }}

{{- define "retina-srm.environment" -}}
- name: RETINA_HOST
  value: {{ .Values.host | quote }}
- name: RETINA_PORT
  value: "8000"
{{- if .Values.grpc.enabled }}
- name: RETINA_GRPC_PORT
  value: "8001"
{{- end }}
{{- if not (kindIs "invalid" .Values.workers) }}
- name: RETINA_WORKERS
  value: {{ include "retina-srm.value" .Values.workers }}
{{- end }}
- name: RETINA_MODEL_REPOSITORY
  value: {{ .Values.models.address | default "/models" | quote }}
- name: RETINA_DRAIN_SECONDS
  value: {{ include "retina-srm.value" .Values.timeouts.drain }}
- name: RETINA_BODY_TIMEOUT_S
  value: {{ include "retina-srm.value" .Values.timeouts.body }}
- name: RETINA_REQUEST_TIMEOUT_S
  value: {{ include "retina-srm.value" .Values.timeouts.request }}
- name: RETINA_AUTH
  value: {{ ternary "none" "required" .Values.auth.none }}
{{- with .Values.auth }}
{{- if .keys.name }}
- name: RETINA_KEYS_FILE
  value: {{ printf "/etc/retina/keys/%s" .keys.key }}
{{- end }}
{{- if .adminKey.name }}
{{ include "retina-srm.secret" (list "RETINA_ADMIN_KEY" .adminKey) }}
{{- end }}
{{- if .oidc.issuer }}
- name: RETINA_OIDC_ISSUER
  value: {{ .oidc.issuer | quote }}
- name: RETINA_OIDC_AUDIENCE
  value: {{ .oidc.audience | quote }}
{{- end }}
{{- end }}
{{- if .Values.tls.secret }}
- name: RETINA_TLS_CERTIFICATE
  value: /etc/retina/tls/tls.crt
- name: RETINA_TLS_KEY
  value: /etc/retina/tls/tls.key
{{- end }}
- name: RETINA_RECORDS
  value: {{ .Values.records.mode | quote }}
{{- if ne .Values.records.mode "off" }}
{{- if .Values.records.url.name }}
{{ include "retina-srm.secret" (list "RETINA_RECORDS_URL" .Values.records.url) }}
{{- else }}
- name: RETINA_RECORDS_URL
  value: sqlite:////records/records.db
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ include "retina-srm.value" $value }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "retina-srm.probe" -}}
httpGet:
  path: {{ index . 1 }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" (not (empty (index . 0).Values.tls.secret)) }}
{{- end }}
