# Shared by scripts/test, scripts/demo and scripts/fuzz; sourced, not run. Sets ROOT and JOBS.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=$(nproc)
# What one build directory or clone has compiled serves the others.
export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1

# install_packages GROUP...: installs what is missing of the groups in scripts/packages; the only place that calls
# a package manager, and only for a caller that was given --install.
install_packages() {
    local wanted missing=() package sudo=()
    wanted=$(awk -v groups=" $* " '!/^#/ && NF == 2 && index(groups, " " $1 " ") { print $2 }' "$ROOT/scripts/packages")
    if ! command -v apt-get >/dev/null; then
        echo "--install knows Debian's apt-get only; needed:" $wanted >&2
        return 1
    fi
    for package in $wanted; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -q &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
}

# configure DIRECTORY OPTION...: prepares a build directory; ccache is used where it is.
configure() {
    local directory=$1
    shift
    local launcher=()
    command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    cmake -S "$ROOT" -B "$directory" -G Ninja "${launcher[@]}" "$@"
}
