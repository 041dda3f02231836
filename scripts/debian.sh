# Sourced, after lib.sh: a Debian in a folder.
# shellcheck shell=bash

# debian_source LABEL: where this machine's apt has that part of Debian from.
debian_source() {
    apt-get indextargets --format "\$(ORIGIN)|\$(LABEL)|\$(REPO_URI)" "Created-By: Packages" | sed -n "s/^Debian|$1|//p" | sort -u | head -n 1
}

# make_debian SUITE ROOT LOG [OPTION OF DEBOOTSTRAP]...: with nothing on it, and apt set up as it is here.
make_debian() {
    local suite=$1 root=$2 log=$3 mirror security
    shift 3
    mirror=$(debian_source Debian)
    security=$(debian_source Debian-Security)
    # Without a mirror debootstrap takes its own.
    debootstrap --variant=minbase "$@" "$suite" "$root" ${mirror:+"$mirror"} >"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
    [[ -z $security ]] || echo "deb $security $suite-security main" >>"$root/etc/apt/sources.list"
    # As an installer of Debian writes it.
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
    apt-config dump | grep '^Acquire::\(http\|https\|Check-\|Retries\)' >"$root/etc/apt/apt.conf.d/99fresh" || true
}
