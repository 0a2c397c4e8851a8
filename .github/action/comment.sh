#!/usr/bin/env bash
# Write $RUNNER_TEMP/kerascli.md as the comment of pull request $PULL_REQUEST, in place of the one from before.
set -euo pipefail

comments=repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments
known=$(gh api --paginate "$comments" --jq '.[] | select(.body | startswith("<!-- kerascli -->")) | .id' || true)
if [ -n "$known" ]; then
    target=(--method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/${known%%$'\n'*}")
else
    target=(--method POST "$comments")
fi
if ! gh api --silent "${target[@]}" --field "body=@$RUNNER_TEMP/kerascli.md"; then
    echo "::warning::no comment could be written; the job needs the permission pull-requests: write, which pull" \
        "requests from forks do not have. The comparison is in the summary of the job."
fi
