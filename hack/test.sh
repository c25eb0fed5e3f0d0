#!/usr/bin/env bash
# Runs the tests of PKG (default: all) under the race detector, with the arguments given. The detector
# needs a C compiler: in CI its absence is an error, elsewhere the tests run without it and say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

race=-race
read -r -a cc <<<"$(go env CC)"
if ! command -v "${cc[0]}" >/dev/null; then
  if [ "${CI:-}" = true ]; then
    echo "make test: no C compiler (${cc[0]}), which the race detector needs" >&2
    exit 1
  fi
  race=
fi
warn() {
  [ -n "$race" ] || printf '\n*** NO RACE DETECTOR: there is no C compiler (%s) here; install gcc ***\n\n' "${cc[0]}" >&2
}

warn
trap warn EXIT
read -r -a packages <<<"${PKG:-./...}"
[ "${packages[*]}" != ./... ] || packages=(./internal/acceptance ./...) # what takes longest begins first
export CGO_ENABLED=$([ -n "$race" ] && echo 1 || echo 0)
# Never from Go's test cache: that knows nothing of the API server. The limit is for one package.
go test $race -count=1 -timeout=30m "$@" "${packages[@]}"
# What makes releases is a module of its own, which ./... does not reach. It has no goroutines.
[ "${PKG:-./...}" != ./... ] || (cd hack/release && CGO_ENABLED=0 go test -count=1 -timeout=30m "$@" ./...)
