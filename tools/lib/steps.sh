# What tools/check and tools/up share: progress lines, missing packages, building a preset. Sourced by bash.
# Must not: change anything outside build/ but installed packages.
# shellcheck shell=bash

STEP=0
STEPS=0
BEGAN=$SECONDS

# step TEXT: one progress line. STEPS is how many there will be.
step() {
    STEP=$((STEP + 1))
    printf '== [%d/%d] %3ds  %s\n' "$STEP" "$STEPS" "$((SECONDS - BEGAN))" "$*"
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# packages_of SECTION...: the packages of these sections of tools/packages.txt, one a line.
packages_of() {
    local section wanted=" $* " line
    while read -r line; do
        case $line in
        '' | '#'*) ;;
        '['*']') section=${line:1:-1} ;;
        *) [[ $wanted == *" $section "* ]] && printf '%s\n' "$line" ;;
        esac
    done <"$ROOT/tools/packages.txt"
    return 0
}

missing_packages() {
    local package
    for package in $(packages_of "$@"); do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
    done
}

# install_packages SECTION...: what is missing, and nothing (also no `apt-get update`) when nothing is.
install_packages() {
    command -v dpkg-query >/dev/null || fail "this is not Debian; see tools/packages.txt for what is needed"
    local missing as_root=()
    missing=$(missing_packages "$@")
    if [[ -z $missing ]]; then
        echo "   nothing is missing"
        return
    fi
    echo "   missing: ${missing//$'\n'/ }"
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || fail "not root and no sudo: as root, apt-get install ${missing//$'\n'/ }"
        as_root=(sudo)
    fi
    # A service of the distribution (mosquitto, nats-server) that starts on installation is not ours: RUNLEVEL=1 keeps
    # it from starting where the package asks, and nothing here uses its port.
    "${as_root[@]}" apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends $missing >"$LOGS/apt.log" 2>&1 ||
        { tail -20 "$LOGS/apt.log" >&2; fail "installation failed; all of it is in $LOGS/apt.log"; }
    missing=$(missing_packages "$@")
    [[ -z $missing ]] || fail "still missing: ${missing//$'\n'/ }"
}

# build PRESET [TARGET...]: configured once (ninja does it again when it must), built as far as something changed.
build() {
    local preset=$1 log=$LOGS/build-$1.log
    shift
    if [[ ! -f build/$preset/build.ninja ]]; then
        cmake --preset "$preset" >"$log" 2>&1 || { tail -30 "$log" >&2; fail "configuring failed; all of it is in $log"; }
    fi
    ninja -C "build/$preset" -k 0 -j "$JOBS" "$@" >"$log" 2>&1 ||
        { grep -v '^\[' "$log" | head -60 >&2; fail "building failed; all of it is in $log"; }
    echo "   $(tail -1 "$log")"
}
