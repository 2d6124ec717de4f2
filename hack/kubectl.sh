#!/usr/bin/env bash
# Runs the integration tests that use kubectl with other versions of it: hack/kubectl.sh 1.30.14 1.33.13
# Each is built once, from the modules that Kubernetes publishes, into target/kubectl. The cluster stays what it is: only
# the client differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

(($#)) || { echo "which versions? such as: hack/kubectl.sh 1.30.14 1.33.13" >&2; exit 2; }

# The program of k8s.io/kubernetes/cmd/kubectl, but for when `-v` begins to count. Not from that module: it would need the
# staging modules replaced one by one.
build() {
  local version=$1 folder=$2 minor module linked
  minor=${version#1.}
  module=v0.$minor
  linked=k8s.io/component-base/version
  mkdir -p "$folder/source"
  cat >"$folder/source/main.go" <<'GO'
package main

import (
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
GO
  (
    cd "$folder/source"
    export CGO_ENABLED=0 GOWORK=off
    [[ -f go.mod ]] || go mod init kubectl
    go get "k8s.io/kubectl@$module" "k8s.io/client-go@$module" "k8s.io/component-base@$module"
    go build -mod=mod -trimpath -buildvcs=false -o ../unfinished \
      -ldflags="-s -w -X $linked.gitVersion=v$version -X $linked.gitMajor=1 -X $linked.gitMinor=${minor%.*}" .
  )
  # Under another name until it is complete: an interrupted build must not look like a program.
  mv "$folder/unfinished" "$folder/kubectl"
}

# Whatever uses kubectl, by the names of its modules.
mapfile -t modules < <(cd tests/integration && grep -rlE 'kubectl(_direct)?\(\)|Kubectl::' . |
  sed -e 's|^\./||' -e 's|\.rs$||' -e 's|/mod$||' -e 's|/|::|g' -e 's|$|::|')

failed=()
for version in "$@"; do
  folder=$PWD/target/kubectl/v$version
  [[ -x $folder/kubectl ]] || build "$version" "$folder"
  "$folder/kubectl" version --client
  KUBEBUILDER_ASSETS=$folder cargo test --locked --package tests --test integration -- "${modules[@]}" ||
    failed+=("$version")
done
((${#failed[@]} == 0)) || { echo "failed with kubectl ${failed[*]}" >&2; exit 1; }
