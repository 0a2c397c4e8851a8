#!/usr/bin/env bash
# Validate $CONFIGS (paths or globs, separated by blanks), and run two steps of each where $SMOKE is true.
set -euo pipefail
shopt -s globstar nullglob

# shellcheck disable=SC2206  # blanks separate, and globs are meant
found=($CONFIGS)
if [ ${#found[@]} = 0 ]; then
    echo "::error::no file matches configs: $CONFIGS"
    exit 2
fi
if [ "$SMOKE" != true ]; then
    kerascli validate --no-data -- "${found[@]}"
    exit
fi
kerascli validate -- "${found[@]}"
code=0
for config in "${found[@]}"; do
    kerascli train --smoke -- "$config" || { code=$?; echo "::error file=$config::the smoke run ended with $code"; }
done
exit $code
