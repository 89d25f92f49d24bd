#!/usr/bin/env bash
# Net-SNMP 5.9.3 (Debian 12): "Available memory" of hrStorageTable is 0 % used on any machine, and cached and shared memory are 100 % used.
#
# Guess before the run: the row has the size of the memory and is used but for MemAvailable, as each row of the table is size and used; "Cached memory" and "Shared memory" have the memory's size as "Memory buffers" has.
# Seen: the size of "Available memory" is MemAvailable and its used units are 0, whether a third or a sixth of the machine is left. Cached and shared memory are as large as they are used. So a check
# over all rows of type "other" (used by size, as for disks) warns of a full page cache all day and never of memory that runs out. "Physical memory" counts cache
# as used, so no row of the table tells what a program can still get as a share. (memSysAvail of UCD-SNMP has the number itself.)
set -euo pipefail
dir=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
version=5.9.3+dfsg-2+deb12u1
apt-get download "snmpd=$version" "snmp=$version" "libsnmp40=$version" "libsnmp-base=$version" libwrap0 libpci3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
export LD_LIBRARY_PATH="$(echo "$dir"/usr/lib/*-linux-gnu):$(echo "$dir"/lib/*-linux-gnu)" MIBS= SNMP_PERSISTENT_DIR="$dir/state" SNMPCONFPATH="$dir"
mkdir state
port=28161
printf 'rocommunity public 127.0.0.1\nagentaddress udp:127.0.0.1:%s\n' $port >snmpd.conf
for available in 1400000 700000; do
  printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 30000 MemAvailable: $available Buffers: 100000 Cached: 1400000 SwapCached: 0 SwapTotal: 0 SwapFree: 0 Shmem: 200000 Slab: 500000 SReclaimable: 150000 >meminfo
  unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
    exec timeout 60 ./usr/sbin/snmpd -f -Lf log -C -c snmpd.conf' &
  for _ in $(seq 40); do
    ./usr/bin/snmpget -v2c -c public -r 0 -t 1 -Oqv 127.0.0.1:$port .1.3.6.1.2.1.25.2.3.1.3.11 >/dev/null 2>&1 && break
    sleep 0.3
  done
  for row in 1 6 7 8 11; do
    entry=.1.3.6.1.2.1.25.2.3.1
    ./usr/bin/snmpget -v2c -c public -Oqv 127.0.0.1:$port $entry.3.$row $entry.5.$row $entry.6.$row 2>/dev/null | tr -d '"' | paste -sd' ' | sed "s/^/MemAvailable $available: /"
  done
  kill %%
  wait %% 2>/dev/null || true
done | tee seen
for available in 1400000 700000; do
  grep -qx "MemAvailable $available: Available memory $available 0" seen || { echo "CHANGED: available memory"; exit 1; }
  grep -qx "MemAvailable $available: Cached memory 1550000 1550000" seen && grep -qx "MemAvailable $available: Shared memory 200000 200000" seen || { echo "CHANGED: cached or shared memory"; exit 1; }
  grep -qx "MemAvailable $available: Memory buffers 4015108 100000" seen || { echo "CHANGED: buffers"; exit 1; }
done
