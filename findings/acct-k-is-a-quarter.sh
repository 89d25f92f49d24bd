#!/usr/bin/env bash
# GNU accounting utilities 6.6.4 (Debian 12): the "k" of sa is a quarter of what the kernel recorded, and what it recorded is the address space.
#
# Guess before the run: for a program that maps 1 GiB and writes none of it dump-acct and sa both say some 5000k: resident memory over its time ("cpu-time averaged core usage, in 1k units").
# Seen: dump-acct has VmSize at the program's end (in the record's 13 bits of precision), and sa a quarter of it: 264192k of 1056768. So the figure is neither resident nor virtual, and not an average:
# 1 GiB untouched counts as 256 MiB, and a .NET program of 50 MiB that reserves 53 GiB for its heap as 13 GiB.
# Needs root and a kernel with accounting (CONFIG_BSD_PROCESS_ACCT_V3); a namespace of process ids of its own keeps the rest of the machine out.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download acct=6.6.4-5+b1 >/dev/null 2>&1
dpkg -x acct_*.deb .
cat >program.pl <<'CODE'
my $at = syscall(9, 0, 1 << 30, 3, 0x22, -1, 0); # mmap: 1 GiB, private and anonymous
open(my $status, "<", "/proc/self/status");
print grep { /^Vm(Size|RSS)/ } <$status>;
CODE
touch log
unshare --pid --fork --mount-proc bash -c './usr/sbin/accton ./log >/dev/null; perl program.pl; ./usr/sbin/accton off >/dev/null' >status
cat status
./usr/sbin/dump-acct log | awk -F'|' '$1 ~ /^perl/ { print "dump-acct:", $8 }' | tee seen
./usr/sbin/sa -a log | awk '$NF == "perl" { print "sa:", $(NF - 1) }' | tee -a seen
size=$(awk '/VmSize/ { print $2 }' status)
dump=$(awk '/dump-acct/ { print int($2) }' seen)
sa=$(awk '/^sa/ { print int($2) }' seen)
test $((dump * 100 / size)) -ge 99 && test $((dump * 100 / size)) -le 101 || { echo "CHANGED: the kernel's figure is not VmSize"; exit 1; }
test $((sa - dump / 4)) -ge -1 && test $((sa - dump / 4)) -le 1 || { echo "CHANGED: sa is not a quarter"; exit 1; }
