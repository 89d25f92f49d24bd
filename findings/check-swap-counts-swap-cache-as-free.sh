#!/usr/bin/env bash
# monitoring-plugins 2.3.3 (Debian 12): check_swap counts SwapCached as free swap.
#
# Guess before the run: SwapFree of SwapTotal: 60 % free for all three files below.
# Seen: 60, 90 and 100 %. A page that was swapped in again may keep its slot; it is in SwapCached, its slot is not in SwapFree, and the kernel
# gives the slot to nobody else before the page changes or the slots run short. check_swap adds the two, so that swap of which 400000 of 1000000 kB are
# taken is "100% free" just after a machine swapped back in. check_madrisan_swap (monitoring-plugins-contrib) says 40 % used for all three.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download monitoring-plugins-basic=2.3.3-5+deb12u2 monitoring-plugins-contrib=42.20230308+deb12u1+b1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
for cached in 0 300000 400000; do
  printf '%-16s%8d kB\n' MemTotal: 2014644 MemFree: 196375 SwapCached: $cached SwapTotal: 1000000 SwapFree: 600000 >meminfo
  unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
    ./usr/lib/nagios/plugins/check_swap -w 50% -c 20% || true
    ./usr/lib/nagios/plugins/check_madrisan_swap || true' | cut -d'|' -f1 | sed "s/^/SwapCached $cached: /"
done | tee seen
for line in "0: SWAP OK - 60% free (585MB" "300000: SWAP OK - 90% free (877MB" "400000: SWAP OK - 100% free (975MB"; do
  grep -qF "SwapCached $line out of 976MB)" seen || { echo "CHANGED: no more $line"; exit 1; }
done
[ "$(grep -c ' 40.00% (400000 kB) used' seen)" = 3 ] || { echo "CHANGED: check_madrisan_swap"; exit 1; }
