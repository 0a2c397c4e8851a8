#!/usr/bin/env bash
# Train $TRAIN (paths or globs) at commit $BASE and at what is checked out, with $TRAIN_ARGUMENTS; the tables that
# compare each pair of runs go to $RUNNER_TEMP/kerascli.md.
# shellcheck disable=SC2016  # the backticks are Markdown
set -euo pipefail
shopt -s globstar nullglob

tree=$RUNNER_TEMP/kerascli-base runs=$RUNNER_TEMP/kerascli-runs page=$RUNNER_TEMP/kerascli.md
# shellcheck disable=SC2206  # blanks separate, and globs are meant
configs=($TRAIN) arguments=($TRAIN_ARGUMENTS)
if [ ${#configs[@]} = 0 ]; then
    echo "::error::no file matches train: $TRAIN"
    exit 2
fi
git cat-file -e "$BASE^{commit}" 2> /dev/null || git fetch --quiet --depth=1 origin "$BASE"
git worktree add --quiet --force --detach "$tree" "$BASE"
trap 'git worktree remove --force "$tree"' EXIT

trained() { # the path of the run of config $1 that is trained in folder $2
    (cd "$2" && kerascli train "${arguments[@]}" --json --runs-dir "$runs" --name "$3" -- "$1") > "$runs/said.json"
    python -P -c 'import json, sys; print(json.load(sys.stdin)["run"])' < "$runs/said.json"
}

mkdir -p "$runs"
printf '%s\n' '<!-- kerascli -->' '### kerascli: before and after' > "$page"
for config in "${configs[@]}"; do
    printf '\n#### `%s`\n\n' "$config" >> "$page"
    after=$(trained "$config" . after)
    if ! [ -e "$tree/$config" ]; then
        shown=$(kerascli runs show "$after" | grep -E '^(seed|device|results|last_epoch)')
        printf 'New here.\n\n```text\n%s\n```\n' "$shown" >> "$page"
    elif before=$(trained "$config" "$tree" before); then
        printf '```text\n%s\n```\n' "$(kerascli runs compare "$before" "$after" 2>&1)" >> "$page"
    else
        printf 'Before, it does not train.\n' >> "$page"
    fi
done
cat "$page" >> "$GITHUB_STEP_SUMMARY"
