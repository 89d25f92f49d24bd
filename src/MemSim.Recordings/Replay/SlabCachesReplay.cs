using System.Text.Json;
using MemSim.Kernels;
using MemSim.Recordings.Replay;
using MemSim.Slab;

namespace MemSim.Recordings;

/// <summary>Does every <c>kmem_cache_create()</c> that a kernel recorded, and compares the layouts and the serving caches.</summary>
/// <remarks>Format: <c>caches.jsonl.gz</c>, one JSON object a line. Whether the kernel merged caches shows in requests that another cache than their own served.</remarks>
public static class SlabCachesReplay
{
    private const string FileName = "caches.jsonl.gz";
    private const SlabFlags Derived = SlabFlags.CmpxchgDouble | SlabFlags.ObjectPoison;

    /// <summary>Whether a folder holds recorded slab caches.</summary>
    /// <param name="directory">The folder.</param>
    public static bool IsData(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>Compares the whole data set.</summary>
    /// <param name="directory">The folder.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that <c>job.json</c> names, else 6.1.</param>
    /// <returns>What matched and what did not.</returns>
    /// <exception cref="InputFileException">The file is missing or malformed.</exception>
    public static ReplayResult Run(string directory, KernelChoice? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(directory);
        return RunFile(Path.Combine(directory, FileName), Path.GetFileName(Path.GetFullPath(directory)), kernel ?? RecordedJob.KernelOf(directory));
    }

    internal static ReplayResult RunFile(string path, string name, KernelChoice? kernel = null)
    {
        List<JsonElement> records = JsonLines.ReadAll(path, JsonLines.ReadElement);
        int line = 0;
        try
        {
            ReplayTally tally = new();
            int cpus = records.Where(r => TypeOf(r) == "env").Select(r => r.GetProperty("nr_cpu_ids").GetInt32()).FirstOrDefault(1);
            bool merge = records.Exists(r => TypeOf(r) == "cache" && r.GetProperty("created").GetBoolean() && r.GetProperty("served_by").GetString() != OwnName(r));
            using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus).WithCommandLine(merge ? "" : "slab_nomerge").WithoutContents()
                .WithKernel(kernel ?? KernelChoice.Of(KernelLines.Linux6_1)));
            SlabFlagNumbers flags = SlabFlagNumbers.Of(records);
            if (merge)
            {
                CreateCachesOfTheKernel(machine, records, flags);
            }

            for (; line < records.Count; line++)
            {
                if (TypeOf(records[line]) == "existing")
                {
                    CompareExisting(records[line], machine, flags, merge, tally);
                }
                else if (TypeOf(records[line]) == "cache")
                {
                    CompareRequest(records[line], machine, flags, tally);
                }
            }

            ReplayResult result = tally.ToResult(name);
            return result.Total != 0 ? result : throw new InputFileException(path, 0, "no cache is recorded");
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException or KernelBugException { Kind: KernelBugKind.Panic })
        {
            throw new InputFileException(path, line + 1, e.Message, e);
        }
    }

    private static string? TypeOf(JsonElement record) => record.GetProperty("t").GetString();

    private static string OwnName(JsonElement record) => $"ms-{record.GetProperty("idx").GetInt32()}";

    /// <summary>Creates what the running kernel had created before the recording, oldest first, so that requests find the same caches to be merged into.</summary>
    private static void CreateCachesOfTheKernel(Machine machine, List<JsonElement> records, SlabFlagNumbers flags)
    {
        foreach (JsonElement record in records.Where(r => TypeOf(r) == "existing").Reverse())
        {
            string cache = record.GetProperty("name").GetString()!;
            if (machine.Slab.Find(cache) is null)
            {
                CacheRequest request = RequestOf(record, flags, machine);
                KmemCacheArgs args = new()
                {
                    Align = request.Align,
                    UserOffset = record.GetProperty("useroffset").GetInt32(),
                    UserSize = record.GetProperty("usersize").GetInt32(),
                    FreePointerOffset = request.FreePointerOffset,
                    SheafCapacity = request.SheafCapacity,
                    Constructor = request.HasConstructor ? static (_, _) => { }
                    : null,
                };
                machine.Slab.CreateCache(cache, record.GetProperty("object_size").GetInt32(), args, request.Flags & ~SlabFlags.Kmalloc);
            }
        }
    }

    /// <summary>What the running kernel must have asked for, for a cache that it has. Where the free pointer lies inside an object that may still be read, the cache asked for that.</summary>
    private static CacheRequest RequestOf(JsonElement record, SlabFlagNumbers numbers, Machine machine)
    {
        string name = record.GetProperty("name").GetString()!;
        int size = record.GetProperty("object_size").GetInt32();
        int offset = record.TryGetProperty("offset", out JsonElement place) ? place.GetInt32() : size;
        int align = record.GetProperty("align").GetInt32();
        if (size is < 1 or > SlabRules.MaxSize || align is < 1 or > SlabRules.MaxSize || (align & (align - 1)) != 0)
        {
            throw new FormatException($"the cache {name} has objects of {size} bytes, aligned to {align}");
        }

        bool constructor = record.GetProperty("ctor").GetBoolean();
        SlabFlags flags = numbers.ToFlags(record.GetProperty("flags").GetUInt32()) & ~Derived;
        bool kept = constructor || (flags & SlabFlags.TypesafeByRcu) != 0;
        return new CacheRequest(name, size, align, flags, constructor)
        {
            FreePointerOffset = kept && offset < size && machine.Personality.Slab.OrderIgnoresFewerObjects ? offset : null,

            // Who asks for sheaves is never merged; a cache that refuses merging for other reasons gets by asking for what it has anyway.
            SheafCapacity = numbers.RefusesMerging(record.GetProperty("flags").GetUInt32()) ? record.GetProperty("sheaf_capacity").GetInt32()
                : machine.Personality.Objects.SheafCapacities.GetValueOrDefault(name),
        };
    }

    /// <summary>The layout of a cache that the running kernel had, from its own object size, alignment and flags.</summary>
    private static void CompareExisting(JsonElement record, Machine machine, SlabFlagNumbers flags, bool merge, ReplayTally tally)
    {
        string name = record.GetProperty("name").GetString()!;
        CacheLayout layout = machine.Slab.Find(name)?.Layout ?? SlubGeometry.Compute(machine.Slab.Rules, RequestOf(record, flags, machine));

        // The free pointer's place follows from the first request; a cache that others were merged into only tells the largest.
        Compare(record, "cache of the kernel", merge ? layout with { FreePointerOffset = record.GetProperty("offset").GetInt32() } : layout, flags, tally);
    }

    private static void CompareRequest(JsonElement record, Machine machine, SlabFlagNumbers flags, ReplayTally tally)
    {
        KmemCache? cache = null;
        ObjectConstructor? constructor = record.GetProperty("ctor").GetBoolean() ? static (_, _) => { } : null;
        try
        {
            cache = machine.Slab.CreateCache(
                OwnName(record), record.GetProperty("req_size").GetInt32(), record.GetProperty("req_align").GetInt32(), flags.ToFlags(record.GetProperty("req_flags_value").GetUInt32()), constructor);
        }
        catch (Exception e) when (e is ArgumentException or KernelBugException)
        {
            // Refused; whether the kernel refused it too is compared next.
        }

        bool created = record.GetProperty("created").GetBoolean();
        tally.Compare("created", created == cache is not null, () => $"created {created}: {record}");
        if (cache is null)
        {
            return;
        }

        if (created)
        {
            string servedBy = record.GetProperty("served_by").GetString()!;
            tally.Compare("served by", servedBy == cache.Name, () => $"served by {cache}: {record}");
            int objectSize = record.GetProperty("object_size").GetInt32();
            tally.Compare("request object_size", objectSize == cache.ObjectSize, () => $"object size {cache.ObjectSize}: {record}");

            // What a merged cache says of its free pointer and its own size is older than this request.
            bool merged = !servedBy.StartsWith("ms-", StringComparison.Ordinal);
            Compare(record, "request", merged ? cache.Layout with { InUse = cache.InUse, FreePointerOffset = record.GetProperty("offset").GetInt32() } : cache.Layout, flags, tally);
        }

        machine.Slab.DestroyCache(cache);
    }

    private static void Compare(JsonElement record, string kind, CacheLayout layout, SlabFlagNumbers flags, ReplayTally tally)
    {
        // The recorder left SLAB_PANIC out of its calls; no layout depends on it.
        (string Field, long Value)[] fields =
        [
            ("size", layout.Size), ("align", layout.Align), ("inuse", layout.InUse), ("offset", layout.FreePointerOffset), ("red_left_pad", layout.RedLeftPad), ("order", layout.Order),
            ("objects", layout.Objects), ("min_order", layout.MinOrder), ("min_objects", layout.MinObjects), ("cpu_partial", layout.CpuPartial), ("cpu_partial_slabs", layout.CpuPartialSlabs),
            ("min_partial", layout.MinPartial), ("flags", (uint)(flags.Comparable(layout.Flags) & ~SlabFlags.Panic)), ("allocflags", (uint)layout.AllocFlags), ("sheaf_capacity", layout.SheafCapacity),
        ];
        foreach ((string field, long value) in fields)
        {
            if (record.TryGetProperty(field, out JsonElement recorded))
            {
                long expected = recorded.GetInt64();
                expected = field switch
                {
                    "flags" => (uint)(flags.ToFlags((uint)expected) & ~SlabFlags.Panic),

                    // A kernel without lists of partial slabs by CPU.
                    "cpu_partial" or "cpu_partial_slabs" => Math.Max(expected, 0),
                    _ => expected,
                };
                tally.Compare($"{kind} {field}", expected == value, () => $"{value} (recorded {expected}): {record}");
            }
        }
    }
}
