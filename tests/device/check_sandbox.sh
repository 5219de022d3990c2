#!/bin/bash
# Shows on a machine with a GPU what stands between a model and its node there: `tests/device/check_sandbox.sh [SITE]`.
# As root, and again as a user without rights. SITE: a directory with msgspec and structlog for this machine's python3,
# where they are not installed. Needs nothing from outside; takes about a minute.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
export PYTHONPATH="$here${1:+:$(cd "$1" && pwd)}"
export PYTHONDONTWRITEBYTECODE=1
python=$(python3 -c 'import sys; print(sys.executable)')
echo "== the machine"
uname -sr; id -u; cat /sys/kernel/security/lsm 2>/dev/null; echo
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | head -2
ls -ld /dev/nvidia* /dev/shm 2>&1 | cut -c1-100
echo "python3: $python $($python --version)"; $python -c 'import torch; print("torch", torch.__version__, torch.__file__)' 2>&1 | tail -1
mount | grep -E 'cgroup|nvidia' | head -12; cat /proc/self/cgroup | tail -3
echo "user namespaces: $(cat /proc/sys/user/max_user_namespaces 2>/dev/null) $(cat /proc/sys/kernel/unprivileged_userns_clone /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null)"
status=0
cd "$here" || exit 1
echo "== as $(id -un)"
timeout 110 "$python" -m tests.device.sandbox_on_gpu "$python" || status=1
if [ "$(id -u)" = 0 ]; then
    echo "== as nobody"
    copy=$(mktemp -d /var/tmp/headrace-device-code-XXXXXX)
    (cd "$here" && tar cf - --exclude=__pycache__ contract gpu_worker runtime tests/__init__.py tests/device) | tar xf - -C "$copy"
    [ $# -gt 0 ] && cp -r "$1" "$copy/site"
    chmod -R a+rX "$copy"
    setpriv --reuid=65534 --regid=65534 --clear-groups "$python" -c '' 2>/dev/null || python=/usr/bin/python3
    (cd "$copy" && PYTHONPATH="$copy:$copy/site" HOME=/tmp timeout 110 setpriv --reuid=65534 --regid=65534 --clear-groups \
        "$python" -m tests.device.sandbox_on_gpu "$python") || status=1
    rm -rf "$copy"
fi
[ $status = 0 ] && echo "ALL GOOD" || echo "NOT ALL GOOD"
exit $status
