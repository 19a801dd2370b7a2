{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{/* Short: a StatefulSet's name has 52 letters at most, a CronJob's too, ours end in 32. */}}
{{- define "rackwatt.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 20 | trimSuffix "-" -}}
{{- end }}

{{/* Labels of every object. Call with (dict "top" $ "part" "collector" "own" "a"). */}}
{{- define "rackwatt.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .top.Chart.Name .top.Chart.Version }}
app.kubernetes.io/version: {{ .top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .top.Release.Service }}
{{ include "rackwatt.selector" . }}
{{- end }}

{{/* What selects a component's pods; never to be changed: selectors are immutable. */}}
{{- define "rackwatt.selector" -}}
app.kubernetes.io/name: rackwatt
app.kubernetes.io/instance: {{ .top.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- with .own }}
rackwatt/own: {{ . }}
{{- end }}
{{- end }}

{{/* Call with (dict "top" $ "of" .Values.image.agent). */}}
{{- define "rackwatt.image" -}}
{{- $name := .of.repository -}}
{{- with .top.Values.image.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .) $name }}{{ end -}}
{{- if .of.digest -}}
{{ printf "%s@%s" $name .of.digest }}
{{- else -}}
{{ printf "%s:%s" $name (.of.tag | default .top.Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* Pods: nobody's user, no token of the cluster. */}}
{{- define "rackwatt.pod" -}}
serviceAccountName: {{ include "rackwatt.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rackwatt.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a pod goes. Call with a part of the values. */}}
{{- define "rackwatt.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rackwatt.siteMap" -}}
{{- .Values.site.existingConfigMap | default (printf "%s-site" (include "rackwatt.name" .)) -}}
{{- end }}

{{/* Restarts pods when the site file has changed. */}}
{{- define "rackwatt.siteChecksum" -}}
rackwatt/site: {{ toYaml .Values.site | sha256sum | trunc 16 }}
{{- end }}

{{- define "rackwatt.claim" -}}
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
{{- with .storageClass }}
  storageClassName: {{ . }}
{{- end }}
  resources:
    requests: {storage: {{ .size }}}
{{- end }}

{{/* A Secret with one or some keys as a volume. Call with (dict "name" "x" "secret" "s"). */}}
{{- define "rackwatt.secret" -}}
- name: {{ .name }}
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
{{- end }}

{{- define "rackwatt.tmp" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- end }}

{{/* The port of a URL; mqtt 1883, mqtts 8883, http 80, https 443. */}}
{{- define "rackwatt.port" -}}
{{- $url := urlParse . -}}
{{- if contains ":" $url.host -}}
{{ splitList ":" $url.host | last }}
{{- else -}}
{{ get (dict "mqtt" 1883 "mqtts" 8883 "http" 80 "https" 443) $url.scheme }}
{{- end -}}
{{- end }}

{{/* The ports that pods have: policies look behind Services. */}}
{{- define "rackwatt.brokerPort" -}}
{{- .Values.broker.podPort | default (include "rackwatt.port" .Values.broker.url) -}}
{{- end }}
{{- define "rackwatt.influxPort" -}}
{{- .Values.influx.podPort | default (include "rackwatt.port" .Values.influx.url) -}}
{{- end }}

{{/* Arguments, mounts and volumes of InfluxDB, for collectors and the accountant. */}}
{{- define "rackwatt.influxArguments" -}}
{{- with .Values.influx }}
{{- if .url }}
- --influx={{ .url }}
- --influx-org={{ .org }}
- --influx-rollups-bucket={{ .rollupsBucket }}
- --influx-token-file=/etc/rackwatt/influx/{{ .tokenKey }}
{{- if .caSecret }}
- --influx-ca-file=/etc/rackwatt/influx-ca/{{ .caKey }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rackwatt.influxMounts" -}}
{{- with .Values.influx }}
{{- if .url }}
- {name: influx, mountPath: /etc/rackwatt/influx, readOnly: true}
{{- if .caSecret }}
- {name: influx-ca, mountPath: /etc/rackwatt/influx-ca, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rackwatt.influxVolumes" -}}
{{- with .Values.influx }}
{{- if .url }}
{{ include "rackwatt.secret" (dict "name" "influx" "secret" (required "influx.tokenSecret: name the Secret with InfluxDB's token to write" .tokenSecret)) }}
{{- if .caSecret }}
{{ include "rackwatt.secret" (dict "name" "influx-ca" "secret" .caSecret) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Probes of a role's HTTP port. Call with (dict "port" 8401 "tls" false). */}}
{{- define "rackwatt.probes" -}}
{{- $scheme := ternary "HTTPS" "HTTP" .tls -}}
startupProbe:
  httpGet: {path: /healthz, port: web, scheme: {{ $scheme }}}
  periodSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /healthz, port: web, scheme: {{ $scheme }}}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: web, scheme: {{ $scheme }}}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{- define "rackwatt.collectorUrl" -}}
{{- $scheme := ternary "https" "http" (not (empty .top.Values.collector.tlsSecret)) -}}
{{ printf "%s://%s-collector-%s:8401" $scheme (include "rackwatt.name" .top) .shard.name }}
{{- end }}

{{/* A claim of a volume that outlives the release. Call with {size, storageClass}. */}}
{{- define "rackwatt.ownClaim" }}
spec:
  accessModes: [ReadWriteOnce]
{{- with .storageClass }}
  storageClassName: {{ . }}
{{- end }}
  resources:
    requests: {storage: {{ .size }}}
{{- end }}

{{/* On the node of a role: its volume can be mounted there alone. */}}
{{- define "rackwatt.beside" -}}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- .beside | nindent 12 }}
{{- end }}

{{/* Egress to whoever answers for names. */}}
{{- define "rackwatt.names" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}

{{- define "rackwatt.scraped" -}}
- ports: [{port: 9101}]
  {{- with .Values.networkPolicy.metricsFrom }}
  from: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
