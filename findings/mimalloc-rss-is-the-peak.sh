#!/usr/bin/env bash
# mimalloc 2.0.9 (Debian 12): "rss" in its statistics is the most that the process ever had resident, and the memory "touched" is below zero.
#
# Guess before the run: rss is VmRSS when the statistics are printed (peaks have a column of that name further up); current touched is 0 or a few MiB after 200 MiB were written and freed.
# Seen: rss is 401 MiB in a process that has 2 MiB: VmHWM, of all the program's memory, mimalloc's or not. Here it is a mapping of 400 MiB made and given back before the first malloc. touched
# is -199.8 MiB "current" with a peak of 0.4, as large blocks are taken off when freed and were never added. committed stays at what was once reserved. So of the four figures none
# tells what the process holds.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download libmimalloc2.0=2.0.9+ds-2 >/dev/null 2>&1
dpkg -x libmimalloc2.0_*.deb .
cat >program.c <<'CODE'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
    enum { Blocks = 200, MiB = 1 << 20 };
    char *block[Blocks], line[256];
    if (argc > 1) {
        char *area = mmap(0, 400L * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(area, 1, 400L * MiB);
        munmap(area, 400L * MiB);
        free(malloc(100));
    } else {
        for (int i = 0; i < Blocks; i++) memset(block[i] = malloc(MiB), 1, MiB);
        for (int i = 0; i < Blocks; i++) free(block[i]);
    }
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (strncmp(line, "VmRSS", 5) == 0 || strncmp(line, "VmHWM", 5) == 0) printf("%s", line);
    fclose(status);
    return 0;
}
CODE
gcc -O1 -fno-builtin -o program program.c
preload=$(echo "$dir"/usr/lib/*/libmimalloc.so.2.0)
LD_PRELOAD=$preload MIMALLOC_SHOW_STATS=1 ./program mapping 2>&1 | grep -E '^Vm|rss:' | tee mapping
LD_PRELOAD=$preload MIMALLOC_SHOW_STATS=1 ./program 2>&1 | grep -E 'peak|touched' | tee blocks
resident=$(awk '/^VmRSS/ { print $2 }' mapping)
rss=$(grep -o 'rss: [0-9]*' mapping | cut -d' ' -f2)
test "$resident" -lt 20000 && test "$rss" -ge 400 || { echo "CHANGED: rss $rss MiB of $resident kB"; exit 1; }
grep -qE 'touched: .* -1[0-9]{2}\.[0-9] MiB' blocks || { echo "CHANGED: touched"; exit 1; }
