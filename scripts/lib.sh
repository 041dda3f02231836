# Sourced by the other scripts: where the repository is, and what they say and install.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# packages NAME...: installs Debian packages where that is possible without asking, else says how to.
packages() {
    if ! has apt-get; then
        say "Please install: $*"
        return 1
    elif [[ $(id -u) != 0 ]]; then
        say "Please run: sudo apt-get install $*"
        return 1
    fi
    say "Installing $* ..."
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null 2>&1; then
        apt-get update -qq </dev/null >/dev/null && apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
    fi
}

# unchanged STAMP FILE...: whether the files are as they were when `remember` was called with the same arguments.
unchanged() { [[ -f $1 ]] && [[ $(cat "$1") == "$(cat "${@:2}" | sha256sum)" ]]; }
remember() { cat "${@:2}" | sha256sum >"$1"; }
