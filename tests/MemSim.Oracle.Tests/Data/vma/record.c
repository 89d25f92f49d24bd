// Records what a real kernel answers to random sequences of memory calls in a small arena, and what the arena looks like after each.
// From 6.13 on, taking the right to write away from untouched private memory gives its commit charge back (VM_ACCOUNT goes); 6.1 keeps it. So half of the programs map without
// reservation, and the others never take that right away. From 6.17 on mremap() to a fixed address moves several areas at once; it is asked to move parts of one only.
// With a fifth word (programs-6.18.txt) neither is kept away from. If that word is "advice" (advice-6.18.txt), three in ten operations are mincore(), process_madvise() or advice of
// later kernels; with "faults" (faults-6.18.txt) also userfaultfd ioctls, with UFFD_FEATURE_SIGBUS, which needs nobody who waits for faults.
// With "events" (events-6.18.txt) it also asks for UFFD_EVENT_FORK, _REMAP, _REMOVE and _UNMAP; a thread reads them, and a line E says what the call before it was told of.
// With "async" (async-6.18.txt) it asks for UFFD_FEATURE_WP_ASYNC instead: the kernel itself gives the right to write back.
// cc -O1 -pthread -o record record.c && ./record PROGRAMS OPERATIONS SEED [newer|advice|faults|events|async] > programs.txt       (as root, for /proc/self/pagemap's bits)
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/userfaultfd.h>
#include <unistd.h>

#ifndef UFFDIO_MOVE
struct uffdio_move { __u64 dst, src, len, mode; __s64 move; };
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#define ARENA 0x10000000000UL
#define PAGES 32
#define PAGE 4096UL
#define END (ARENA + PAGES * PAGE)

static uint64_t state;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
static unsigned below(unsigned n) { return (unsigned)((next() >> 20) % n); }
static int chance(unsigned percent) { return below(100) < percent; }

static sigjmp_buf back;
static volatile int gotSignal, gotCode;
static void onSignal(int s, siginfo_t *i, void *c) { (void)c; gotSignal = s; gotCode = i->si_code; siglongjmp(back, 1); }

static char text[1 << 20];
static int slurp(const char *path) {
    int fd = open(path, O_RDONLY), n = 0, r;
    while ((r = (int)read(fd, text + n, sizeof text - 1 - (size_t)n)) > 0) n += r;
    close(fd);
    text[n] = 0;
    return n;
}

static unsigned long fileInode;
static int files[3];
static int count, reserves, newer, calls, faults, events, async;

// What the descriptor has told since the last line E. A call sleeps until its event is read: once it has returned, the reader has at least seen the last one.
static char heard[1 << 12];
static int heardCount;
static volatile int reading;
static int children[8], childCount;
static int place(char *to, unsigned long a) { return a >= ARENA && a <= END ? sprintf(to, "%lu", (a - ARENA) / PAGE) : sprintf(to, "out"); }
static void *listen(void *unused) {
    (void)unused;
    for (;;) {
        struct pollfd ready = { faults, POLLIN, 0 };
        if (poll(&ready, 1, -1) <= 0) continue;
        reading = 1;
        __sync_synchronize();
        struct uffd_msg m;
        if (read(faults, &m, sizeof m) == sizeof m) {
            char *to = heard + heardCount;
            if (m.event == UFFD_EVENT_FORK) { children[childCount++] = (int)m.arg.fork.ufd; to += sprintf(to, " fork"); }
            else if (m.event == UFFD_EVENT_REMAP) {
                to += sprintf(to, " remap "); to += place(to, m.arg.remap.from); to += sprintf(to, " "); to += place(to, m.arg.remap.to); to += sprintf(to, " %lu", (unsigned long)(m.arg.remap.len / PAGE));
            } else {
                to += sprintf(to, m.event == UFFD_EVENT_REMOVE ? " remove " : " unmap ");
                to += place(to, m.arg.remove.start);
                to += sprintf(to, " %lu", (unsigned long)((m.arg.remove.end - m.arg.remove.start) / PAGE));
            }
            heardCount = (int)(to - heard);
        }
        __sync_synchronize();
        reading = 0;
    }
    return NULL;
}
static void sayHeard(void) {
    while (reading) usleep(10);
    __sync_synchronize();
    if (heardCount) printf("E%s\n", heard);
    heardCount = 0;
    while (childCount) close(children[--childCount]);
}

// The areas of the arena, and a letter for each page: . absent, a/A anonymous (A: mapped here alone), f/F of a file or shared.
static char last[1 << 16];
static void show(char kind) {
    static char line[1 << 16];
    int n = 0;
    slurp("/proc/self/smaps");
    unsigned long s = 0, e = 0, off, ino;
    char perms[8];
    int inside = 0;
    for (char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        unsigned long a, b;
        if (sscanf(p, "%lx-%lx %7s %lx %*s %lu", &a, &b, perms, &off, &ino) == 5 && p[8] != ':') {
            s = a; e = b;
            inside = s < END && e > ARENA;
            if (inside) n += sprintf(line + n, " %ld-%ld %s %lu %c", (long)((s - ARENA) / PAGE), (long)((e - ARENA) / PAGE), perms, (perms[3] == 's' || ino) ? off / PAGE : 0, ino == 0 ? '-' : ino == fileInode ? 'f' : 'z');
        } else if (inside && !strncmp(p, "VmFlags:", 8)) {
            for (char *q = p + 8; *q != '\n'; q += 3) {
                while (*q == ' ') q++;
                if (*q == '\n') break;
                if (!strncmp(q, "sd", 2)) continue;
                n += sprintf(line + n, ",%.2s", q);
            }
            n += sprintf(line + n, ";");
        }
    }
    uint64_t map[PAGES];
    int fd = open("/proc/self/pagemap", O_RDONLY);
    if (pread(fd, map, sizeof map, (off_t)(ARENA / PAGE * 8)) != (ssize_t)sizeof map) exit(3);
    close(fd);
    line[n++] = '|';
    for (int i = 0; i < PAGES; i++) {
        int present = (int)(map[i] >> 63), file = (int)(map[i] >> 61 & 1), alone = (int)(map[i] >> 56 & 1);
        int guard = calls && (map[i] >> 58 & 1), protects = calls && (map[i] >> 57 & 1);
        line[n++] = guard ? 'g' : !present ? (protects ? 'm' : '.') : file ? (protects ? (alone ? 'V' : 'v') : alone ? 'F' : 'f') : protects ? (alone ? 'W' : 'w') : (alone ? 'A' : 'a');
    }
    line[n] = 0;
    if (kind == 'S' && !strcmp(line, last)) return;
    printf("%c%s\n", kind, line);
    if (kind == 'S') strcpy(last, line);
}

static unsigned long where(void) { return ARENA + below(PAGES) * PAGE; }
static unsigned long odd(unsigned long v) { return chance(3) ? v + 1 + below(4094) : v; }
static unsigned long length(void) {
    if (chance(2)) return 0;
    if (chance(1)) return 0UL - (1 + below(3)) * PAGE;
    unsigned long n = (1 + below(chance(25) ? 24 : 6)) * PAGE;
    return chance(4) ? n - 100 : n;
}

// A range below the end of the arena, so that nothing outside is hit.
static unsigned long fit(unsigned long at, unsigned long len) {
    unsigned long end = at + ((len + PAGE - 1) & ~(PAGE - 1));
    return end > END && end > at && len < (1UL << 40) ? (at & ~(PAGE - 1)) >= END ? 0 : END - (at & ~(PAGE - 1)) : len;
}

static const int prots[] = { PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC };
static int prot(void) { return prots[below(7)]; }

static long answer(long r) { return r == -1 ? -errno : r; }
static void say(long r) {
    if (r < 0) printf(" = -%ld\n", -r);
    else if ((unsigned long)r >= ARENA && (unsigned long)r < END) printf(" = @%ld\n", (long)(((unsigned long)r - ARENA) / PAGE));
    else if (r > 4096) printf(" = out\n");
    else printf(" = %ld\n", r);
}
#define A(x) ((long)((x) - ARENA))

// Whether a range lies in one area (1), or begins in none (0): newer kernels move several areas at once, 6.1 does not.
static int simple(unsigned long at, unsigned long len) {
    slurp("/proc/self/maps");
    for (char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        unsigned long a, b;
        sscanf(p, "%lx-%lx", &a, &b);
        if ((at & ~(PAGE - 1)) >= a && (at & ~(PAGE - 1)) < b) return (at & ~(PAGE - 1)) + len <= b ? 1 : -1;
    }
    return 0;
}

// Calls of later kernels.
static void laterOperation(void) {
    unsigned pick = below(calls == 2 ? 100 : 50);
    unsigned long at = odd(where()), len = fit(at, length());
    if (pick >= 78 && chance(80)) { at &= ~(PAGE - 1); len = (1 + below(2)) * PAGE; if (at + len > END) len = PAGE; }
    if (pick < 22) {
        unsigned char vec[PAGES + 1];
        memset(vec, 9, sizeof vec);
        printf("mincore %ld %ld", A(at), (long)len);
        long r = answer(mincore((void *)at, len, vec));
        printf(" = %ld", r);
        for (int i = 0; i < PAGES && vec[i] != 9; i++) printf("%s%d", i ? "" : " ", vec[i]);
        printf("\n");
    } else if (pick < 46) {
        static const int advice[] = { 102, 102, 102, 102, 103, 103, 12, 12, 13, 25, 22, 23, 20, 21, 18, 19, 99 };
        int a = advice[below(sizeof advice / sizeof *advice)];
        // Over an entry that remembers a write protection, installing a guard never ends on 6.18.44: giving the page up leaves such entries, and the call starts over because of them.
        if (calls == 2 && a == 102) a = 103;
        printf("madvise %ld %ld %d", A(at), (long)len, a);
        say(answer(madvise((void *)at, len, a)));
    } else if (pick < 50) {
        struct iovec vec[2] = { { (void *)at, len }, { (void *)where(), PAGE } };
        int a = chance(50) ? 4 : 23, n = 1 + (int)below(2);
        printf("process_madvise %ld %ld %ld %d %d", A(at), (long)len, A((unsigned long)vec[1].iov_base), n, a);
        long r = answer(syscall(SYS_process_madvise, -10000, vec, n, a, 0));
        if (r == -EBADF) {
            int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
            r = answer(syscall(SYS_process_madvise, fd, vec, n, a, 0));
            close(fd);
        }
        printf(" = %ld\n", r);
    } else if (pick < 64) {
        static const int modes[] = { 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 5, 7, 4, 6, 0 };
        if (chance(50)) { at = ARENA; len = PAGES * PAGE; }
        struct uffdio_register reg = { .range = { at, len }, .mode = (unsigned)modes[below(15)] };
        printf("uregister %ld %ld %ld", A(at), (long)len, (long)reg.mode);
        long r = answer(ioctl(faults, UFFDIO_REGISTER, &reg));
        printf(" = %ld %lx\n", r, r ? 0UL : (unsigned long)reg.ioctls);
    } else if (pick < 67) {
        struct uffdio_range range = { at, len };
        printf("uunregister %ld %ld", A(at), (long)len);
        say(answer(ioctl(faults, UFFDIO_UNREGISTER, &range)));
    } else if (pick < 78) {
        if (chance(80)) { at &= ~(PAGE - 1); len = (1 + below(2)) * PAGE; if (at + len > END) len = PAGE; }
        unsigned long from = where();
        from = from + len > END ? ARENA : from;
        struct uffdio_copy copy = { .dst = at, .src = from, .len = len, .mode = (chance(30) ? UFFDIO_COPY_MODE_WP : 0) };
        printf("ucopy %ld %ld %ld %ld", A(at), (long)len, A(from), (long)copy.mode);
        long r = answer(ioctl(faults, UFFDIO_COPY, &copy));
        printf(" = %ld %ld\n", r, (long)copy.copy);
    } else if (pick < 83) {
        struct uffdio_zeropage zero = { .range = { at, len } };
        printf("uzero %ld %ld", A(at), (long)len);
        long r = answer(ioctl(faults, UFFDIO_ZEROPAGE, &zero));
        printf(" = %ld %ld\n", r, (long)zero.zeropage);
    } else if (pick < 91) {
        struct uffdio_writeprotect wp = { .range = { at, len }, .mode = chance(60) ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };
        printf("uprotect %ld %ld %ld", A(at), (long)len, (long)wp.mode);
        say(answer(ioctl(faults, UFFDIO_WRITEPROTECT, &wp)));
    } else if (pick < 97) {
        struct uffdio_continue go = { .range = { at, len } };
        printf("ucontinue %ld %ld", A(at), (long)len);
        long r = answer(ioctl(faults, UFFDIO_CONTINUE, &go));
        printf(" = %ld %ld\n", r, (long)go.mapped);
    } else {
        unsigned long from = where();
        from = from + len > END ? ARENA : from;
        struct uffdio_move move = { .dst = at, .src = from, .len = len };
        printf("umove %ld %ld %ld", A(at), (long)len, A(from));
        long r = answer(ioctl(faults, UFFDIO_MOVE, &move));
        printf(" = %ld %ld\n", r, (long)move.move);
    }
}

static void operation(void) {
    if (calls && chance(calls == 2 ? 40 : 30)) {
        laterOperation();
        return;
    }
    unsigned pick = count++ < 6 ? below(26) : below(100);
    if (pick < 26) {
        unsigned long at = odd(where()), len = fit(at, length());
        int p = prot(), shared = chance(35), anon = chance(60);
        int flags = (shared ? MAP_SHARED : MAP_PRIVATE) | (anon ? MAP_ANONYMOUS : 0) | (chance(65) ? MAP_FIXED : chance(50) ? MAP_FIXED_NOREPLACE : 0) | (!reserves || chance(8) ? MAP_NORESERVE : 0) | (chance(8) ? MAP_POPULATE : 0) | (chance(4) ? MAP_LOCKED : 0);
        int file = anon ? -1 : chance(70) ? 0 : 1 + (int)below(2);
        unsigned long off = anon ? 0 : below(28) * PAGE;
        if (chance(1)) flags &= ~(MAP_SHARED | MAP_PRIVATE);
        if (!anon && chance(60)) off = (at - ARENA) / PAGE % 28 * PAGE;
        if (!anon && chance(2)) off += 512;
        long r = answer((long)mmap((void *)at, len, p, flags, file < 0 ? -1 : files[file], (off_t)off));
        printf("mmap %ld %ld %d %d %d %lu", A(at), (long)len, p, flags, file, off);
        say(r);
        if (r > 0 && ((unsigned long)r < ARENA || (unsigned long)r >= END)) munmap((void *)r, len);
    } else if (pick < 34) {
        unsigned long at = odd(where()), len = fit(at, length());
        printf("munmap %ld %ld", A(at), (long)len);
        say(answer(munmap((void *)at, len)));
    } else if (pick < 48) {
        unsigned long at = odd(where()), len = fit(at, length());
        int p = reserves && !newer ? prot() | PROT_WRITE : prot();
        printf("mprotect %ld %ld %d", A(at), (long)len, p);
        say(answer(mprotect((void *)at, len, p)));
    } else if (pick < 58) {
        unsigned long at = odd(where()), len = (1 + below(6)) * PAGE, to = where(), size = chance(40) ? len : (1 + below(8)) * PAGE;
        if (chance(2)) size = 0;
        if (chance(2)) len = 0;
        int flags = (int)below(4) == 0 ? 0 : MREMAP_MAYMOVE;
        if (chance(50)) flags |= MREMAP_FIXED;
        if (chance(20)) flags |= 4;
        to = chance(2) ? to + 8 : to;
        if ((flags & MREMAP_FIXED) && to + size > END) to = END - size;
        int kind = simple(at, len);
        if (kind == 0 && !newer) flags &= MREMAP_MAYMOVE;
        if ((kind < 0 && !newer) || at + len > END || (!(flags & (MREMAP_FIXED | MREMAP_MAYMOVE)) && at + size > END) || at + size > END) return;
        long r = answer((long)mremap((void *)at, len, size, flags, (void *)to));
        printf("mremap %ld %ld %ld %d %ld", A(at), (long)len, (long)size, flags, A(to));
        say(r);
        if (r > 0 && ((unsigned long)r < ARENA || (unsigned long)r >= END)) munmap((void *)r, size);
    } else if (pick < 66) {
        static const int advice[] = { 0, 1, 2, 3, 4, 4, 4, 8, 8, 10, 11, 16, 17, 18, 19, 20, 22, 23, 23, 14, 15, 5, 9, 9, 24, 24, 24 };
        static const unsigned known = 22;
        unsigned long at = odd(where()), len = fit(at, length());
        int a = advice[below(newer ? sizeof advice / sizeof *advice : known)];
        printf("madvise %ld %ld %d", A(at), (long)len, a);
        say(answer(madvise((void *)at, len, a)));
    } else if (pick < 69) {
        unsigned long at = odd(where()), len = fit(at, length());
        int how = (int)below(3);
        printf("mlock %ld %ld %d", A(at), (long)len, how);
        say(answer(how == 2 ? munlock((void *)at, len) : mlock2((void *)at, len, how)));
    } else if (pick < 70) {
        int flags = chance(50) ? 0 : chance(50) ? MCL_FUTURE : MCL_FUTURE | MCL_ONFAULT;
        printf("mlockall %d", flags);
        say(answer(flags ? mlockall(flags) : munlockall()));
    } else if (pick < 73) {
        unsigned long at = odd(where()), len = fit(at, length());
        static const int how[] = { MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, MS_SYNC | MS_ASYNC, 8 };
        int f = how[below(5)];
        printf("msync %ld %ld %d", A(at), (long)len, f);
        say(answer(msync((void *)at, len, f)));
    } else if (pick < 75) {
        printf("fork = 0\n");
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) { show('C'); fflush(stdout); _exit(0); }
        waitpid(child, NULL, 0);
        return;
    } else {
        int write = chance(55), page = (int)below(PAGES), run = 1 + (int)below(4);
        for (int i = 0; i < run && page + i < PAGES; i++) {
            volatile unsigned char *p = (volatile unsigned char *)(ARENA + (unsigned long)(page + i) * PAGE + below(4096));
            gotSignal = 0;
            int value = -1;
            if (sigsetjmp(back, 1) == 0) {
                if (write) *p = (unsigned char)(1 + i); else value = *p;
            }
            (void)value;
            printf("%s %ld = %d %d\n", write ? "write" : "read", A((unsigned long)p), gotSignal, gotSignal ? gotCode : 0);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) return 2;
    newer = argc == 5;
    calls = !newer ? 0 : !strcmp(argv[4], "advice") ? 1 : !strcmp(argv[4], "faults") ? 2 : !strcmp(argv[4], "events") ? 2 : 0;
    events = newer && !strcmp(argv[4], "events");
    async = newer && !strcmp(argv[4], "async");
    calls = async ? 2 : calls;
    int programs = atoi(argv[1]), operations = atoi(argv[2]);
    uint64_t seed = strtoull(argv[3], NULL, 0);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = onSignal;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    for (int i = 0; i < programs; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            state = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15UL | 1;
            for (int j = 0; j < 8; j++) next();
            prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
            count = 0;
            reserves = i % 2;
            files[0] = memfd_create("shared", 0);
            if (ftruncate(files[0], 24 * PAGE)) return 3;
            char path[64];
            sprintf(path, "/proc/self/fd/%d", files[0]);
            files[1] = open(path, O_RDONLY);
            files[2] = open(path, O_WRONLY);
            slurp("/proc/self/fdinfo/3");
            char *ino = strstr(text, "ino:");
            fileInode = ino ? strtoul(ino + 4, NULL, 10) : 0;
            if (calls == 2) {
                faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | (events ? O_NONBLOCK : 0));
                struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS };
                if (events) api.features |= UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;
                if (async) api.features |= 1 << 15;
                if (faults < 0 || ioctl(faults, UFFDIO_API, &api)) return 4;
                pthread_t reader;
                if (events && pthread_create(&reader, NULL, listen, NULL)) return 5;
            }
            printf("program %d\n", i);
            for (int k = 0; k < operations; k++) { operation(); if (events) sayHeard(); show('S'); }
            fflush(stdout);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (status) { fprintf(stderr, "program %d ended with %x\n", i, status); return 3; }
    }
    return 0;
}
