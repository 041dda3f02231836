# Sourced, after lib.sh: all tests, in four passes, each of which says at its end how many passed.
# shellcheck shell=bash

# These share nothing with others and wait for no clock of the machine. They take both cores.
readonly SIDE_BY_SIDE="not kafka and not redis and not end_to_end and not in_pairs and not alone and not by_hand"
# These start processes, which take both cores. Those of a file come one after the other; several files are tried at once, each
# beside services of its own.
readonly WITH_PROCESSES="not ($SIDE_BY_SIDE) and not in_pairs and not alone and not by_hand"
# These hold the time that a gateway under attack takes, without what it waits for a core; and those with a browser. More of them at
# once would leave the attackers, who give way to everybody, too little.
readonly IN_PAIRS="in_pairs and not alone"
# These measure.
readonly ALONE="alone"
# Files of tests with processes that are tried at once. They keep two cores busy; of one more, brokers and gateways would wait longer
# for a core than for each other.
readonly AT_ONCE=3

# passes PYTEST: fails where a test of a pass does, or where one has no tests. The next runs whatever came of the one before.
passes() {
    local pytest=$1 failed='' failures
    failures=$(mktemp)
    export GATEWAY_TEST_FAILURES=$failures
    # Not beside the next: a busy machine makes the tests slow that hold what time allows.
    # Whoever is done takes over from the others: some of them take a minute, and most a millisecond.
    pass "side by side" --numprocesses="$(workers)" --dist=worksteal -m "$SIDE_BY_SIDE"
    pass "with processes" --numprocesses="$AT_ONCE" --dist=loadfile --no-loadscope-reorder -m "$WITH_PROCESSES"
    pass "in pairs" --numprocesses=2 --dist=loadfile --no-loadscope-reorder -m "$IN_PAIRS"
    pass "alone" -m "$ALONE"
    # Once more, and in short: much has been said since the first.
    cat "$failures" >&2
    rm "$failures"
    [[ -z $failed ]] || die "Not all tests passed that ran $failed."
}

# pass NAME PYTEST ARGUMENT...: one of them, for `passes`. Names the slowest.
pass() {
    say "The tests that run $1:"
    "$pytest" --durations=20 --durations-min=10 "${@:2}" || failed="${failed:+$failed and }$1"
}
