#!/usr/bin/env bash
# Builds the plugin's archives, and Krew's manifest with their checksums: hack/krew/release.sh VERSION DIRECTORY [URL]
# VERSION is a tag such as v0.1.0. PLATFORMS says which, as os/arch. The same tree makes the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=${1:?usage: hack/krew/release.sh VERSION DIRECTORY [URL]}
dist=${2:?usage: hack/krew/release.sh VERSION DIRECTORY [URL]}
url=${3:-https://github.com/tegata-dev/tegata/releases/download/$version}
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+ ]] || { echo "release.sh: $version is no version such as v0.1.0" >&2; exit 2; }
read -r -a platforms <<<"${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}"

mkdir -p "$dist"
manifest=$dist/relay.yaml
sed "s|@VERSION@|$version|" hack/krew/relay.yaml.in >"$manifest"
for platform in "${platforms[@]}"; do
  os=${platform%/*} arch=${platform#*/} bin=kubectl-relay
  [ "$os" != windows ] || bin=kubectl-relay.exe
  stage=$(mktemp -d)
  trap 'rm -rf "$stage"' EXIT
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$version" -o "$stage/$bin" ./cmd/kubectl-relay
  cp LICENSE "$stage/"
  archive=kubectl-relay_${os}_${arch}.tar.gz
  tar -C "$stage" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . | gzip -n >"$dist/$archive"
  rm -rf "$stage"
  cat >>"$manifest" <<END
  - selector:
      matchLabels: {os: $os, arch: $arch}
    uri: $url/$archive
    sha256: $(sha256sum "$dist/$archive" | cut -d' ' -f1)
    bin: $bin
    files:
    - {from: $bin, to: .}
    - {from: LICENSE, to: .}
END
done
echo "$manifest"
