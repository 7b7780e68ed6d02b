#!/bin/sh
# The structured answer: a decision with its reason.
cat > /dev/null
cat <<'JSON'
{"hookSpecificOutput": {"hookEventName": "Stop", "permissionDecision": "deny", "permissionDecisionReason": "Run the tests first."}}
JSON
