#!/bin/bash
# What can be said about the sources without running them. Every step runs, whatever the others say.
#   tools/check.sh [BUILD_DIR]      a build directory of the preset check (or clang), default build/check
set -uo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/check}
failed=()

step() {  # NAME COMMAND…
  local name=$1 begin=$SECONDS
  shift
  if "$@"; then
    echo "check: $name: ok ($((SECONDS - begin)) s)"
  else
    echo "check: $name: FAILED"
    failed+=("$name")
  fi
}

format() {
  git ls-files '*.[ch]' '*.[ch]pp' | xargs -r clang-format-19 --dry-run -Werror
}
lint_can_fail() { (cd tools && python3 -B -m unittest -q lint_test) 2>/dev/null || (cd tools && python3 -B lint_test.py); }
spec_check_can_fail() { (cd tools && python3 -B -m unittest -q spec_check_test); }
# All warnings of clang are errors here, -Wthread-safety and -Wthread-safety-beta among them.
# The tests are compiled with the same warnings by the sanitizer builds of .ci/run.
clang_build() { cmake --build "$build" --target product libraries; }
tidy() { tools/tidy.py "$build"; }

step "format (clang-format-19 -i repairs it)" format
step "lint" tools/lint.py
step "lint can fail" lint_can_fail
step "specification check can fail" spec_check_can_fail
step "specification: every rule is cited and asserted" tools/spec_check.py
step "clang build with thread-safety analysis" clang_build
step "clang-tidy" tidy

if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'check: FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "check: all ok"
