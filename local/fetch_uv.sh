#!/bin/sh
# Fetches uv, which installs everything else by hash, by its own hash: the version that requirements.lock pins, into the
# environment FOLDER, as FOLDER/bin/uv. Used by the Makefile and the Dockerfile: local/fetch_uv.sh FOLDER

set -eu
folder=$1
pin=$folder.lock
mkdir -p "$(dirname "$folder")"
awk '/^[^ #]/ { of_uv = /^uv==/ } of_uv && !/#/' requirements.lock >"$pin"
only="--quiet --require-hashes --no-deps --only-binary :all: --requirement"
# shellcheck disable=SC2086  # one word for each option
if python3 -c 'import ensurepip, venv' 2>/dev/null; then
    python3 -m venv "$folder"
    "$folder/bin/pip" install --disable-pip-version-check $only "$pin"
else # some other uv, which will do to fetch this one: it checks the same hash
    uv venv --quiet --allow-existing "$folder"
    uv pip install --python "$folder/bin/python" $only "$pin"
fi
