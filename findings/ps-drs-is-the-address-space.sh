#!/usr/bin/env bash
# procps 4.0.2 (Debian 12): ps -o trs,drs, "the amount of physical memory devoted to" code and to the rest, are parts of the address space.
#
# Guess before the run: trs + drs is rss, or near it, as the manual explains both as resident set sizes in physical memory.
# Seen: trs + drs is vsz. For a process of 6 MiB that mapped 1 GiB and touched nothing of it drs is more than 1 GiB; trs is the size of the code of the program's file, in memory or not. The kernel's statm
# has no such figures (its "text" and "data" are sizes of mappings); of resident memory there is only the whole and the shared part, so nothing ps could print would fit the words. A column
# of a .NET program shows 50 GiB and more of "physical memory".
set -euo pipefail
dir=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download procps=2:4.0.2-3 libproc2-0=2:4.0.2-3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
perl -e '$| = 1; syscall(9, 0, 1 << 30, 3, 0x22, -1, 0); print "ready\n"; sleep 60' >ready & # mmap: 1 GiB, private and anonymous
for _ in $(seq 100); do [ -s ready ] && break; sleep 0.1; done
LC_ALL=C LD_LIBRARY_PATH=$(echo "$dir"/usr/lib/*-linux-gnu) ./bin/ps -o rss,trs,drs,vsz -p $! | tee seen
read -r rss trs drs vsz < <(tail -1 seen)
test $((vsz - trs - drs)) -ge 0 && test $((vsz - trs - drs)) -le 2 || { echo "CHANGED: trs + drs is not vsz"; exit 1; }
test "$rss" -lt 20000 && test "$drs" -gt 1000000 || { echo "CHANGED: drs $drs of $rss resident"; exit 1; }
