#!/usr/bin/env bash
# Performance Co-Pilot 6.0.3 (Debian 12), pmdalinux: mem.numa.util.active, .mapped and .pageTables are other rows of the node's meminfo, which are 0 nearly everywhere.
#
# Guess before the run: each metric is the row of its name, Active, Mapped and PageTables (as mem.util.active and its likes are for the whole machine).
# Seen: with the rows of 7.3, each with another number, active is GPUActive, mapped is FilePmdMapped and pageTables is SecPageTables: a row is found by the end of its name, and of several
# the last one stays. So Mapped is lost since 4.8 (ShmemPmdMapped came then), PageTables since 6.1 and Active since 7.1; beside the machine's own figures, which are right, the nodes' sums are 0,
# and active_anon + active_file is more than active. The text of a 6.0 kernel, which has no row yet that ends like the other two, gives active and pageTables right.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=6.0.3-1.1
apt-get download "pcp=$version" "libpcp3=$version" "libpcp-pmda3=$version" "pcp-conf=$version" libpfm4 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
node=fake/sys/devices/system/node/node0
mkdir -p pmdas/linux run fake/proc "$node"
cp usr/lib/pcp/pmdas/linux/pmda_linux.so pmdas/linux/
for setting in PCP_PMDAS_DIR=pmdas PCP_BINADM_DIR=usr/lib/pcp/bin PCP_VAR_DIR=var/lib/pcp PCP_SHARE_DIR=usr/share/pcp PCP_TMP_DIR=run PCP_RUN_DIR=run PCP_LOG_DIR=run; do
  echo "${setting%=*}=$dir/${setting#*=}"
done >pcp.conf
echo 0 >"$node/cpulist"
row() { # the row's name and its number
  if [[ $1 == HugePages_* ]]; then printf 'Node 0 %-15s %8d\n' "$1:" "$2"; else printf 'Node 0 %-15s %8d kB\n' "$1:" "$2"; fi
}
text() { # the names that the kernel has not
  local number=100000 name
  for name in MemTotal MemFree MemUsed SwapCached Active Inactive 'Active(anon)' 'Inactive(anon)' 'Active(file)' 'Inactive(file)' Unevictable Mlocked Dirty Writeback FilePages Mapped AnonPages Shmem \
    KernelStack PageTables SecPageTables NFS_Unstable Bounce WritebackTmp KReclaimable Slab SReclaimable SUnreclaim AnonHugePages ShmemHugePages ShmemPmdMapped FileHugePages FilePmdMapped \
    Unaccepted Balloon GPUActive GPUReclaim HugePages_Total HugePages_Free HugePages_Surp; do
    number=$((number + 1))
    [[ " $* " == *" $name "* ]] || row "$name" "$number"
  done
}
export PCP_CONF="$dir/pcp.conf" LD_LIBRARY_PATH="$dir/usr/lib:$dir/usr/lib/x86_64-linux-gnu" LINUX_STATSPATH="$dir/fake"
ask() {
  ./usr/bin/pminfo -L -K clear -K add,60,linux/pmda_linux.so,linux_init -n "$dir/usr/lib/pcp/pmns/root_linux" -f \
    mem.numa.util.active mem.numa.util.inactive mem.numa.util.mapped mem.numa.util.pageTables 2>/dev/null | awk '/^mem/ { name = $1 } / value / { print name, $NF }'
}
text >"$node/meminfo"
grep -E ' (Active|Mapped|PageTables|SecPageTables|FilePmdMapped|GPUActive):' "$node/meminfo"
ask | tee seen
diff - seen <<'TEXT' || { echo "CHANGED: 7.3"; exit 1; }
mem.numa.util.active 100036
mem.numa.util.inactive 100006
mem.numa.util.mapped 100033
mem.numa.util.pageTables 100021
TEXT
text SecPageTables Unaccepted Balloon GPUActive GPUReclaim >"$node/meminfo"
ask >older
diff - older <<'TEXT' || { echo "CHANGED: 6.0"; exit 1; }
mem.numa.util.active 100005
mem.numa.util.inactive 100006
mem.numa.util.mapped 100033
mem.numa.util.pageTables 100020
TEXT
