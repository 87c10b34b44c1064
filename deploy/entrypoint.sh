#!/bin/sh
# Run a command in the project, ./project: cloned from $BERTLINE_REPOSITORY the first time, brought up to date later.
# What a run has changed there stays. git says which file is in the way if a new commit changes it, too.
set -eu
if [ ! -d project ]; then
  git clone --quiet "${BERTLINE_REPOSITORY:?set it to the address of the git repository of the project}" project
  cd project
else
  cd project
  if git fetch --quiet; then
    git merge --quiet --ff-only
  else
    echo "warning: origin cannot be reached; the code that is here runs" >&2
  fi
fi
exec "$@"
