# Sourced, after lib.sh: what is needed of the system, and which of Debian's packages bring it.
# shellcheck shell=bash

readonly NODE=20 JAVA=17

python_is_usable() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if python_is_usable "$name"; then command -v "$name"; return; fi
    done
    return 1
}

find_nginx() { PATH=/usr/sbin:/usr/local/sbin:$PATH has nginx; }
find_haproxy() { PATH=/usr/sbin:/usr/local/sbin:$PATH has haproxy; }
find_faketime() { compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1" >/dev/null; }
find_certificates() { [[ -n ${SSL_CERT_FILE:-} || -s /etc/ssl/certs/ca-certificates.crt ]]; }
java_is_new_enough() { has java && [[ $(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') -ge $JAVA ]]; }
node_is_new_enough() { has node && [[ $(node --version | sed 's/^v\([0-9]*\).*/\1/') -ge $NODE ]]; }

# Debian's Node where it is new enough, or where nobody knows its version; else npm alone, with which scripts/test gets a newer one.
node_packages() {
    local version
    version=$(candidate nodejs)
    version=${version#*:}
    if ! node_is_new_enough && [[ -z $version || ${version%%.*} -ge $NODE ]]; then echo nodejs; fi
    has npm || echo npm
}

# wanted_packages: Debian's packages of what the tests use and is not here, one a line.
wanted_packages() {
    find_python >/dev/null || printf '%s\n' python3 python3-venv
    find_certificates || echo ca-certificates
    has git || echo git
    has curl || echo curl
    has openssl || echo openssl
    has mount || echo mount
    { java_is_new_enough && has javac; } || echo default-jdk-headless
    has mvn || echo maven
    node_packages
    has go || echo golang-go
    has chromium || echo chromium
    has chromium-headless-shell || [[ -z $(candidate chromium-headless-shell) ]] || echo chromium-headless-shell
    has firefox-esr || echo firefox-esr
    has redis-server || echo redis-server
    find_nginx || echo nginx-light
    find_haproxy || echo haproxy
    find_faketime || echo libfaketime
    has systemd-analyze || echo systemd
    has cc || printf '%s\n' gcc libc6-dev
}
