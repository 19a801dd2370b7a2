{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{/* An agent's file. Call with (dict "top" $ "agent" A), A as in values: fieldAgents. */}}
{{- define "rackwatt.agentFile" -}}
{{- $v := .top.Values }}
{{- $a := .agent }}
agent:
  site: {{ $v.site.id }}
  hall: {{ $a.hall | default "site" }}
  name: {{ $a.name }}
  sample_every: {{ $a.sampleEvery | default "1s" }}
  send_every: {{ $a.sendEvery | default "10s" }}
broker:
  url: {{ $v.broker.url }}
  {{- if $v.broker.caSecret }}
  ca_file: /etc/rackwatt/broker-ca/{{ $v.broker.caKey }}
  {{- end }}
  {{- if $a.passwordSecret }}
  username: {{ $a.name }}
  password_file: /etc/rackwatt/broker/password
  {{- else if $a.certificateSecret }}
  certificate_file: /etc/rackwatt/broker/tls.crt
  key_file: /etc/rackwatt/broker/tls.key
  {{- end }}
outbox: {path: /var/lib/rackwatt/outbox.db, keep: 24h, max_bytes: 1GB}
metrics: {listen: "0.0.0.0:9101"}
{{- with $a.safety }}
safety: {{- toYaml . | nindent 2 }}
{{- end }}
source: {{ $a.source }}
{{ $a.source }}: {{- toYaml ($a.config | default dict) | nindent 2 }}
{{- end }}

{{/* The event loop answers; a process of its own to ask with would cost more than the agent. */}}
{{- define "rackwatt.agentProbes" -}}
startupProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 60
  timeoutSeconds: 10
  failureThreshold: 5
{{- end }}

{{- define "rackwatt.agentMounts" -}}
- {name: data, mountPath: /var/lib/rackwatt}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/rackwatt/config, readOnly: true}
{{- if .Values.broker.caSecret }}
- {name: broker-ca, mountPath: /etc/rackwatt/broker-ca, readOnly: true}
{{- end }}
{{- end }}
