#!/usr/bin/env bash
# collectd 5.12 (Debian 12), plugin vmem with Verbose: the scans of reclaim are lost, and tasks that waited are pages scanned in a zone "throttle".
#
# Guess before the run: instances kswapd and direct with "steal" and "scan" each, from pgsteal_kswapd, pgscan_kswapd and their likes.
# Seen: "steal" of kswapd, direct, khugepaged and proactive as if they were zones (and anon and file beside them, which tell the same pages again);
# no scan of any of these. The scan rows are expected as pgscan_kswapd_ZONE and pgscan_direct_ZONE, which ended with 4.8. The one row that still has that
# shape is pgscan_direct_throttle, a count of tasks put to sleep: it becomes "scan_direct" of an instance "vmem-throttle".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=5.12.0-14
apt-get download "collectd-core=$version" >/dev/null 2>&1
dpkg -x collectd-core_*.deb .
awk '$1 ~ /^pg(steal|scan)_(kswapd|file)$/ { $2 = 3000 } $1 == "pgscan_direct_throttle" { $2 = 7 } { print }' /proc/vmstat >vmstat
printf 'BaseDir "%s"\nPluginDir "%s/usr/lib/collectd"\nTypesDB "%s/usr/share/collectd/types.db"\nHostname h\nFQDNLookup false\nInterval 1\nLoadPlugin csv\nLoadPlugin vmem\n<Plugin vmem>\nVerbose true\n</Plugin>\n<Plugin csv>\nDataDir "%s/csv"\n</Plugin>\n' "$dir" "$dir" "$dir" "$dir" >collectd.conf
cat >inside.sh <<'INNER'
mount --bind vmstat /proc/vmstat
timeout 4 ./usr/sbin/collectd -f -C collectd.conf >/dev/null 2>&1 || true
INNER
unshare --map-root-user --mount bash inside.sh
for file in csv/h/vmem-*/vmpage_action-s*; do echo "$(basename "$(dirname "$file")") $(basename "$file" | sed 's/-20.*//') $(tail -n 1 "$file" | cut -d, -f2)"; done | sort | tee seen
grep -q '^vmem-throttle vmpage_action-scan_direct 7$' seen && grep -q '^vmem-kswapd vmpage_action-steal 3000$' seen && grep -q '^vmem-file vmpage_action-steal 3000$' seen ||
  { echo "CHANGED"; exit 1; }
[ "$(grep -c scan seen)" = 1 ] || { echo "CHANGED: scans are read"; exit 1; }
