// Records what a real kernel's KSM does with random programs: processes that fill, map, unmap, advise and fork pages of few contents, and full scans in between.
// cc -O1 -o ksm ksm.c && ./ksm PROGRAMS OPERATIONS SEED > ksm-6.18.txt      (as root, on a machine where nobody else merges; ksmd is left stopped)
// ksmd scans only when it is told to: it sleeps for ten minutes after each scan, and a write to sleep_millisecs ends its sleep. The recorder has an empty area that may be merged, so
// that ksmd always has a process to look at and no madvise() begins a scan.
// A line is an operation with its answer, then the figures: pages_shared sharing unshared volatile zero skipped scanned chains dups (skipped and scanned since the program began), and
// for each process rmap items, zero pages and merged pages, the KSM row of smaps in pages, and its arena: . nothing, z the zero page, K a merged page, a another one, with a letter that
// is the same for the same frame. Then the rows of vmstat, cow_ksm, since the program began.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA 0x10000000000UL
#define PAGES 24
#define PAGE 4096UL
#define AGENTS 4

static uint64_t state;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
static unsigned below(unsigned n) { return (unsigned)((next() >> 20) % n); }

static int put(const char *file, long v) {
    char path[128], t[32];
    snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", file);
    int fd = open(path, O_WRONLY), n = sprintf(t, "%ld", v);
    int r = write(fd, t, (size_t)n) == n ? 0 : errno;
    close(fd);
    return r;
}
static long get(const char *file) {
    char path[128], t[64] = {0};
    snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", file);
    int fd = open(path, O_RDONLY);
    if (read(fd, t, 63) < 0) return -1;
    close(fd);
    return atol(t);
}
static long vmstat(const char *row) {
    static char t[1 << 16];
    int fd = open("/proc/vmstat", O_RDONLY), n = 0, r;
    while ((r = (int)read(fd, t + n, sizeof t - 1 - (size_t)n)) > 0) n += r;
    close(fd); t[n] = 0;
    char *p = strstr(t, row);
    return p ? atol(p + strlen(row) + 1) : -1;
}

struct command { int op; long a, b, c; };
static int to[AGENTS][2], from[AGENTS][2], alive[AGENTS];
static int pids[AGENTS];

static void serve(int me) {
    for (;;) {
        struct command c;
        if (read(to[me][0], &c, sizeof c) != sizeof c) _exit(0);
        long answer = 0;
        char *at = (char *)ARENA + (unsigned long)c.a * PAGE;
        size_t bytes = (size_t)c.b * PAGE;
        switch (c.op) {
            case 'm': answer = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? errno : 0; break;
            case 'u': answer = munmap(at, bytes) ? errno : 0; break;
            case 'w': for (unsigned i = 0; i < 512; i++) ((volatile uint64_t *)at)[i] = (uint64_t)c.c * (i + 1); break;
            case 'b': at[c.b] = (char)c.c; break;
            case 'r': answer = *(volatile unsigned char *)at; break;
            case 'M': answer = madvise(at, bytes, MADV_MERGEABLE) ? errno : 0; break;
            case 'U': answer = madvise(at, bytes, MADV_UNMERGEABLE) ? errno : 0; break;
            case 'D': answer = madvise(at, bytes, MADV_DONTNEED) ? errno : 0; break;
            case 'R': answer = mremap(at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)ARENA + (unsigned long)c.c * PAGE) == MAP_FAILED ? errno : 0; break;
            case 'f': {
                int p = fork();
                if (p == 0) { me = (int)c.a; answer = getpid(); }
                else continue;
                break;
            }
            case 'x': _exit(0);
        }
        if (write(from[me][1], &answer, sizeof answer) != sizeof answer) _exit(1);
    }
}
static long ask(int who, int reply, int op, long a, long b, long c) {
    struct command k = { op, a, b, c };
    long answer = -1;
    if (write(to[who][1], &k, sizeof k) != sizeof k) exit(1);
    if (op != 'x' && read(from[reply][0], &answer, sizeof answer) != sizeof answer) exit(1);
    return answer;
}

static long sleepNow = 600000;
static void scan(void) {
    long before = get("full_scans");
    sleepNow ^= 1;
    put("sleep_millisecs", sleepNow);
    for (int i = 0; i < 5000 && get("full_scans") == before; i++) usleep(1000);
    usleep(2000);
}

static uint64_t flagsOf(uint64_t pfn) {
    static int fd = -1;
    if (fd < 0) fd = open("/proc/kpageflags", O_RDONLY);
    uint64_t w = 0;
    if (pread(fd, &w, 8, (off_t)pfn * 8) != 8) w = 0;
    return w;
}
static uint64_t seen[AGENTS * PAGES];
static int seenCount;
static char letter(uint64_t pfn) {
    for (int i = 0; i < seenCount; i++) if (seen[i] == pfn) return (char)(i < 26 ? 'a' + i : i < 52 ? 'A' + i - 26 : '0' + i - 52);
    seen[seenCount++] = pfn;
    return letter(pfn);
}

static long skipped0, scanned0, cow0;
static void show(void) {
    printf(" = %ld %ld %ld %ld %ld %ld %ld %ld %ld", get("pages_shared"), get("pages_sharing"), get("pages_unshared"), get("pages_volatile"), get("ksm_zero_pages"),
        get("pages_skipped") - skipped0, get("pages_scanned") - scanned0, get("stable_node_chains"), get("stable_node_dups"));
    seenCount = 0;
    for (int i = 0; i < AGENTS; i++) {
        if (!alive[i]) continue;
        char path[64], t[512] = {0};
        snprintf(path, sizeof path, "/proc/%d/ksm_stat", pids[i]);
        int fd = open(path, O_RDONLY);
        if (read(fd, t, 511) < 0) exit(1);
        close(fd);
        long items = -1, zero = -1, merging = -1, ksm = 0, kb;
        sscanf(t, "ksm_rmap_items %ld ksm_zero_pages %ld ksm_merging_pages %ld", &items, &zero, &merging);
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pids[i]);
        FILE *f = fopen(path, "r");
        char line[256];
        while (fgets(line, 256, f)) if (sscanf(line, "KSM: %ld kB", &kb) == 1) ksm = kb / 4;
        fclose(f);
        printf(" | %d %ld %ld %ld %ld ", i, items, zero, merging, ksm);
        snprintf(path, sizeof path, "/proc/%d/pagemap", pids[i]);
        fd = open(path, O_RDONLY);
        uint64_t words[PAGES];
        if (pread(fd, words, sizeof words, (off_t)(ARENA / PAGE * 8)) != sizeof words) exit(1);
        close(fd);
        for (int p = 0; p < PAGES; p++) {
            if (!(words[p] >> 63)) { putchar('.'); continue; }
            uint64_t pfn = words[p] & ((1ULL << 55) - 1), fl = flagsOf(pfn);
            if (fl >> 24 & 1) { putchar('z'); continue; }
            putchar(fl >> 21 & 1 ? 'K' : 'a'); putchar(letter(pfn));
        }
    }
    printf(" | %ld\n", vmstat("cow_ksm") - cow0);
}

int main(int argc, char **argv) {
    int programs = atoi(argv[1]), operations = atoi(argv[2]);
    state = strtoull(argv[3], 0, 0) * 0x9E3779B97F4A7C15ULL + 1;
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    put("run", 2); put("run", 0);
    put("pages_to_scan", 100000); put("sleep_millisecs", sleepNow); put("merge_across_nodes", 1); put("stable_node_chains_prune_millisecs", argc > 4 ? 0 : 600000);
    void *own = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(own, PAGE, MADV_MERGEABLE);
    for (int p = 0; p < programs; p++) {
        put("run", 2); put("run", 0); put("run", 1);
        usleep(20000);
        int zeroes = (int)below(2), smart = (int)below(3) != 0, sharing = below(3) ? 256 : 2 + (int)below(4);
        put("use_zero_pages", zeroes); put("smart_scan", smart);
        int r = put("max_page_sharing", sharing);
        scan(); scan();
        skipped0 = get("pages_skipped"); scanned0 = get("pages_scanned"); cow0 = vmstat("cow_ksm");
        printf("program %d zero %d smart %d sharing %d%s\n", p, zeroes, smart, sharing, r ? " !" : "");
        for (int i = 0; i < AGENTS; i++) { if (pipe(to[i]) || pipe(from[i])) exit(1); alive[i] = 0; }
        fflush(stdout);
        pids[0] = fork();
        if (pids[0] == 0) {
            signal(SIGCHLD, SIG_IGN);
            serve(0);
        }
        alive[0] = 1;
        int contents = 2 + (int)below(4);
        ask(0, 0, 'm', 0, PAGES, 0);
        ask(0, 0, 'M', 0, PAGES, 0);
        for (int o = 0; o < operations; o++) {
            int who;
            do who = (int)below(AGENTS); while (!alive[who]);
            long at = below(PAGES), n = 1 + below(6), v = below((unsigned)contents);
            if (at + n > PAGES) n = PAGES - at;
            unsigned kind = below(100);
            long a;
            char area[PAGES];
            // Which pages are mapped, so that no access is a signal.
            char path[64]; snprintf(path, sizeof path, "/proc/%d/maps", pids[who]);
            memset(area, 0, sizeof area);
            FILE *f = fopen(path, "r"); char line[256]; unsigned long s, e;
            while (fgets(line, 256, f)) if (sscanf(line, "%lx-%lx", &s, &e) == 2 && s < ARENA + PAGES * PAGE && e > ARENA) for (unsigned long x = s; x < e; x += PAGE) area[(x - ARENA) / PAGE] = 1;
            fclose(f);
            if (kind < 40) {
                if (kind < 25) { for (long i = at; i < at + n; i++) if (area[i]) a = ask(who, who, 'w', i, 1, v); printf("w %d %ld %ld %ld", who, at, n, v); }
                else if (!area[at]) { o--; continue; }
                else if (kind < 34) { long off = below(4096), by = below(2); a = ask(who, who, 'b', at, off, by); printf("b %d %ld %ld %ld", who, at, off, by); }
                else { a = ask(who, who, 'r', at, 1, 0); printf("r %d %ld %ld", who, at, a); }
            } else if (kind < 70) {
                int scans = 1 + (int)below(3);
                for (int i = 0; i < scans; i++) scan();
                printf("k %d", scans);
            } else if (kind < 74) { a = ask(who, who, 'm', at, n, 0); printf("m %d %ld %ld %ld", who, at, n, a); }
            else if (kind < 77) { a = ask(who, who, 'u', at, n, 0); printf("u %d %ld %ld %ld", who, at, n, a); }
            else if (kind < 83) { if (below(3)) { at = 0; n = PAGES; } a = ask(who, who, 'M', at, n, 0); printf("M %d %ld %ld %ld", who, at, n, a); }
            else if (kind < 86) { a = ask(who, who, 'U', at, n, 0); printf("U %d %ld %ld %ld", who, at, n, a); }
            else if (kind < 89) { a = ask(who, who, 'D', at, n, 0); printf("D %d %ld %ld %ld", who, at, n, a); }
            else if (kind < 92) {
                long t = below(PAGES);
                if (t + n > PAGES || (t < at + n && at < t + n)) { o--; continue; }
                int whole = 1;
                for (long i = at; i < at + n; i++) whole &= area[i];
                if (!whole) { o--; continue; }
                a = ask(who, who, 'R', at, n, t); printf("R %d %ld %ld %ld %ld", who, at, n, t, a);
            } else if (kind < 96) {
                int child = 0;
                while (child < AGENTS && alive[child]) child++;
                if (child == AGENTS) { o--; continue; }
                pids[child] = (int)ask(who, child, 'f', child, 0, 0); alive[child] = 1;
                printf("f %d %d", who, child);
            } else if (kind < 98) {
                int left = 0;
                for (int i = 0; i < AGENTS; i++) left += alive[i];
                if (left < 2) { o--; continue; }
                ask(who, who, 'x', 0, 0, 0);
                snprintf(path, sizeof path, "/proc/%d/status", pids[who]);
                if (who == 0) waitpid(pids[0], 0, 0);
                else { for (int i = 0; i < 2000 && access(path, F_OK) == 0; i++) usleep(500); }
                alive[who] = 0;
                // Another agent must not take its pipes: they are empty.
                printf("x %d", who);
            } else { a = put("run", 2); a |= put("run", 0); put("run", 1); scan(); printf("2 %ld", a); }
            show();
        }
        for (int i = 0; i < AGENTS; i++) if (alive[i]) {
            ask(i, i, 'x', 0, 0, 0);
            if (i == 0) waitpid(pids[0], 0, 0);
            else { char path[64]; snprintf(path, sizeof path, "/proc/%d/status", pids[i]); for (int j = 0; j < 2000 && access(path, F_OK) == 0; j++) usleep(500); }
        }
        for (int i = 0; i < AGENTS; i++) { close(to[i][0]); close(to[i][1]); close(from[i][0]); close(from[i][1]); }
        fflush(stdout);
    }
    put("run", 2); put("run", 0); put("pages_to_scan", 100); put("sleep_millisecs", 20); put("use_zero_pages", 0); put("smart_scan", 1); put("max_page_sharing", 256); put("stable_node_chains_prune_millisecs", 2000);
    return 0;
}
