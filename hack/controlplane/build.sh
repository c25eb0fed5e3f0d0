#!/usr/bin/env bash
# Builds the control plane for tests, benchmarks and the demo, and prints the directory that holds etcd,
# kube-apiserver, kube-controller-manager and kubectl. All but that one line goes to stderr. Needs Go.
#
#   build.sh          build what is missing, print the directory
#   build.sh --where  build nothing; print the directory, or fail when it is not there
#
# KUBEBUILDER_ASSETS, when set, is used instead. The cache is TEGATA_CACHE, by default ~/.cache/tegata.
set -euo pipefail
export CGO_ENABLED=0

readonly names=(etcd kube-apiserver kube-controller-manager kubectl)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TEGATA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tegata}

version=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes \(v[0-9.]*\)$|\1|p' "$here/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
# Without these kubectl refuses to tell its version, and clients are told that the server is v0.0.0.
ldflags="-s -w"
for setting in component-base/version client-go/pkg/version; do
  ldflags+=" -X k8s.io/$setting.gitVersion=$version -X k8s.io/$setting.gitMajor=$major -X k8s.io/$setting.gitMinor=$minor"
done

say() { printf 'control plane: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# complete DIR: the directory holds what tests need. The demo also needs kube-controller-manager.
complete() {
  local name
  for name in etcd kube-apiserver kubectl; do [ -x "$1/$name" ] || return 1; done
}

# key: what was built, so that a change of any of it builds anew beside the old.
key() {
  { cat "$here/go.mod" "$here/go.sum" "$here/main.go"; printf '%s' "$ldflags"; } | sha256sum | cut -c1-16
}

# watched DESCRIBE COMMAND...: runs the command with its stderr in $log, and tells how far it has come.
watched() {
  local describe=$1 ticker status=0
  shift
  : >"$log"
  progress "$describe" 9>&- >&2 &
  ticker=$!
  "$@" 2>"$log" || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if [ -t 2 ]; then printf '\033[K' >&2; fi
  return "$status"
}

# progress DESCRIBE: prints what DESCRIBE prints, on a terminal in one line, until this script ends.
progress() {
  local every=15 end='\n' start=$SECONDS
  [ -t 2 ] && { every=1 end='\033[K\r'; }
  while sleep "$every" && kill -0 $$ 2>/dev/null; do
    printf "control plane: %s, %d s$end" "$("$1")" $((SECONDS - start))
  done
}

fetching() { echo "fetched $(grep -c '^go: downloading' "$log") modules"; }

# compiling: Go names a package when it compiles it, and does not name what is cached. Ours is the last.
compiling() {
  local compiled
  compiled=$(wc -l <"$log")
  case $compiled,$(tail -n 1 "$log") in
    0,*) echo "checking the $packages packages in Go's cache, then linking" ;;
    *,github.com/tegata-dev/*) echo "linking" ;;
    *) echo "compiled $compiled packages of at most $packages" ;;
  esac
}

# build DIR: builds beside DIR and renames, so that a build that is killed leaves nothing half.
build() {
  local dir=$1 tmp=$1.tmp name
  rm -rf "$tmp" && mkdir -p "$tmp"
  log=$tmp/log
  cd "$here"
  say "building Kubernetes $version and etcd; on two cores this takes about 8 minutes the first time"
  watched fetching go list -deps . >"$tmp/packages" || { tail -n 40 "$log" >&2; die "go list failed"; }
  packages=$(wc -l <"$tmp/packages")
  watched compiling go build -v -trimpath -ldflags "$ldflags" -o "$tmp/controlplane" . ||
    { tail -n 40 "$log" >&2; die "go build failed"; }
  for name in "${names[@]}"; do ln -s controlplane "$tmp/$name"; done
  rm "$log" "$tmp/packages"
  mv -T "$tmp" "$dir"
  say "built in $SECONDS s: $dir"
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  complete "$KUBEBUILDER_ASSETS" || die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS must hold etcd, kube-apiserver and kubectl"
  echo "$KUBEBUILDER_ASSETS"
  exit
fi

dir=$cache/controlplane-$(key)
if ! complete "$dir"; then
  [ "${1:-}" != --where ] || die "not built: $dir"
  mkdir -p "$cache"
  exec 9>"$cache/controlplane.lock"
  flock -n 9 || { say "waiting for another build"; flock 9; }
  complete "$dir" || build "$dir"
fi
echo "$dir"
