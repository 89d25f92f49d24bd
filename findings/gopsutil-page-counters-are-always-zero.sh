#!/usr/bin/env bash
# gopsutil 3.22.10 (Go, Debian 12; the library of Telegraf and many exporters): of mem.SwapMemory()'s counters four are 0 on any Linux, and a process' grouped Size is 0.
#
# Guess before the run: PgIn and PgOut are pgpgin and pgpgout (in KiB there), PgFault and PgMajFault the counts; Size of MemoryMaps(grouped) the sum of all mappings.
# Seen: Sin and Sout are right; PgIn, PgOut, PgFault and PgMajFault stay 0 with 4000 KiB read and 700 faults, and there is no error: the rows are looked for as pgpgIn, pgFault..., which no
# kernel prints. MemoryMaps(true) reads smaps_rollup where there is one (4.14 and later), which has no row Size: Rss 1748 kB of a Size of 0.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download golang-github-shirou-gopsutil-dev=3.22.10-1 golang-1.19-go=1.19.8-2 golang-1.19-src=1.19.8-2 golang-golang-x-sys-dev golang-github-tklauser-go-sysconf-dev golang-github-tklauser-numcpus-dev >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
export GOROOT="$dir/go" GOPATH="$dir/path" GO111MODULE=off GOCACHE="$dir/cache" HOST_PROC="$dir/proc"
mkdir -p path go
mv usr/share/gocode/src path/src
ln -s . path/src/github.com/shirou/gopsutil/v3
cp -a usr/share/go-1.19/. go
cp -a usr/lib/go-1.19/bin usr/lib/go-1.19/VERSION go
cp -an usr/lib/go-1.19/pkg/linux_amd64 usr/lib/go-1.19/pkg/tool go/pkg/
find usr/lib/go-1.19/src -type f -printf '%P\n' | while read -r file; do cp "usr/lib/go-1.19/src/$file" "go/src/$file"; done
mkdir -p proc/1
printf 'nr_free_pages 490939\npgpgin 4000\npgpgout 8000\npswpin 10\npswpout 20\npgfault 700\npgmajfault 7\n' >proc/vmstat
{
  echo '55695df08000-7ffdb2e0e000 ---p 00000000 00:00 0                          [rollup]'
  printf '%-16s%8d kB\n' Rss: 1748 Pss: 223 Pss_Dirty: 112 Pss_Anon: 112 Pss_File: 111 Pss_Shmem: 0 Shared_Clean: 1596 Shared_Dirty: 0 Private_Clean: 40 Private_Dirty: 112 Referenced: 1748 Anonymous: 112 Swap: 0
} >proc/1/smaps_rollup
cat >probe.go <<'CODE'
package main

import (
	"fmt"

	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/process"
)

func main() {
	swap, err := mem.SwapMemory()
	fmt.Println("sin", swap.Sin, "sout", swap.Sout, "pgIn", swap.PgIn, "pgOut", swap.PgOut, "pgFault", swap.PgFault, "pgMajFault", swap.PgMajFault, err)
	maps, err := (&process.Process{Pid: 1}).MemoryMaps(true)
	fmt.Println("size", (*maps)[0].Size, "rss", (*maps)[0].Rss, err)
}
CODE
go/bin/go run probe.go | tee seen
grep -qx 'sin 40960 sout 81920 pgIn 0 pgOut 0 pgFault 0 pgMajFault 0 <nil>' seen || { echo "CHANGED: the counters of pages"; exit 1; }
grep -qx 'size 0 rss 1748 <nil>' seen || { echo "CHANGED: the size of a process"; exit 1; }
