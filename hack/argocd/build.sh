#!/usr/bin/env bash
# Builds Argo CD from its Go module, once, and prints the folder that has it: `argocd`, one binary that acts by the name
# it is given; `terminal`, which types into Argo CD's web terminal; the CRDs; a script that its repo server runs.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# The newest that Go 1.26 builds; 3.6 asks for Go 1.27.
version=v3.5.7
# Argo CD's go.mod takes its engine from a folder beside it, which the module does not contain. This is the last commit
# of the engine that can be had as a module of its own, under the name that 3.5 imports.
engine=github.com/argoproj/argo-cd/gitops-engine
engine_version=v0.0.0-20260914071520-c9c369efcc5b

cache="${ARGOCD_AGENT_ARGOCD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/argocd-agent-argocd}"
done="$cache/$version"
if [ ! -x "$done/argocd" ]; then
  mkdir -p "$cache"
  build="$(mktemp -d -p "$cache")"
  trap 'rm -rf "$build"' EXIT
  echo "building Argo CD $version (ten minutes on two cores, once)" >&2
  module="$(cd "$build" && go mod download -json "github.com/argoproj/argo-cd/v3@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')"
  mkdir "$build/source" "$build/out" "$build/out/path"
  # As the main module, so that the replacements in its go.mod hold.
  cp -r "$module/." "$build/source/"
  chmod -R u+w "$build/source"
  mkdir "$build/source/agent-terminal"
  cp "$here/terminal/main.go" "$build/source/agent-terminal/"
  (
    cd "$build/source"
    export GOFLAGS='-mod=mod -buildvcs=false'
    go mod edit -replace "$engine=$engine@$engine_version"
    nice go build -trimpath -ldflags "-s -w -X github.com/argoproj/argo-cd/v3/common.version=${version#v}" -o "$build/out/argocd" ./cmd
    nice go build -trimpath -ldflags '-s -w' -o "$build/out/terminal" ./agent-terminal
  ) >&2
  cp -r "$build/source/manifests/crds" "$build/out/crds"
  install -m 755 "$build/source/hack/git-verify-wrapper.sh" "$build/out/path/"
  rm -rf "$done"
  mv "$build/out" "$done"
fi
echo "$done"
