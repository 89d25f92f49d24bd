using System.Globalization;
using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Recordings.Twins;
using MemSim.Slab;

namespace MemSim.Recordings;

/// <summary>Computes the layout of every object cache of a captured machine and compares it with the kernel's own: the slab half of <see cref="TwinComparison"/>.</summary>
/// <remarks>Given are a cache's object size, alignment and flags, the CPUs, the architecture and the kernel; computed are slab size, order, objects per slab and the partial limits.</remarks>
public static class SlabTwin
{
    private const string BaseStep = "base";

    /// <summary>Compares the caches of a captured machine; nothing where it has no <c>slab-sysfs.txt</c>.</summary>
    /// <param name="directory">The folder, as <see cref="CapturedMachine.Read"/> takes it, with <c>slab-sysfs.txt</c> and, where present, <c>slab-aliases.txt</c> and <c>slabinfo</c>.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that the folder names.</param>
    /// <returns>A row for each figure of each cache, named as <c>slab CACHE FIGURE</c>.</returns>
    /// <exception cref="InputFileException">A file is malformed.</exception>
    public static IReadOnlyList<TwinRow> Run(string directory, KernelChoice? kernel = null)
    {
        string sysfs = Path.Combine(directory, "slab-sysfs.txt");
        if (!File.Exists(sysfs))
        {
            return [];
        }

        CapturedMachine machine = CapturedMachine.Read(directory, kernel);
        int cpus = machine.Layout.Cpus.Select(c => c.Cpu).Distinct().Count();
        return Compare(directory, machine.Layout.Architecture.Architecture, machine.Layout.Kernel, cpus);
    }

    /// <summary>As <see cref="Run"/>, for a folder that says nothing else about its machine.</summary>
    /// <param name="directory">The folder with <c>slab-sysfs.txt</c>.</param>
    /// <param name="architecture">The architecture.</param>
    /// <param name="kernel">The kernel.</param>
    /// <param name="cpus">The CPUs present.</param>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static IReadOnlyList<TwinRow> Compare(string directory, Architecture architecture, KernelPersonality kernel, int cpus)
    {
        SlabRules rules = SlabRules.For(architecture, kernel, cpus);
        List<TwinRow> rows = [];
        Dictionary<string, CacheLayout> layouts = new(StringComparer.Ordinal);
        foreach (SlabSysfsRow row in SlabSysfsFile.Read(Path.Combine(directory, "slab-sysfs.txt")))
        {
            CacheLayout layout = SlubGeometry.Compute(rules, RequestOf(kernel, row));
            layouts[row.Name] = layout;
            string? unknown = FreePointerUnknown(rules, row);
            Add(rows, row, "slab_size", layout.Size, unknown);
            Add(rows, row, "order", layout.Order, unknown);
            Add(rows, row, "objs_per_slab", layout.Objects, unknown);
            Add(rows, row, "min_partial", layout.MinPartial, unknown);
            Add(rows, row, "cpu_partial", layout.CpuPartial, unknown);
            if (kernel.Slab.Sheaves != SheafRule.None && row.Has("sheaf_capacity"))
            {
                Add(rows, row, "sheaf_capacity", layout.SheafCapacity, unknown);
            }
        }

        AddSlabInfo(rows, directory, layouts);
        return rows;
    }

    /// <summary>What the cache asked for, with what sysfs does not show and the kernel line knows.</summary>
    private static CacheRequest RequestOf(KernelPersonality kernel, SlabSysfsRow row) => row.Request with
    {
        SheafCapacity = kernel.Objects.SheafCapacities.GetValueOrDefault(row.Name),
        FreePointerOffset = kernel.Objects.FreePointerInside.Contains(row.Name) ? 0 : null,
        IsBootCache = row.Name is "kmem_cache" or "kmem_cache_node",
    };

    /// <summary>From 6.11 on a cache may name a place inside its RCU-freed objects for the free pointer, which sysfs does not show.</summary>
    private static string? FreePointerUnknown(SlabRules rules, SlabSysfsRow row) =>
        rules.Personality.Slab.OrderIgnoresFewerObjects && !rules.Personality.Objects.FreePointerInside.Contains(row.Name) && (row.Request.Flags & (SlabFlags.TypesafeByRcu | SlabFlags.DebugFlags)) == SlabFlags.TypesafeByRcu && !row.Request.HasConstructor
            && row.Captured("slab_size") is { } size && size == SlabRules.AlignUp(SlabRules.AlignUp(row.Request.ObjectSize, rules.WordBytes), row.Request.Align)
            && SlubGeometry.Compute(rules, row.Request).Size != size
            ? "the cache may keep its free pointer inside the object (6.11 and later); sysfs does not say"
            : null;

    private static void Add(List<TwinRow> rows, SlabSysfsRow row, string figure, long computed, string? unknown) =>
        rows.Add(Row(row.Name, figure, row.Captured(figure), computed, unknown));

    private static TwinRow Row(string cache, string figure, long? captured, long computed, string? unknown)
    {
        string? reason = captured is null ? "blank in the capture" : unknown;
        TwinVerdict verdict = reason is not null ? TwinVerdict.NotComparable : captured == computed ? TwinVerdict.Match : TwinVerdict.Mismatch;
        return new TwinRow(BaseStep, $"slab {cache} {figure}", null, null, null, captured?.ToString(CultureInfo.InvariantCulture), computed.ToString(CultureInfo.InvariantCulture), verdict, reason);
    }

    /// <summary>slabinfo names each merged cache by the first of its names: found through the aliases.</summary>
    private static void AddSlabInfo(List<TwinRow> rows, string directory, Dictionary<string, CacheLayout> layouts)
    {
        string path = Path.Combine(directory, "slabinfo");
        if (!File.Exists(path))
        {
            return;
        }

        Dictionary<string, string> aliases = SlabSysfsFile.ReadAliases(Path.Combine(directory, "slab-aliases.txt"));
        HashSet<string> incomparable = [.. rows.Where(r => r.Verdict == TwinVerdict.NotComparable).Select(r => r.Figure.Split(' ')[1])];
        foreach (SlabInfoRow row in SlabSysfsFile.ReadSlabInfo(path))
        {
            string sysfs = aliases.GetValueOrDefault(row.Name, row.Name);
            if (layouts.TryGetValue(sysfs, out CacheLayout? layout))
            {
                string? unknown = incomparable.Contains(sysfs) ? "as in sysfs" : null;
                rows.Add(Row(row.Name, "objsize", row.Size, layout.Size, unknown));
                rows.Add(Row(row.Name, "objperslab", row.ObjectsPerSlab, layout.Objects, unknown));
                rows.Add(Row(row.Name, "pagesperslab", row.PagesPerSlab, 1L << layout.Order, unknown));
            }
        }
    }
}
