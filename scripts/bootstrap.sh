#!/bin/sh
# Makes .venv from requirements.lock and puts this checkout and `qm` into it. Returns at once when that is so already.
#
# uv does the work if it is on PATH, else python3 -m venv and pip. The lock's hashes are required either way.
# PYTHON=/path/to/python chooses the interpreter. A .venv without its stamp is half made and is made anew.
set -eu
unset PYTHONPATH PYTHONHOME
cd "$(dirname "$0")/.."
root=$(pwd -P)
venv=$root/.venv
stamp=$venv/.made-from
lock=$root/.venv.lock

say() { printf '%s\n' "$*" >&2; }
# The lock's wheels were looked up for these versions, on Linux (x86-64, ARM) and macOS (ARM).
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; }
version() { "$1" -c 'import sys; print(sys.version.split()[0])' 2>/dev/null || echo 'does not start'; }

# What .venv has to be made from: this place (venvs do not move), this lock, and the way add_project lays things out.
recipe() { printf '%s\n%s\n%s\n' "$root" "$(cksum <requirements.lock)" 'layout 1'; }

is_current() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(recipe)" ] || return 1
    "$venv/bin/python" -P -c 'import qmworkbench' 2>/dev/null || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version "$PYTHON")" = "$(version "$venv/bin/python")" ]
}

# One maker at a time. A lock whose owner is gone (killed) is taken over.
take_lock() {
    told=
    until mkdir "$lock" 2>/dev/null; do
        [ -d "$lock" ] || { say "cannot write in $root: make the directory writable, then run make again"; exit 1; }
        owner=$(cat "$lock/pid" 2>/dev/null || true)
        if [ -z "$owner" ]; then
            sleep 2
            owner=$(cat "$lock/pid" 2>/dev/null || true)
        fi
        if [ -z "$owner" ] || ! kill -0 "$owner" 2>/dev/null; then
            rm -rf "$lock"
            continue
        fi
        [ -n "$told" ] || say "another make (process $owner) is making .venv; waiting for it (if none is: rm -r .venv.lock)"
        told=yes
        sleep 1
    done
    trap 'rm -rf "$lock"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    echo $$ >"$lock/pid"
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && { echo "$PYTHON"; return; }
        say "PYTHON=$PYTHON: found version: $(version "$PYTHON"); QuantMatrix needs Python 3.11 to 3.14"
        return 1
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.14; do
        fits "$name" && { command -v "$name"; return; }
    done
    [ -n "$uv" ] && { echo '>=3.11,<3.15'; return; }  # uv finds one where we do not look, or fetches one
    if command -v python3 >/dev/null 2>&1; then
        say "QuantMatrix needs Python 3.11 to 3.14; found version: $(version python3) ($(command -v python3))"
    else
        say "QuantMatrix needs Python 3.11 to 3.14; found no python3 on PATH"
    fi
    say "  Debian, Ubuntu:  apt-get install python3 python3-venv"
    say "  macOS:           brew install python@3.13"
    say "  anywhere:        install uv, which brings its own; or make ... PYTHON=/path/to/python3.13"
    return 1
}

packages() { grep -c '^[A-Za-z0-9]' requirements.lock; }

make_with_uv() {
    say "making .venv with uv ($("$uv" --version)); the first time it downloads up to $(packages) packages"
    rm -rf "$venv"
    "$uv" venv --quiet --python "$1" "$venv" &&
        "$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements.lock
}

make_with_pip() {
    say "making .venv with $1 ($(version "$1")) and pip; the first time it downloads up to $(packages) packages: minutes"
    rm -rf "$venv"
    "$1" -m venv "$venv" >"$lock/venv.log" 2>&1 || {
        cat "$lock/venv.log" >&2
        say "'$1 -m venv' failed. Debian, Ubuntu: apt-get install python3-venv; or put uv on PATH. Then run make again"
        return 1
    }
    # --no-deps: the lock is complete, so nothing is left to resolve. The counter replaces 200 lines of pip.
    { PIP_USER=0 "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-deps \
        --require-hashes -r requirements.lock || echo failed >"$lock/failed"; } |
        awk '/^(Collecting|Processing) / { if (++n % 40 == 0) { print "  " n " packages found"; fflush() } }
             /^Installing / { print "  installing " n " packages"; fflush() }' >&2
    [ ! -e "$lock/failed" ]
}

# A path file and a script instead of an editable install: that would need a build tool from outside the lock.
add_project() {
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root" >"$site/qmworkbench.pth"
    cat >"$venv/bin/qm" <<SCRIPT
#!/bin/sh
'''exec' "$venv/bin/python" "\$0" "\$@"
' '''
import sys

from qmworkbench.cli import main

sys.exit(main())
SCRIPT
    chmod +x "$venv/bin/qm"
}

is_current && exit 0
take_lock
is_current && exit 0  # the other make has just finished it
uv=$(command -v uv || true)
python=$(choose_python) || exit 1
if [ -n "$uv" ] && make_with_uv "$python"; then
    :
elif [ "$python" = '>=3.11,<3.15' ]; then
    say "uv could not make .venv (see above) and there is no Python 3.11 to 3.14 for pip to do it"
    exit 1
else
    [ -z "$uv" ] || say "uv could not (see above); trying with pip"
    make_with_pip "$python" || {
        say ".venv is not complete; run make again once the cause above is gone (what was downloaded is kept)"
        exit 1
    }
fi
add_project
recipe >"$stamp.new"
mv "$stamp.new" "$stamp"
say ".venv is ready: $(version "$venv/bin/python")"
