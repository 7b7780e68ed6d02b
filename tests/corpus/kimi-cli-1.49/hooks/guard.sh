#!/bin/sh
# Exit code 2 blocks, and what stands on stderr goes to the model.
read -r told
case "$told" in
  *'rm -rf'*) echo "Deleting trees is not done here." >&2; exit 2 ;;
esac
exit 0
