#!/bin/sh
# Output of a hook that lets things go on joins the context.
cat > /dev/null
echo "The release branch is frozen."
