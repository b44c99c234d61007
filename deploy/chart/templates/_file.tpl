{{- /* The gateway's file, as text. */}}
{{- define "mastra-gateway.text" -}}
{{- if not .Values.config -}}
{{ .Files.Get "files/gateway.yaml" }}
{{- else if kindIs "string" .Values.config -}}
{{ .Values.config }}
{{- else -}}
{{ toYaml .Values.config }}
{{- end }}
{{- end }}

{{- /* What the chart must know of the file: ports, grace period, what counts after a restart only. As YAML. */}}
{{- define "mastra-gateway.facts" -}}
{{- $file := include "mastra-gateway.text" . | fromYaml -}}
{{- if $file.Error -}}
{{- fail (printf "config: this is no YAML: %s" $file.Error) -}}
{{- end -}}
{{- if not (hasKey $file "admin") -}}
{{- fail "config.admin: not there, so the admin port would be on loopback (127.0.0.1:9090), where the kubelet cannot ask for /readyz. Write `admin: 0.0.0.0:9090`; networkPolicy.adminFrom says who may reach it" -}}
{{- end -}}
{{- range $section := list "providers" "upstreams" "login" "log" -}}
{{- include "mastra-gateway.refuseSecrets" (dict "path" $section "value" (get $file $section)) -}}
{{- end -}}
admin: {{ include "mastra-gateway.port" (dict "key" "admin" "address" $file.admin "example" "0.0.0.0:9090") }}
listen: {{ include "mastra-gateway.port" (dict "key" "listen" "address" (get $file "listen" | default "0.0.0.0:8080") "example" "0.0.0.0:8080") }}
{{- $delay := include "mastra-gateway.milliseconds" (dict "key" "drain_delay" "duration" (hasKey $file "drain_delay" | ternary $file.drain_delay "0s")) }}
{{- $drain := include "mastra-gateway.milliseconds" (dict "key" "drain_timeout" "duration" (hasKey $file "drain_timeout" | ternary $file.drain_timeout "30s")) }}
hasDelay: {{ ne $delay "0" }}
graceSeconds: {{ add (divf (add $delay $drain) 1000 | ceil) .Values.terminationReserveSeconds }}
scheme: {{ hasKey $file "tls" | ternary "https" "http" }}
hasSubjectSecret: {{ or (dig "log" "subject_secret" "" $file) (dig "log" "subject_secret_file" "" $file) | not | not }}
believesProxies: {{ get $file "trusted_proxies" | not | not }}
{{- $fixed := pick $file "listen" "admin" "admin_hosts" "workers" "log" "traces" "express" }}
fixedAtStart: {{ list $fixed (dig "decisions" "listen" "" $file) (hasKey $file "tls") | toJson | sha256sum | trunc 16 | quote }}
{{- end }}

{{- /* Refuses a secret that is written out: a ConfigMap, and a release's values, are read by many. */}}
{{- define "mastra-gateway.refuseSecrets" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- if and (regexMatch `(^|_)secrets?$` $key) (not (kindIs "map" $value)) -}}
{{- range kindIs "slice" $value | ternary $value (list $value) -}}
{{- if not (contains "${" (toString .)) -}}
{{- fail (printf "config.%s.%s: a secret that is written out, where everybody who may read ConfigMaps can read it. Put it into a Secret that `secrets.env` names, and write ${NAME} here; or mount one by `secrets.files`, and use `%s_file`" $path $key (trimSuffix "s" $key)) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- include "mastra-gateway.refuseSecrets" (dict "path" (printf "%s.%s" $path $key) "value" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The port of an address that is every address of the pod. */}}
{{- define "mastra-gateway.port" -}}
{{- $address := toString .address -}}
{{- if regexMatch `^(0\.0\.0\.0|\[::\])?:[0-9]{1,5}$` $address -}}
{{ regexFind `[0-9]+$` $address }}
{{- else if regexMatch `^(127\.|localhost:|\[::1\]:|\[::ffff:127\.)` $address -}}
{{- fail (printf "config.%s: found %s, which is loopback: nobody outside the pod gets there, and neither do the kubelet's probes. Write `%s: %s`" .key $address .key .example) -}}
{{- else if contains "${" $address -}}
{{- fail (printf "config.%s: found %s, but the chart must know the port and sees no variable. Write it out: `%s: %s`" .key $address .key .example) -}}
{{- else -}}
{{- fail (printf "config.%s: found %s, expected a port of every address of the pod. Write `%s: %s`" .key $address .key .example) -}}
{{- end -}}
{{- end }}

{{- /* A duration of the file (500ms, 5s, 1.5h; 0) in whole milliseconds. */}}
{{- define "mastra-gateway.milliseconds" -}}
{{- $duration := toString .duration -}}
{{- if eq $duration "0" -}}
0
{{- else if regexMatch `^[0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h)$` $duration -}}
{{- $factor := get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) (regexFind `[a-z]+$` $duration) -}}
{{ mulf (regexFind `^[0-9.]+` $duration | float64) $factor | ceil | int64 }}
{{- else -}}
{{- fail (printf "config.%s: found %s, but the grace period is made of it: expected a duration such as 500ms, 5s, 10m or 1h, and no variable" .key $duration) -}}
{{- end -}}
{{- end }}
