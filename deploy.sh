#!/bin/sh
# Deploys a colour so that nobody notices: starts it, waits until it is warm, flips, proves the flip, keeps the old colour for the rollback
# time, stops it. Run it again after whatever stopped it: each step looks first whether it is done, since all that counts is in the control log.
#
#   START='systemctl start golden-green' STOP='systemctl stop golden-blue' ./deploy.sh green --config golden.yaml
#
# The first argument is the colour; the others say where the router is, as `golden router status` takes it: --config FILE or --server URL.
# By the environment:
#   START    starts the colour; must do nothing when it runs already
#   STOP     stops the old colour, once it answers for nothing any more; must do nothing when it is stopped already
#   GOLDEN   the program [golden]
#   VERSION  waits until the colour runs with this version, as `golden run` says it; else what runs by then counts
#   ACCEPT   1: windows may differ from those of the old colour; by how much they may anyway says router.tolerance in the settings
#   PATIENCE most seconds for each step [1800]
#   REASON   stands in the control log [deploy.sh]
# Exit codes: 0 done, 1 refused, flipped back or not clean, 2 bad usage, 3 a command failed or nothing answers.
set -eu

GOLDEN=${GOLDEN:-golden}
PATIENCE=${PATIENCE:-1800}
colour=${1:-}
case $colour in
  blue | green) shift ;;
  *) echo "say which colour: $0 blue|green [--config FILE | --server URL]" >&2; exit 2 ;;
esac
[ -n "${START:-}" ] && [ -n "${STOP:-}" ] || { echo "say how to start $colour and how to stop the other one: START and STOP" >&2; exit 2; }
accept=""
[ "${ACCEPT:-}" != 1 ] || accept=--accept-difference

say() { echo "$(date -u +%H:%M:%SZ)  $*"; }
router() { "$GOLDEN" router "$@"; }
fail() { code=$1; shift; say "$*" >&2; exit "$code"; }

# What `status` says, kept in $status; an answer that does not come is asked for again.
look() { status=$(router status "$@" 2>/dev/null) || status=""; }
live() { echo "$status" | awk '$1 == "live" { sub(/[.,].*/, "", $2); print $2; exit }'; }
mine() { echo "$status" | awk -v colour="$colour" '$1 == colour'; }
# The newest flip to the colour: its line, and the number in it.
flip() { echo "$status" | awk -v to="$colour" '$1 == "flip" && index($5, to ".") == 1 { print; exit }'; }
number() { flip | awk '{ print $2 }'; }

# Waits for a condition that looks at $status: wait_for "what" condition router-arguments
wait_for() {
  what=$1 condition=$2
  shift 2
  waited=0
  while look "$@"; ! $condition; do
    [ "$waited" -lt "$PATIENCE" ] || fail 1 "not within $PATIENCE s: $what. Nothing was changed by waiting; run this again to go on"
    [ "$waited" -gt 0 ] || say "waiting: $what"
    sleep 2
    waited=$((waited + 2))
  done
}

answers() { [ -n "$status" ]; }
runs() { mine | grep -q "$colour\.[0-9].* version ${VERSION:-}"; }
turned() { [ "$(live)" = "$colour" ]; }
still_live() { [ "$(live)" = "$colour" ] || [ -z "$status" ]; }
proved() { still_live || fail 1 "$(live) is live again: $(echo "$status" | grep '^flip' | head -n 1)"; flip | grep -q ', lost '; }
sealed() { still_live || fail 1 "$(live) is live again: $(echo "$status" | grep '^flip' | head -n 1)"; flip | grep -q ', sealed'; }

wait_for "the router answers" answers "$@"
if [ "$(live)" = "$colour" ]; then
  say "$colour is live already: going on behind the flip"
  [ -n "$(number)" ] || { say "no flip led to it: nothing to do"; exit 0; }
else
  say "starting $colour: $START"
  sh -c "$START" || fail 3 "it did not start: $START"
  wait_for "$colour runs${VERSION:+ with version $VERSION}" runs "$@"
  say "$(mine)"
  # Lag, watermark, trouble and equal windows are what the router asks for anyway.
  waited=0 said=""
  until answer=$(router flip --to "$colour" --dry-run $accept "$@" 2>&1); do
    why=$(echo "$answer" | sed -n 's/^  no   *//p' | head -n 1)
    [ -n "$why" ] || why=$(echo "$answer" | tail -n 1)
    [ "$waited" -lt "$PATIENCE" ] || fail 1 "not warm within $PATIENCE s: $why"
    # What is not there yet changes its numbers all the time: it is said once.
    [ "${why%%:*}" = "$said" ] || say "not warm yet: $why"
    said=${why%%:*}
    sleep 5
    waited=$((waited + 5))
  done
  say "$colour is warm"
  if answer=$(router flip --to "$colour" --reason "${REASON:-deploy.sh}" $accept "$@" 2>&1); then
    echo "$answer"
    say "the flip is ordered"
  else
    # The status may be a moment old: somebody, perhaps an earlier run of this, has just ordered it.
    case $answer in
      *"$colour is live already"*) say "$colour is live already: going on behind the flip" ;;
      *) echo "$answer" >&2; fail 1 "the flip was refused, and nothing changed; run this again to go on" ;;
    esac
  fi
  wait_for "the flip is seen" turned "$@"
fi
wait_for "the receipt of the flip" proved "$@"
say "$(flip)"
receipt=$(router receipt "$(number)" --verify "$@") || fail 1 "the receipt does not hold: $receipt"
echo "$receipt" | grep -q '^clean' || fail 1 "the receipt is not clean: $receipt"
say "receipt $(number) is clean, counted again. Until the rollback time is over: $GOLDEN router rollback $*"
wait_for "the rollback time is over (router.seal_after)" sealed "$@"
say "$colour answers for all windows. Stopping the other colour: $STOP"
sh -c "$STOP" || fail 3 "it did not stop: $STOP"
say "done"
