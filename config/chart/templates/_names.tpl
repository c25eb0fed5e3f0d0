{{- /* The image of a command: (list . "manager" .Values.manager.image). */}}
{{- define "tegata.image" -}}
{{- $root := index . 0 -}}
{{- index . 2 | default (printf "%s%s:%s" $root.Values.image.prefix (index . 1) ($root.Values.image.tag | default $root.Chart.AppVersion)) -}}
{{- end }}

{{- /* A file of objects/ with this release's namespace and images: (list . "core"). */}}
{{- define "tegata.objects" -}}
{{- $root := index . 0 -}}
{{- $text := $root.Files.Get (printf "objects/%s.yaml" (index . 1)) | replace "tegata-system" $root.Release.Namespace -}}
{{- $image := printf "%s${1}:%s" $root.Values.image.prefix ($root.Values.image.tag | default $root.Chart.AppVersion) -}}
{{- regexReplaceAll "ghcr\\.io/tegata-dev/tegata-([a-z]+):latest" $text $image -}}
{{- end }}

{{- /* Not empty where the cluster is of Kubernetes 1.36 or later, or is said to be. */}}
{{- define "tegata.since136" -}}
{{- $said := toString .Values.since136 -}}
{{- if or (eq $said "true") (and (eq $said "auto") (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version)) -}}
true
{{- end -}}
{{- end }}

{{- /* Where a program's pods go: (list . "manager"). */}}
{{- define "tegata.placement" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with $values.affinity }}
affinity:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
