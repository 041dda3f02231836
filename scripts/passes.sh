# Sourced, after lib.sh: all tests, in three passes, each of which says at its end how many passed.
# shellcheck shell=bash

# These share nothing with others and wait for no clock of the machine. Half of their time they wait for one of their own.
readonly SIDE_BY_SIDE="not kafka and not redis and not end_to_end and not alone"
# These mostly wait for processes that they start. Those of a file come one after the other; several files are tried at once, each
# beside services of its own.
readonly WITH_PROCESSES="not ($SIDE_BY_SIDE) and not alone"
# These measure.
readonly ALONE="alone"

# passes PYTEST: fails where a test of a pass does, or where one has no tests. The next runs whatever came of the one before.
passes() {
    local failed=
    say "First the tests that may run side by side, then those that start processes, then those that measure."
    "$1" --numprocesses="$(workers)" -m "$SIDE_BY_SIDE" || failed="side by side (above)"
    "$1" --numprocesses="$(workers)" --dist=loadfile -m "$WITH_PROCESSES" || failed="${failed:+$failed and }with processes"
    "$1" -m "$ALONE" || failed="${failed:+$failed and }alone"
    [[ -z $failed ]] || die "Not all tests passed that ran $failed."
}
