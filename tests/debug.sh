#!/usr/bin/env bash
# Nightly: the tests of the core, of the recordings and of the reports with DEBUG defined, where every Debug.Assert is compiled in: what changes lists, counts, page flags or page-table
# entries says there what holds on entry and exit. The JIT may optimize all the same (-p:Optimize=true): asserts are calls, which it keeps; MEMSIM_OPTIMIZE=false leaves it out.
# Needs the SDK only. One namespace of tests after the other at low priority, its tests on all CPUs; how long each took is said (docs/reliability.md has the figures).
#   tests/debug.sh                     all of them
#   tests/debug.sh MemSim.Tests.Slab   those whose namespace begins so
set -euo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
rc=0
for project in tests/MemSim.Tests tests/MemSim.Oracle.Tests tests/MemSim.Reports.Tests; do
  spaces=$(grep -rhoE '^namespace [A-Za-z.]+' "$project" --include='*.cs' --exclude-dir=obj --exclude-dir=bin | cut -d' ' -f2 | grep "^$(basename "$project")" | grep "^${1:-}" | sort -u || true)
  [ -n "$spaces" ] || continue
  nice dotnet build "$project" -c Debug -p:Optimize="${MEMSIM_OPTIMIZE:-true}" -p:RunAnalyzers=false -v quiet --nologo
  for space in $spaces; do
    echo "== $space"
    SECONDS=0
    # A failed assertion fails the test that met it, with its message and stack.
    nice "$project/bin/Debug/net10.0/$(basename "$project")" -namespace "$space" || { rc=$?; echo "FAILED $space"; }
    echo "== $space: $SECONDS s"
  done
done
exit "$rc"
