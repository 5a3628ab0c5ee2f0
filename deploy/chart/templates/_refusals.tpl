{{- /* What the schema can't say. */ -}}
{{- define "retina-srm.refusals" -}}
{{- with .Values.auth }}
{{- if not (or .none .keys.name .adminKey.name .oidc.issuer) }}
{{- fail "Choose who may use the service: auth.keys.name, auth.adminKey.name, auth.oidc.issuer, or auth.none=true for everybody (docs/security.md)." }}
{{- end }}
{{- if and .oidc.issuer (not .oidc.audience) }}
{{- fail "auth.oidc.issuer needs auth.oidc.audience, the name of this service in the tokens." }}
{{- end }}
{{- end }}
{{- with .Values.records }}
{{- if and (ne .mode "off") (not .url.name) (not .claim) }}
{{- fail "records.mode needs a database: records.url.name, a Secret with the URL of PostgreSQL, or records.claim for an SQLite file." }}
{{- end }}
{{- if and .url.name .claim }}
{{- fail "Give records.url.name or records.claim, not both." }}
{{- end }}
{{- if and .claim (or (gt (int $.Values.replicas) 1) $.Values.autoscaling.enabled) }}
{{- fail "records.claim is for an SQLite file, which one pod may have: set replicas to 1 and autoscaling.enabled to false, or use records.url.name." }}
{{- end }}
{{- end }}
{{- with .Values.models }}
{{- if gt (len (compact (list .claim .image .address))) 1 }}
{{- fail "Give one of models.claim, models.image and models.address." }}
{{- end }}
{{- if and .credentials (not .address) }}
{{- fail "models.credentials are those of models.address, which is not set." }}
{{- end }}
{{- end }}
{{- if and .Values.models.path (not .Values.models.claim) }}
{{- fail "models.path is a folder of models.claim, which is not set." }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpu) (not .Values.autoscaling.queueLength) }}
{{- fail "autoscaling needs autoscaling.cpu or autoscaling.queueLength." }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas." }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.key.name) (not .Values.auth.none) }}
{{- fail "serviceMonitor needs serviceMonitor.key.name, a Secret with an API key of the scope metrics." }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress needs ingress.host." }}
{{- end }}
{{- end }}
