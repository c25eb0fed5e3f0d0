#!/usr/bin/env bash
# Fails when what is committed is not what would be generated, or is not tidy, formatted and vetted, or
# when anything is not committed. It regenerates into the tree, so that the mending is a commit.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failures=0
fail() { # fail WHAT HOW DETAIL
  failures=$((failures + 1))
  printf '\nverify: %s\n' "$1" >&2
  [ -z "$3" ] || sed 's/^/    /' <<<"$3" >&2
  printf '  → %s\n' "$2" >&2
}

# state: every path that differs from the commit, with its content's hash, so that a change shows.
state() {
  git status --porcelain --untracked-files=all --no-renames | while read -r status path; do
    printf '%s %s\n' "$path" "$(git hash-object -- "$path" 2>/dev/null || echo "$status")"
  done | sort
}

before=$(state)
make --no-print-directory generate manifests || fail "generating failed" "mend what is said above" ""
after=$(state)
stale=$(comm -13 <(echo "$before") <(echo "$after") | cut -d' ' -f1)
[ -z "$stale" ] || fail "generated files were stale, and have been generated anew" \
  "look at \`git diff\` and commit them with the change that caused them" "$stale"
own=$(cut -d' ' -f1 <<<"$before")
[ -z "$own" ] || fail "the tree differs from the commit" "commit these, or add them to .gitignore" "$own"

while read -r module; do
  dir=$(dirname "$module")
  diff=$(cd "$dir" && go mod tidy -diff 2>&1) || fail "$module is not tidy" "run \`cd $dir && go mod tidy\`" "$diff"
done < <(git ls-files 'go.mod' '**/go.mod')

unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l 2>&1) || true
[ -z "$unformatted" ] || fail "not formatted" "run \`gofmt -w\` on these" "$unformatted"

vetted=$(go vet ./... 2>&1 && cd hack/release && go vet ./... 2>&1) || fail "go vet complains" "mend these" "$vetted"

[ "$failures" = 0 ] || exit 1
echo "verify: nothing to do"
