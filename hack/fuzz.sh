#!/usr/bin/env bash
# Fuzzes each target in PKG (default: all) for FUZZTIME, and stops at the first that fails. Go keeps the
# input that failed under testdata/: commit it with the fix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

read -r -a packages <<<"${PKG:-./...}"
targets=0
while read -r dir; do
  names=$(find "$dir" -maxdepth 1 -name '*_test.go' -exec sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' {} +)
  for name in $names; do
    printf '== %s in %s\n' "$name" "${dir#"$PWD"/}"
    (cd "$dir" && go test -run='^$' -fuzz="^$name\$" -fuzztime="${FUZZTIME:-10s}" .)
    targets=$((targets + 1))
  done
done < <(go list -f '{{.Dir}}' "${packages[@]}")
if [ "$targets" = 0 ]; then
  echo "no fuzz target in ${packages[*]}" >&2
  exit 1
fi
echo "fuzzed $targets targets for ${FUZZTIME:-10s} each"
