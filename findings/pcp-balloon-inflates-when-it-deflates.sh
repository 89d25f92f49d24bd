#!/usr/bin/env bash
# Performance Co-Pilot 6.0.3 (Debian 12), pmdalinux: mem.vmstat.balloon_inflate is balloon_deflate and the other way round, and two sums add what does not belong together.
#
# Guess before the run: of two hundred rows of 7.3's vmstat, each with another number, every metric of a row's name has that row's number; pgsteal_total is kswapd + direct, pgscan_direct_total
# is pgscan_direct.
# Seen: the two of the balloon are exchanged, so that a guest whose host takes its memory away seems to get it back (the pages taken are the difference of the two, with the wrong sign).
# pgsteal_total is pgsteal_kswapd + pgsteal_direct + pgsteal_file: the file pages are in it twice. pgscan_direct_total has pgscan_direct_throttle in it, which counts tasks put to sleep and no pages.
# The sums date from kernels that had one such row for each zone, and add up what begins like it and is not known by name.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=6.0.3-1.1
apt-get download "pcp=$version" "libpcp3=$version" "libpcp-pmda3=$version" "pcp-conf=$version" libpfm4 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
mkdir -p pmdas/linux run fake/proc
cp usr/lib/pcp/pmdas/linux/pmda_linux.so pmdas/linux/
for setting in PCP_PMDAS_DIR=pmdas PCP_BINADM_DIR=usr/lib/pcp/bin PCP_VAR_DIR=var/lib/pcp PCP_SHARE_DIR=usr/share/pcp PCP_TMP_DIR=run PCP_RUN_DIR=run PCP_LOG_DIR=run; do
  echo "${setting%=*}=$dir/${setting#*=}"
done >pcp.conf
printf '%s\n' 'nr_free_pages 490939' 'pgsteal_kswapd 3000' 'pgsteal_direct 500' 'pgsteal_khugepaged 0' 'pgsteal_proactive 0' 'pgsteal_anon 100' 'pgsteal_file 3400' \
  'pgscan_kswapd 4000' 'pgscan_direct 700' 'pgscan_khugepaged 0' 'pgscan_proactive 0' 'pgscan_anon 300' 'pgscan_file 4400' 'pgscan_direct_throttle 9' \
  'balloon_inflate 262144' 'balloon_deflate 1024' 'balloon_migrate 7' >fake/proc/vmstat
export PCP_CONF="$dir/pcp.conf" LD_LIBRARY_PATH="$dir/usr/lib:$dir/usr/lib/x86_64-linux-gnu" LINUX_STATSPATH="$dir/fake"
./usr/bin/pminfo -L -K clear -K add,60,linux/pmda_linux.so,linux_init -n "$dir/usr/lib/pcp/pmns/root_linux" -f mem.vmstat.balloon_inflate mem.vmstat.balloon_deflate mem.vmstat.balloon_migrate \
  mem.vmstat.pgsteal_total mem.vmstat.pgscan_kswapd_total mem.vmstat.pgscan_direct_total 2>/dev/null | awk '/^mem/ { name = $1 } / value / { print name, $NF }' | tee seen
diff - seen <<'TEXT' || { echo "CHANGED"; exit 1; }
mem.vmstat.balloon_inflate 1024
mem.vmstat.balloon_deflate 262144
mem.vmstat.balloon_migrate 7
mem.vmstat.pgsteal_total 6900
mem.vmstat.pgscan_kswapd_total 4000
mem.vmstat.pgscan_direct_total 709
TEXT
