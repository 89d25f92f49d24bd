#!/usr/bin/env bash
# vmtouch 1.3.1 and fincore of util-linux 2.38.1 (Debian 12): for a user who may not write to the file, every file is in memory to its last page.
#
# Guess before the run: a file that was just dropped from the page cache has 0 resident pages, whoever asks, as long as he may read it.
# Seen: root counts 0 of 977 pages and user 65534, to whom the file is readable, 977 of 977, 100 %, with exit status 0 and no word. The answer comes from
# mincore(2): since 5.2 it tells the truth only about mappings that are anonymous or of a file that the caller owns or may write to, and else says "resident" for every page
# (before: what the page cache held). Both tools show that as a count. A service that watches its files' share of the page cache as a user of its own sees them cached for ever; whoever compares
# nr_file_pages of a simulated machine with such a count starts from wrong figures. Needs root (to be the two users) and a file system on a disk.
set -euo pipefail
dir=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
apt-get download vmtouch=1.3.1-2 util-linux-extra=2.38.1-5+deb12u3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
head -c 4000000 /dev/zero >file
sync file
chmod 644 file
other() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
touched() { awk '/Resident Pages/ { split($3, of, "/"); print of[1] }'; }
report() {
  echo "$1: vmtouch counts $(usr/bin/vmtouch file | touched) as root, $(other usr/bin/vmtouch file | touched) as another user; fincore $(usr/bin/fincore -n -o PAGES file) and $(other usr/bin/fincore -n -o PAGES file)" | tr -s ' '
}
usr/bin/vmtouch -e file >/dev/null
dropped=$(report "dropped")
echo "$dropped"
[ "$dropped" = "dropped: vmtouch counts 0 as root, 977 as another user; fincore 0 and 977" ] || { echo "CHANGED: the user sees what the page cache holds"; exit 1; }
