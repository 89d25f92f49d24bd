#!/usr/bin/env bash
# dstat 0.7.4 (Debian 12): --zones shows the zones of the last node, and zones without memory overwrite those that have some.
#
# Guess before the run: d32F and normF are the free pages of all DMA32 and Normal zones, or those of node 0.
# Seen: zones are told by their name alone, and each node's replaces the one before. Kernels since 4.12 print the zones without memory of every
# node, too, so on a machine of two nodes, whose DMA32 is on node 0 as nearly always, d32F and d32H are 0: a zone of 2 GiB that is nearly free looks used up.
# Of Normal it shows node 1's 9000 pages and not node 0's 250000.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download dstat=0.7.4-6.1 >/dev/null 2>&1
dpkg -x dstat_*.deb .
zone() {
  printf 'Node %d, zone %8s\n  pages free     %d\n        boost    0\n        min      %d\n        low      %d\n        high     %d\n' "$@"
  printf '        spanned  %d\n        present  %d\n        managed  %d\n        cma      0\n' $3 $3 $3
}
{
  zone 0 DMA 3712 86 107 128
  zone 0 DMA32 488372 11215 14018 16821
  zone 0 Normal 250000 5600 7000 8400
  zone 0 Movable 0 0 0 0
  for name in DMA DMA32; do zone 1 $name 0 0 0 0; done
  zone 1 Normal 9000 5700 7100 8500
  zone 1 Movable 0 0 0 0
} >zoneinfo
unshare --map-root-user --mount bash -c 'mount --bind zoneinfo /proc/zoneinfo
  python3 usr/share/dstat/dstat.py --zones --nocolor --noheaders 1 1 2>/dev/null' >out
tail -n 2 out
read -r d32f d32h normf normh < <(tail -n 1 out)
[ "$d32f $d32h" = "0 0" ] || { echo "CHANGED: DMA32 is $d32f free, $d32h high"; exit 1; }
[ "$normf $normh" = "9000 8500" ] || { echo "CHANGED: Normal is $normf free, $normh high"; exit 1; }
