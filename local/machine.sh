#!/bin/sh
# What this machine lacks to install Headrace, one line each with the Debian package that brings it; exit 1 if anything.
# Everything else is fetched: uv, wheels (PostgreSQL and Java among them), and the jars of Kafka and the S3 server.
# With --packages: only the packages' names, for whoever installs them.
# Used by the Makefile and by .ci/run, before there is a Python environment to ask.

only_packages=${1:-}
missing=0

lacks() { # expected, found, package
    missing=1
    if [ "$only_packages" = --packages ]; then
        echo "$3"
    else
        echo "expected $1, found $2. Install it: apt-get install $3" >&2
    fi
}

if ! command -v python3 >/dev/null 2>&1; then
    lacks "Python 3.11 or newer" "no python3 on \$PATH" "python3"
elif ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    lacks "Python 3.11 or newer" "$(python3 --version 2>&1)" "python3"
elif ! command -v uv >/dev/null 2>&1 && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    lacks "Python's venv, to fetch uv with" "a python3 without it" "python3-venv"
fi

command -v make >/dev/null 2>&1 || lacks "make" "none on \$PATH" "make"
command -v setpriv >/dev/null 2>&1 || lacks "setpriv, which ties the stack's processes together" "none on \$PATH" "util-linux"

exit $missing
