#!/usr/bin/env bash
# The end-to-end tests in pods: `make e2e KUBECONFIG=FILE LOAD=COMMAND`. COMMAND is given the file of an image, and
# loads it into the cluster's nodes: LOAD='kind load image-archive --name tegata-e2e'. RESTART_APISERVER, if given, is a
# command that restarts the API server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ -z "${KUBECONFIG:-}" ] || [ -z "${LOAD:-}" ]; then
  echo "usage: make e2e KUBECONFIG=FILE LOAD='kind load image-archive --name NAME' [RESTART_APISERVER=COMMAND]" >&2
  exit 2
fi
export KUBECONFIG=$(realpath "$KUBECONFIG")
missing=()
for each in kubectl openssl curl nginx:nginx-light radclient:freeradius-utils prometheus; do
  command -v "${each%%:*}" >/dev/null || missing+=("${each##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "make e2e: missing: ${missing[*]} (packages of Debian); they are put into an image for pods" >&2
  exit 1
fi

# What is in pods around Tegata: programs of this machine, and hack/e2e/peer.
out=$PWD/bin/e2e
mkdir -p "$out"
(cd hack/release && CGO_ENABLED=0 go build -o "$out/peers" ./peers)
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/peer" ./hack/e2e/peer
"$out/peers" --out "$out/peers.tar" --name registry.example.com/tegata-peers:e2e "$out/peer=/peer" \
  "$(command -v nginx)=/usr/sbin/nginx" "$(command -v radclient)=/usr/bin/radclient" "$(command -v curl)=/usr/bin/curl" /usr/share/freeradius \
  "$(command -v prometheus)=/usr/bin/prometheus"
CGO_ENABLED=0 go build -trimpath -o "$out/kubectl-relay" ./cmd/kubectl-relay
bash -euo pipefail -c "$LOAD \"\$0\"" "$out/peers.tar"

status=0
PATH=$out:$PATH TEGATA_E2E_LOAD=$LOAD TEGATA_E2E_RESTART_APISERVER=${RESTART_APISERVER:-} \
  go test -count=1 -v -timeout=30m -run '^TestInPods$' ./hack/e2e 2>&1 | tee "$out/tests.log" || status=$?
# The cause may be thousands of lines above: what a test says that is neither a command nor what went well.
[ $status = 0 ] || {
  printf '\nwhat failed (all of it is in bin/e2e/tests.log):\n'
  grep -E -- '--- FAIL|^FAIL|^panic:|_test\.go:[0-9]+: ([^$]|\$[^ ])' "$out/tests.log" | grep -vE 'none failed|: alert: ' | cut -c 1-400 | tail -n 40 || true
}
exit $status
