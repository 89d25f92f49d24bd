#!/usr/bin/env bash
# The Rust crate procfs 0.14.1 (Debian 12): Process::smaps() has a mapping that is not there, at 0-0, and lacks the last one that is.
#
# Guess before the run: one element for each mapping, in order; the sum of Rss is VmRSS.
# Seen: as many elements as mappings, so that the count does not tell; the first is empty (addresses 0, no data), and the last mapping is missing with all of its figures. On most x86 machines that is
# [vsyscall], which has none, so tests there pass; where there is no vsyscall page (arm64, vsyscall=none) it is the stack or what else lies highest: here 102400 of 102500 kB. maps() of
# the same crate is right, so to pair the two by index shifts every figure by one mapping.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir -p debs/partial
apt-get install --download-only --no-install-recommends -y -o Debug::NoLocking=1 -o "Dir::Cache::archives=$dir/debs" librust-procfs-dev=0.14.1-1+b1 >/dev/null 2>&1 # with the crates that it names
for deb in debs/*.deb; do dpkg -x "$deb" .; done
mkdir -p probe/.cargo probe/src proc/1
printf '[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "%s"\n' "$dir/usr/share/cargo/registry" >probe/.cargo/config.toml
printf '[package]\nname = "probe"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nprocfs = { version = "0.14.1", default-features = false }\n' >probe/Cargo.toml
cat >probe/src/main.rs <<'CODE'
fn main() {
    let process = procfs::process::Process::new_with_root(std::path::PathBuf::from(std::env::args().nth(1).unwrap())).unwrap();
    println!("maps() has {} mappings", process.maps().unwrap().len());
    for (mapping, data) in process.smaps().unwrap() {
        println!("smaps() {:x}-{:x} rss {:?}", mapping.address.0, mapping.address.1, data.map.get("Rss").map(|bytes| bytes / 1024));
    }
}
CODE
mapping() {
  echo "$1"
  printf '%-16s%8d kB\n' Size: "$2" KernelPageSize: 4 MMUPageSize: 4 Rss: "$2" Pss: "$2" Pss_Dirty: 0 Shared_Clean: 0 Shared_Dirty: 0 Private_Clean: 0 Private_Dirty: "$2" Referenced: "$2" Anonymous: "$2" \
    LazyFree: 0 AnonHugePages: 0 ShmemPmdMapped: 0 FilePmdMapped: 0 Shared_Hugetlb: 0 Private_Hugetlb: 0 Swap: 0 SwapPss: 0 Locked: 0
  printf 'THPeligible:           0\nVmFlags: rd wr mr mw me ac \n'
}
text='aaaad0a50000-aaaad0a69000 rw-p 00000000 00:00 0                          [heap]'
stack='ffffd5c00000-ffffdc000000 rw-p 00000000 00:00 0                          [stack]'
{ mapping "$text" 100 && mapping "$stack" 102400; } >proc/1/smaps
printf '%s\n' "$text" "$stack" >proc/1/maps
echo '1 (init) S 0 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 1 104960000 25625 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0' >proc/1/stat
cd probe
cargo run --offline --quiet -- "$dir/proc/1" | tee seen
diff - seen <<'TEXT' || { echo "CHANGED"; exit 1; }
maps() has 2 mappings
smaps() 0-0 rss None
smaps() aaaad0a50000-aaaad0a69000 rss Some(100)
TEXT
