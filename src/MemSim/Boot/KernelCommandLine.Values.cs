using System.Globalization;
using MemSim.Slab;

namespace MemSim;

/// <content>How each known parameter's value is read.</content>
public sealed partial class KernelCommandLine
{
    // Known to the kernel, without meaning for memory: kept, but not reported as unknown.
    private static readonly HashSet<string> KnownElsewhere =
    [
        "console", "quiet", "debug", "loglevel", "panic", "no_hash_pointers", "earlyprintk", "earlycon", "root", "ro", "rw", "rootfstype", "rootwait", "rootflags", "rootdelay", "init",
        "rdinit", "initrd", "noinitrd", "BOOT_IMAGE", "apparmor", "security", "lsm", "audit", "selinux", "acpi", "pci", "noapic", "nolapic", "nosmp", "nosmt", "mitigations", "nopti",
        "spectre_v2", "isolcpus", "nohz", "nohz_full", "rcu_nocbs", "trace_event", "trace_buf_size", "ftrace", "trace_options", "trace_clock", "tp_printk", "clocksource", "tsc", "hpet", "idle",
        "reboot", "printk_time", "ignore_loglevel", "keep_bootcon", "initcall_debug", "possible_cpus", "additional_cpus",
        "iommu", "intel_iommu", "amd_iommu",
        "swapaccount", "cgroup_disable", "cgroup_enable", "psi",
        "noexec", "nosmap", "nosmep", "no5lvl", "efi", "vga",
        "video", "nomodeset", "resume", "noresume", "hibernate", "maxcpus", "cpuidle", "random", "randomize_kstack_offset", "rodata", "kpti", "nokpti", "stack_depot_disable", "sched_verbose",
        "nowatchdog", "nmi_watchdog", "softlockup_panic", "oops", "crash_kexec_post_notifiers", "nox2apic", "x2apic_phys", "retbleed", "memory_corruption_check", "clearcpuid", "gbpages",
        "ip", "nfsroot", "root_delay", "net.ifnames", "kunit", "pti_off", "cpu0_hotplug", "trace_trigger", "kprobe_event", "disable_mtrr_cleanup", "enable_mtrr_cleanup", "disable_mtrr_trim",
    ];

    // Known to the kernel and about memory, but without anything to act on in a simulated machine: said in the machine's warnings.
    private static readonly Dictionary<string, string> NoEffect = new(StringComparer.Ordinal)
    {
        ["hugetlb_cma"] = "gigantic pages are taken at boot, never from a contiguous memory area",
        ["percpu_alloc"] = "the first chunk of per-CPU memory is embedded in the direct map",
        ["page_poison"] = "freed pages keep what was in them, unless init_on_free=1 clears them",
        ["debug_pagealloc"] = "free pages stay mapped in the direct map",
        ["debug_guardpage_minorder"] = "no guard pages are put between blocks",
        ["memtest"] = "simulated memory has no bad cells to be found",
        ["kasan"] = "out-of-bounds accesses are found without it: MemSim checks every access to slab objects",
        ["kmemleak"] = "what is never freed is found by Machine.Leaks",
        ["movable_node"] = "the firmware of a simulated machine calls no node hot-pluggable",
        ["kaslr"] = "the kernel image lies at its link address; MachineSpec.WithKernel places it elsewhere",
        ["hugetlb_free_vmemmap"] = "the memory map of huge pages stays as it is, the sysctl vm.hugetlb_optimize_vmemmap included",
        ["hugetlb_optimize_vmemmap"] = "the memory map of huge pages stays as it is, the sysctl vm.hugetlb_optimize_vmemmap included",
        ["nogbpages"] = "MachineSpec.WithMmu says whether the direct map has pages of 1 GiB",
        ["mem_encrypt"] = "simulated memory is not encrypted, and devices need no bounce buffers for it",
        ["kfence.sample_interval"] = "no pool of guarded objects is set aside",
        ["mhash_entries"] = "the mount tables are allocated after the boot that is simulated",
        ["mphash_entries"] = "the mount tables are allocated after the boot that is simulated",
        ["thash_entries"] = "there is no network stack",
        ["uhash_entries"] = "there is no network stack",
    };

    private void Apply(string token, string name, string? value)
    {
        if (NoEffect.TryGetValue(name, out string? why) && value is not ("0" or "off" or "n" or "N"))
        {
            withoutEffect.Add((token, why));
        }

        switch (name)
        {
            case "mem":
                if (value != "nopentium")
                {
                    MemoryLimit = NonZero(token, value);
                }

                break;
            case "memmap":
                ApplyMemmap(token, value);
                break;
            case "kernelcore":
                KernelCore = Core(token, value);
                break;
            case "movablecore":
                MovableCore = Core(token, value);
                break;
            case "movable_node":
                MovableNode = true;
                break;
            case "numa_balancing":
                NumaBalancing = OneOf(token, value, "enable", "disable") == "enable";
                break;
            case "numa":
                ApplyNuma(token, value);
                break;
            case "cma":
                Cma = CmaOf(token, value);
                break;
            case "crashkernel":
                CrashKernel = CrashKernelOf(token, value) ?? CrashKernel;
                break;
            case "nr_cpus":
                CpuLimit = (int)Number(token, value, 1, MachineSpec.MaxCpus);
                break;
            case "maxcpus":
                MaxCpus = (int)Number(token, value, 0, MachineSpec.MaxCpus);
                break;
            case "highmem":
                HighMemory = Size(token, value);
                break;
            case "vmalloc":
                Vmalloc = NonZero(token, value);
                break;
            case "hugepagesz":
                hugePages.Add(new HugePagesParameter(NonZero(token, value), 0, []));
                break;
            case "hugepages":
                ApplyHugepages(token, value);
                break;
            case "default_hugepagesz":
                DefaultHugePageSize = NonZero(token, value);
                break;
            case "transparent_hugepage":
                TransparentHugePage = OneOf(token, value, "always", "madvise", "never");
                break;
            case "page_owner":
                PageOwner = OneOf(token, value, "on", "off", "1", "0") is "on" or "1";
                break;
            case "init_on_alloc":
                ZeroesOnAlloc = YesOrNo(token, value);
                break;
            case "init_on_free":
                ZeroesOnFree = YesOrNo(token, value);
                break;
            case "page_alloc.shuffle":
                ShufflePageAllocator = OneOf(token, value ?? "1", "1", "0", "y", "n", "Y", "N") is "1" or "y" or "Y";
                break;
            case "slub_debug" or "slab_debug":
                SlubDebug = value ?? "";
                _ = SlubDebugOptions.Parse(SlubDebug);
                break;
            case "slub_min_objects":
                SlubMinObjects = (int)Number(token, value, 0, SlabRules.MaxObjectsPerSlab);
                break;
            case "slub_min_order":
                SlubMinOrder = (int)Number(token, value, 0, PageGeometry.MaxOrder);
                break;
            case "slub_max_order":
                SlubMaxOrder = Math.Min((int)Number(token, value, 0, int.MaxValue), PageGeometry.MaxOrder);
                break;
            case "slab_max_order":
                SlabMaxOrder = Math.Min((int)Number(token, value, 0, int.MaxValue), PageGeometry.MaxOrder);
                break;
            case "slab_nomerge" or "slub_nomerge":
                SlabNoMerge = true;
                break;
            case "slab_merge" or "slub_merge":
                SlabNoMerge = false;
                break;
            case "slab_allocator":
                SlabAllocator = OneOf(token, value, "slub", "slab");
                break;
            case "mminit_loglevel":
                MemoryInitLogLevel = (int)Number(token, value, 0, 10);
                break;
            case "dhash_entries":
                DentryHashEntries = Number(token, value, 0, uint.MaxValue);
                break;
            case "ihash_entries":
                InodeHashEntries = Number(token, value, 0, uint.MaxValue);
                break;
            case "log_buf_len":
                LogBuffer = Size(token, value);
                break;
            case "swiotlb":
                ApplySwiotlb(token, value);
                break;
            case "fail_page_alloc":
                FailPageAlloc = Rule(token, value, FaultRule.FailPageAlloc);
                break;
            case "failslab":
                FailSlab = Rule(token, value, FaultRule.FailSlab);
                break;
            case "fail_usercopy":
                FailUsercopy = Rule(token, value, FaultRule.FailUsercopy);
                break;
            case "memblock":
                MemblockDebug |= value == "debug";
                break;
            default:
                ApplyOther(token, name, value);
                break;
        }
    }

    private void ApplyOther(string token, string name, string? value)
    {
        if (name.StartsWith("sysctl.vm.", StringComparison.Ordinal) || name.StartsWith("sysctl.vm/", StringComparison.Ordinal))
        {
            sysctls.Add((name["sysctl.vm.".Length..], value ?? throw Error(token, "a value is missing")));
        }
        else if (name.StartsWith("zswap.", StringComparison.Ordinal))
        {
            zswap.Add((name["zswap.".Length..], value ?? "Y"));
        }
        else if (!name.Contains('.', StringComparison.Ordinal) && !KnownElsewhere.Contains(name) && !NoEffect.ContainsKey(name))
        {
            unknown.Add(token); // a name with a dot belongs to a module, which may come later
        }
    }

    // swiotlb=SLABS[,AREAS][,force|noforce], swiotlb=force, swiotlb=noforce; a slab has 2 KiB.
    private void ApplySwiotlb(string token, string? value)
    {
        foreach (string part in (value ?? throw Error(token, "a value is missing")).Split(','))
        {
            switch (part)
            {
                case "force":
                    BounceBuffersForced = true;
                    break;
                case "noforce":
                    BounceBuffersForced = false;
                    break;
                default:
                    // The second number divides the buffers, it does not change their size.
                    long number = Number(token, part, 0, 1 << 24);
                    BounceSlots ??= number == 0 ? null : number;
                    break;
            }
        }
    }

    private static FaultRule Rule(string token, string? value, Func<string, FaultRule> read)
    {
        try
        {
            return read(value ?? "");
        }
        catch (FormatException)
        {
            throw Error(token, $"'{value}' is not interval,probability,space,times: four numbers");
        }
    }

    private void ApplyHugepages(string token, string? value)
    {
        List<(int Node, long Pages)> nodes = [];
        long pages = 0;
        foreach (string part in (value ?? throw Error(token, "a value is missing")).Split(','))
        {
            int colon = part.IndexOf(':', StringComparison.Ordinal);
            long count = Number(token, colon < 0 ? value : part[(colon + 1)..], 0, long.MaxValue >> PageGeometry.PageShift);
            pages += count;
            if (colon >= 0)
            {
                nodes.Add(((int)Number(token, part[..colon], 0, NumaTopology.MaxNodes - 1), count));
            }
        }

        // The number belongs to the size named right before it, else to the default size.
        bool named = hugePages.Count > 0 && hugePages[^1] is { Pages: 0, PageSize.Bytes: not 0 };
        HugePagesParameter pool = new(named ? hugePages[^1].PageSize : default, pages, nodes);
        if (named)
        {
            hugePages[^1] = pool;
        }
        else
        {
            hugePages.Add(pool);
        }
    }

    private void ApplyMemmap(string token, string? value)
    {
        foreach (string part in (value ?? throw Error(token, "a value is missing")).Split(','))
        {
            if (part == "exactmap")
            {
                ExactMemoryMap = true;
                memoryMapChanges.Clear();
                continue;
            }

            int separator = part.IndexOfAny(['@', '#', '$', '!']);
            if (separator < 0)
            {
                memoryMapChanges.Add(new MemoryMapChange(NonZero(token, part), 0, null));
                continue;
            }

            MemoryRangeKind kind = part[separator] switch
            {
                '@' => MemoryRangeKind.Usable,
                '#' => MemoryRangeKind.AcpiData,
                '$' => MemoryRangeKind.Reserved,
                _ => MemoryRangeKind.PersistentByCommandLine,
            };
            ByteSize size = NonZero(token, part[..separator]);
            ulong start = Size(token, part[(separator + 1)..]).Bytes;
            memoryMapChanges.Add(start + size.Bytes < start ? throw Error(token, "the range reaches beyond the address space") : new MemoryMapChange(size, start, kind));
        }
    }

    private void ApplyNuma(string token, string? value)
    {
        foreach (string part in (value ?? throw Error(token, "a value is missing")).Split(','))
        {
            switch (part)
            {
                case "off":
                    NumaOff = true;
                    break;
                case "noacpi" or "nohmat":
                    break;
                default:
                    NumaFake = part.StartsWith("fake=", StringComparison.Ordinal) ? Fake(token, part["fake=".Length..]) : throw Error(token, "'off' and 'fake=' are known");
                    break;
            }
        }
    }

    private static NumaFakeParameter Fake(string token, string text)
    {
        if (text.EndsWith('U') || text.Contains(':', StringComparison.Ordinal))
        {
            throw Error(token, "only a number of nodes or a size per node is supported");
        }

        return text.Length > 0 && char.IsAsciiLetter(text[^1])
            ? new NumaFakeParameter(0, NonZero(token, text))
            : new NumaFakeParameter((int)Number(token, text, 1, NumaTopology.MaxNodes), default);
    }

    private static CoreSize Core(string token, string? value)
    {
        if (value == "mirror")
        {
            throw Error(token, "memory mirrored by firmware does not exist in the simulated machines");
        }

        return value is not null && value.EndsWith('%')
            ? new CoreSize(default, (int)Number(token, value[..^1], 1, 100))
            : new CoreSize(Size(token, value), 0);
    }

    private static CmaParameter CmaOf(string token, string? value)
    {
        string text = value ?? throw Error(token, "a value is missing");
        int at = text.IndexOf('@', StringComparison.Ordinal);
        if (at < 0)
        {
            return new CmaParameter(Size(token, text), null, null);
        }

        int dash = text.IndexOf('-', at);
        ulong start = Size(token, dash < 0 ? text[(at + 1)..] : text[(at + 1)..dash]).Bytes;
        ByteSize size = Size(token, text[..at]);
        ulong? limit = dash < 0 ? null : Size(token, text[(dash + 1)..]).Bytes;
        return limit is { } end && (end < start || end - start < size.Bytes)
            ? throw Error(token, "the area does not fit between base and limit")
            : new CmaParameter(size, start, limit);
    }

    // crashkernel=SIZE[@BASE], SIZE,high; SIZE,low only adds to the latter and is left to the planner's default.
    private static CrashKernelParameter? CrashKernelOf(string token, string? value)
    {
        string text = value ?? throw Error(token, "a value is missing");
        if (text.Contains(':', StringComparison.Ordinal))
        {
            throw Error(token, "sizes that depend on the amount of memory are not supported");
        }

        if (text.EndsWith(",low", StringComparison.Ordinal))
        {
            Size(token, text[..^4]);
            return null;
        }

        bool high = text.EndsWith(",high", StringComparison.Ordinal);
        text = high ? text[..^5] : text;
        int at = text.IndexOf('@', StringComparison.Ordinal);
        return at < 0
            ? new CrashKernelParameter(NonZero(token, text), null, high)
            : new CrashKernelParameter(NonZero(token, text[..at]), Size(token, text[(at + 1)..]).Bytes, high);
    }

    private static ByteSize Size(string token, string? value) =>
        ByteSize.TryParse(value, out ByteSize size) ? size : throw Error(token, $"'{value}' is not an amount of memory (digits and one of K, M, G, T)");

    private static ByteSize NonZero(string token, string? value) =>
        Size(token, value) is { Bytes: > 0 } size ? size : throw Error(token, "the amount must not be 0");

    private static long Number(string token, string? value, long min, long max) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number >= min && number <= max
            ? number
            : throw Error(token, $"'{value}' is not a number from {min} to {max}");

    private static bool YesOrNo(string token, string? value) => OneOf(token, value, "1", "y", "Y", "on", "0", "n", "N", "off") is "1" or "y" or "Y" or "on";

    private static string OneOf(string token, string? value, params ReadOnlySpan<string> choices)
    {
        foreach (string choice in choices)
        {
            if (choice == value)
            {
                return choice;
            }
        }

        throw Error(token, $"'{value}' is none of {string.Join(", ", choices.ToArray())}");
    }

    private static ArgumentException Error(string token, string reason) => new($"kernel command line: '{token}': {reason}");
}
