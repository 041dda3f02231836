# Sourced by the other scripts: where the repository is, and what they say and install.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Python keeps what it has compiled. Else every test process, and every gateway that a test starts, compiles all of it again.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
# workers: how many tests run at once. There are two a processor, since one waits while the other works; four at the most.
workers() { local cores; cores=$(nproc); echo $((cores < 2 ? 2 * cores : 4)); }
has() { command -v "$1" >/dev/null 2>&1; }

# candidate NAME: the version of a Debian package that would be installed; nothing where none is known.
candidate() { apt-cache policy "$1" 2>/dev/null | sed -n '/(none)/d; s/^  Candidate: //p'; }

# packages NAME...: installs Debian packages where that is possible without asking, else says how to.
packages() {
    if ! has apt-get; then
        say "Please install: $*"
        return 1
    elif [[ $(id -u) != 0 ]]; then
        say "Please run as root: apt-get install $*"
        return 1
    fi
    local name
    local -a offered=()
    for name in "$@"; do
        [[ -n $(candidate "$name") ]] || { apt-get update -qq </dev/null >/dev/null || true; break; }
    done
    for name in "$@"; do
        if [[ -n $(candidate "$name") ]]; then offered+=("$name"); else say "There is no package $name here."; fi
    done
    [[ ${#offered[@]} -gt 0 ]] || return 1
    say "Installing ${offered[*]} ..."
    # Old lists name packages that are gone. And one that cannot be installed keeps none of the others away.
    if ! apt_install "${offered[@]}" 2>/dev/null; then
        apt-get update -qq </dev/null >/dev/null || true
        if ! apt_install "${offered[@]}"; then
            for name in "${offered[@]}"; do apt_install "$name" || offered=(); done
        fi
    fi
    [[ ${#offered[@]} -eq $# ]]
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" \
        </dev/null >/dev/null
}

# unchanged STAMP FILE...: whether the files are as they were when `remember` was called with the same arguments.
unchanged() { [[ -f $1 ]] && [[ $(cat "$1") == "$(cat "${@:2}" | sha256sum)" ]]; }
remember() { cat "${@:2}" | sha256sum >"$1"; }

# uv_program: where uv is, which resolves what is locked; installs it.
uv_program() {
    if [[ ! -x .cache/lock/bin/uv ]]; then
        [[ -x .venv/bin/python ]] || bash scripts/setup
        .venv/bin/python -m venv .cache/lock
        .cache/lock/bin/python -m pip install --quiet --disable-pip-version-check --no-input 'uv>=0.9,<1' </dev/null >&2
    fi
    echo .cache/lock/bin/uv
}
