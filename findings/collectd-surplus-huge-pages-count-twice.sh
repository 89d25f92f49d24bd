#!/usr/bin/env bash
# collectd 5.12 (Debian 12), plugin hugepages: a surplus page in use is two pages used.
#
# Guess before the run: used is nr_hugepages - free_hugepages, 20 for a program that holds 20 pages; or, if the author took nr_hugepages for the persistent pool alone, right all the same.
# Seen: 40. It adds surplus_hugepages to nr_hugepages, but the kernel's nr_hugepages is all pages of the pool, surplus ones (made when a mapping asks, with nr_overcommit_hugepages) among them:
# reading it gives another number than was written to it. So a machine that takes its huge pages as needed shows twice the memory.
# Needs root, for a pool of its own of 20 pages that is put back.
set -euo pipefail
dir=$(mktemp -d)
pool=/sys/kernel/mm/hugepages/hugepages-2048kB
was=$(cat "$pool/nr_overcommit_hugepages")
trap 'echo "$was" >"$pool/nr_overcommit_hugepages"; kill %1 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download collectd-core=5.12.0-14 >/dev/null 2>&1
dpkg -x collectd-core_*.deb .
printf 'BaseDir "%s"\nPluginDir "%s/usr/lib/collectd"\nTypesDB "%s/usr/share/collectd/types.db"\nHostname h\nFQDNLookup false\nInterval 1\nLoadPlugin csv\nLoadPlugin hugepages\n<Plugin hugepages>\nReportPerNodeHP false\nReportRootHP true\nValuesPages true\nValuesBytes false\n</Plugin>\n<Plugin csv>\nDataDir "%s/csv"\n</Plugin>\n' "$dir" "$dir" "$dir" "$dir" >collectd.conf
echo $((was + 20)) >"$pool/nr_overcommit_hugepages"
perl -e '$| = 1;
  my $at = syscall(9, 0, 40 << 20, 3, 0x40022, -1, 0); # mmap: private, anonymous, huge
  die "no huge pages" if $at < 0;
  open(my $zero, "<", "/dev/zero"); syscall(0, fileno($zero), $at, 40 << 20); # written from end to end
  print "ready\n"; sleep 60' >ready &
for _ in $(seq 100); do [ -s ready ] && break; sleep 0.1; done
grep . "$pool"/{nr,free,surplus}_hugepages | sed 's/.*-2048kB.//' | tee kernel
timeout 4 ./usr/sbin/collectd -f -C collectd.conf >/dev/null 2>&1 || true
used=$(tail -n 1 csv/h/hugepages-mm-2048Kb/vmpage_number-used-* | cut -d, -f2 | cut -d. -f1)
echo "collectd: used $used"
value() { sed -n "s/^$1_hugepages://p" kernel; }
test "$(value surplus)" -ge 20 && test "$used" = $(($(value nr) + $(value surplus) - $(value free))) || { echo "CHANGED"; exit 1; }
test "$used" -gt "$(value nr)"
