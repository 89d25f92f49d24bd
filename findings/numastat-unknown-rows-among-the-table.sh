#!/usr/bin/env bash
# numactl 2.0.16 (Debian 12): numastat -m drops every row of a node's meminfo that it was not written for, and says so on standard output.
#
# Guess before the run: rows it does not know are printed like the others (it reads names from the file), or dropped in silence.
# Seen: its rows are a fixed table of names. SwapCached, SecPageTables, FileHugePages, Unaccepted, Balloon (in 6.18) and GPUActive, GPUReclaim
# (from 7.1 on) give "Token NAME not in hash table." on standard output, before the table, and the exit code stays 0. So a script that
# takes the second column of the output finds words where it expects megabytes, and the columns never add up to MemTotal on a new kernel.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download numactl=2.0.16-1 libnuma1=2.0.16-1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
mkdir -p node/node0
# Rows as 7.3 prints them.
{
  for row in "MemTotal 2014644" "MemFree 1959156" "MemUsed 55488" "SwapCached 0" "Active 5848" "AnonPages 3184" "PageTables 420" "SecPageTables 0" "FileHugePages 0" "Unaccepted 0" "Balloon 0" "GPUActive 0" "GPUReclaim 0"; do
    set -- $row
    printf 'Node 0 %-15s %8s kB\n' "$1:" "$2"
  done
} >node/node0/meminfo
printf 'numa_hit 1\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 1\nother_node 0\n' >node/node0/numastat
unshare --map-root-user --mount bash -c 'mount --bind node /sys/devices/system/node
  LC_ALL=C LD_LIBRARY_PATH=$PWD/usr/lib/$(uname -m)-linux-gnu ./usr/bin/numastat -m' 2>errors >out
cat out
for row in SwapCached SecPageTables FileHugePages Unaccepted Balloon GPUActive GPUReclaim; do
  grep -qx "Token $row not in hash table\." out || { echo "CHANGED: nothing is said of $row"; exit 1; }
  grep -q "^$row  *[0-9]" out && { echo "CHANGED: $row is a row of the table now"; exit 1; }
done
test ! -s errors || { echo "CHANGED: it is said on standard error now"; exit 1; }
