# Sourced, after lib.sh: all tests, in two passes, each of which says at its end how many passed.
# shellcheck shell=bash

# These share nothing with others and wait for no clock of the machine, so that there may be one for each processor.
readonly SIDE_BY_SIDE="not kafka and not redis and not end_to_end and not alone"

# passes PYTEST: fails where a test of either pass does, or where one has no tests. The second runs whatever came of the first.
passes() {
    local failed=
    say "First the tests that may run side by side, then those that may not."
    "$1" --numprocesses=auto -m "$SIDE_BY_SIDE" || failed="side by side (above)"
    "$1" -m "not ($SIDE_BY_SIDE)" || failed="${failed:+$failed and }one after the other"
    [[ -z $failed ]] || die "Not all tests passed that ran $failed."
}
