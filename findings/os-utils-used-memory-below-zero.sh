#!/usr/bin/env bash
# os-utils 0.0.14 (npm), freeCommand(): "used memory" of an idle machine is below zero.
#
# Guess before the run: the column "used" of `free -m`, or total - free - buffers - cached.
# Seen: total - free - buff/cache - available - 2: it takes the sixth and seventh column for buffers and cached, as pt-summary does (findings/pt-summary-caches-are-what-is-available.sh).
# Since procps 3.3.10 (2014) the seventh is "available", which holds the free pages and most of the cache a second time. A machine of 1967 MiB with 1917 free "uses" -1799 MiB; one with 2456 MiB in use (total - available)
# of 3921 says 454. The number is what remains of two figures that have no relation, so it can be anything.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --prefix . os-utils@0.0.14 >/dev/null 2>&1
apt-get download procps=2:4.0.2-3 libproc2-0=2:4.0.2-3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
meminfo() { printf '%-16s%8d kB\n' MemTotal: "$1" MemFree: "$2" MemAvailable: "$3" Buffers: "$4" Cached: "$5" SwapCached: 0 SwapTotal: 0 SwapFree: 0 Shmem: 2708 SReclaimable: "$6"; }
meminfo 2014644 1963756 1888788 0 2708 824 >idle
meminfo 4015108 400000 1500000 100000 1400000 150000 >busy
for machine in idle busy; do
  unshare --map-root-user --mount bash -c "mount --bind $machine /proc/meminfo
    PATH=\$PWD/usr/bin:\$PATH LC_ALL=C LD_LIBRARY_PATH=\$(echo usr/lib/*-linux-gnu) node -e 'require(\"os-utils\").freeCommand(used => console.log(\"$machine:\", used, \"MiB used\"))'"
done | tee seen
grep -qxE 'idle: -1[78][0-9]{2} MiB used' seen || { echo "CHANGED: the idle machine"; exit 1; }
grep -qx 'busy: 454 MiB used' seen || { echo "CHANGED: the busy machine"; exit 1; }
