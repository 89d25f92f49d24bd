#!/usr/bin/env bash
# runc's libcontainer 1.1.5 (Go, Debian 12; the library behind runc events) on cgroup v2: "swap usage" is memory + swap, a page in the swap cache is in it twice, and the limit was never hit.
#
# Guess before the run: SwapUsage.Usage is memory.swap.current (81289216 here), Usage.Failcnt the "max" of memory.events (346), Usage.MaxUsage memory.peak.
# Seen (figures of a 7.3 kernel's cgroup of 64 MiB whose program touched 128 MiB): 148283392, memory.current + memory.swap.current, after cgroup v1's memsw. Of the pages that make up the two, 13688832 bytes
# (swapcached) are in memory and hold their slot as well, so that the sum is more than the program ever had (128 MiB and its page tables are 135 MB). Failcnt and MaxUsage are 0, though both have
# their file: a cgroup that ran into its limit 346 times looks as if it never did. containerd/cgroups 1.0.4 says swap 81289216 and max 346 for the same files.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download golang-github-opencontainers-runc-dev=1.1.5+ds1-1+deb12u1 golang-github-containerd-cgroups-dev=1.0.4-1 golang-1.19-go=1.19.8-2 golang-1.19-src=1.19.8-2 golang-dbus-dev \
  golang-github-cilium-ebpf-dev golang-github-coreos-go-systemd-dev golang-github-cyphar-filepath-securejoin-dev golang-github-docker-go-units-dev golang-github-moby-sys-dev golang-github-opencontainers-specs-dev \
  golang-github-sirupsen-logrus-dev golang-github-gogo-protobuf-dev golang-golang-x-sys-dev >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
export GOROOT="$dir/go" GOPATH="$dir/path" GO111MODULE=off GOCACHE="$dir/cache"
mkdir -p path go cgroup/a
mv usr/share/gocode/src path/src
cp -a usr/share/go-1.19/. go
cp -a usr/lib/go-1.19/bin usr/lib/go-1.19/VERSION go
cp -an usr/lib/go-1.19/pkg/linux_amd64 usr/lib/go-1.19/pkg/tool go/pkg/
find usr/lib/go-1.19/src -type f -printf '%P\n' | while read -r file; do cp "usr/lib/go-1.19/src/$file" "go/src/$file"; done
file() { printf '%s\n' "${@:2}" >"cgroup/a/$1"; }
file cgroup.controllers memory
file memory.current 66994176
file memory.max 67108864
file memory.peak 67108864
file memory.swap.current 81289216
file memory.swap.max max
file memory.events 'low 0' 'high 0' 'max 346' 'oom 0' 'oom_kill 0' 'oom_group_kill 0' 'sock_throttled 0'
file memory.stat 'anon 53014528' 'file 4096' 'kernel 319488' 'shmem 0' 'swapcached 13688832' 'inactive_anon 65630208' 'active_anon 1044480' 'inactive_file 4096' 'active_file 0'
cat >probe.go <<'CODE'
package main

import (
	"fmt"

	other "github.com/containerd/cgroups/v2"
	"github.com/opencontainers/runc/libcontainer/cgroups"
	"github.com/opencontainers/runc/libcontainer/cgroups/fs2"
	"github.com/opencontainers/runc/libcontainer/configs"
)

func main() {
	cgroups.TestMode = true // reads files of any file system
	manager, err := fs2.NewManager(&configs.Cgroup{Resources: &configs.Resources{}}, "cgroup/a")
	if err != nil {
		panic(err)
	}
	stats, _ := manager.GetStats() // the other controllers' files are missing
	m := stats.MemoryStats
	fmt.Println("libcontainer: memory", m.Usage.Usage, "swap", m.SwapUsage.Usage, "failcnt", m.Usage.Failcnt, "max usage", m.Usage.MaxUsage)
	second, err := other.LoadManager("cgroup", "/a")
	if err != nil {
		panic(err)
	}
	metrics, err := second.Stat()
	if err != nil {
		panic(err)
	}
	fmt.Println("containerd: memory", metrics.Memory.Usage, "swap", metrics.Memory.SwapUsage, "max", metrics.MemoryEvents.Max)
}
CODE
go/bin/go run probe.go | tee seen
diff - seen <<'TEXT' || { echo "CHANGED"; exit 1; }
libcontainer: memory 66994176 swap 148283392 failcnt 0 max usage 0
containerd: memory 66994176 swap 81289216 max 346
TEXT
