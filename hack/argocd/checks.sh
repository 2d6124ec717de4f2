# How a step of the scenarios is told, to be sourced.

passed=0
failed=()

# check <sentence> <command...>: runs it, and shows what it said if it failed.
check() {
  local sentence=$1 begin=${EPOCHREALTIME/./} status=0 took
  shift
  "$@" >"$work/said" 2>&1 || status=$?
  took=$(((${EPOCHREALTIME/./} - begin) / 1000))
  if ((status == 0)); then
    passed=$((passed + 1))
    printf 'ok      %6d ms  %s\n' "$took" "$sentence"
  else
    failed+=("$sentence")
    printf 'FAILED  %6d ms  %s\n' "$took" "$sentence"
    sed 's/^/        | /' "$work/said" | tail -n 25
  fi
}

# says <text> <command...>: succeeds if the command does and its output has the text.
says() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || { printf '%s\n' "$output"; return 1; }
  grep -qF -- "$text" <<<"$output" || { printf 'no %q in:\n%s\n' "$text" "$output"; return 1; }
}

# refused <text> <command...>: succeeds if the command fails and its output has the text.
refused() {
  local text=$1 output
  shift
  if output=$("$@" 2>&1); then printf 'was allowed:\n%s\n' "$output"; return 1; fi
  grep -qF -- "$text" <<<"$output" || { printf 'no %q in:\n%s\n' "$text" "$output"; return 1; }
}

lacks() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || { printf '%s\n' "$output"; return 1; }
  ! grep -F -- "$text" <<<"$output"
}
