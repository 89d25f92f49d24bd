using System.IO.Compression;
using System.Text.Json;
using FluentAssertions;
using MemSim.Slab;
using Xunit;

namespace MemSim.Oracle.Tests.Slab;

/// <summary>Every <c>kmem_cache_create</c> recorded inside the kernel, done again: all layout fields, the serving cache, the bytes debugging writes.</summary>
public class CacheLayoutTests
{
    [Theory]
    [InlineData("smp1", 1, false, 2441)]
    [InlineData("smp4", 4, false, 2441)]
    [InlineData("merge", 1, true, 2387)]
    public void All_recorded_layouts_are_computed(string name, int cpus, bool merge, int records)
    {
        using Machine machine = Boot(cpus, merge);
        List<string> differences = [];
        int compared = 0;
        if (merge)
        {
            CreateCachesOfTheKernel(machine, name);
        }

        foreach (JsonElement record in SlabRecords.Read($"caches-{name}.jsonl.gz"))
        {
            string type = record.GetProperty("t").GetString()!;
            if (type == "existing")
            {
                compared++;
                CompareExisting(record, machine, merge, differences);
            }
            else if (type == "cache")
            {
                compared++;
                SlabFlags flags = (SlabFlags)record.GetProperty("req_flags_value").GetUInt32();
                int size = record.GetProperty("req_size").GetInt32();
                int align = record.GetProperty("req_align").GetInt32();
                bool ctor = record.GetProperty("ctor").GetBoolean();
                KmemCache? cache = null;
                try
                {
                    cache = machine.Slab.CreateCache($"ms-{record.GetProperty("idx").GetInt32()}", size, align, flags, ctor ? static (_, _) => { } : null);
                }
                catch (Exception e) when (e is ArgumentException or KernelBugException)
                {
                }

                bool created = record.GetProperty("created").GetBoolean();
                if (created != cache is not null)
                {
                    differences.Add($"created {created}: {record}");
                }
                else if (cache is not null)
                {
                    CompareCreated(record, cache, differences);
                }

                if (cache is not null)
                {
                    machine.Slab.DestroyCache(cache);
                }
            }
        }

        differences.Should().BeEmpty($"{compared - differences.Count} of {compared} match");
        compared.Should().Be(records);
    }

    [Theory]
    [InlineData("smp1", 1)]
    [InlineData("smp4", 4)]
    [InlineData("merge", 1)]
    public void Debugging_writes_the_recorded_bytes(string name, int cpus)
    {
        Dictionary<int, JsonElement> requests = [];
        Dictionary<int, Dictionary<string, byte[]>> dumps = [];
        foreach (JsonElement record in SlabRecords.Read($"caches-{name}.jsonl.gz"))
        {
            if (record.GetProperty("t").GetString() == "cache")
            {
                requests[record.GetProperty("idx").GetInt32()] = record;
            }
            else if (record.GetProperty("t").GetString() == "bytes")
            {
                int idx = record.GetProperty("cache").GetInt32();
                dumps.TryAdd(idx, []);
                dumps[idx][record.GetProperty("what").GetString()!] = Convert.FromHexString(record.GetProperty("hex").GetString()!);
            }
        }

        using Machine machine = Boot(cpus, merge: false);
        Cpu cpu = machine.Cpus[0];
        List<string> differences = [];
        int compared = 0;
        foreach ((int idx, Dictionary<string, byte[]> recorded) in dumps)
        {
            JsonElement request = requests[idx];
            SlabFlags flags = (SlabFlags)request.GetProperty("req_flags_value").GetUInt32();
            bool ctor = request.GetProperty("ctor").GetBoolean();
            if ((flags & (SlabFlags.Poison | SlabFlags.RedZone)) == 0)
            {
                continue; // without patterns, the bytes are whatever was there before
            }

            int size = request.GetProperty("req_size").GetInt32();
            KmemCache cache = machine.Slab.CreateCache($"ms-{idx}", size, request.GetProperty("req_align").GetInt32(), flags,
                ctor ? (c, obj) => SlabContents.Fill(c.Machine, obj.Value, Math.Min(8, size), 0xc7) : null);
            VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
            ulong slot = obj.Value - (ulong)cache.Layout.RedLeftPad;
            compared += Check(machine, cache, slot, recorded, "fresh_whole_slot", differences);
            SlabContents.Fill(machine, obj.Value, size, 0x11);
            compared += Check(machine, cache, slot, recorded, "written_whole_slot", differences);
            cpu.Free(cache, obj);
            compared += Check(machine, cache, slot, recorded, "freed_whole_slot", differences);
            if (recorded.TryGetValue("slab_tail_padding", out byte[]? tail) && (flags & SlabFlags.Poison) != 0)
            {
                compared++;
                tail.Should().OnlyContain(b => b == 0x5a);
                ulong end = cpu.VirtToPage(obj).CompoundHead.Address.Value + ((ulong)cache.ObjectsPerSlab * (ulong)cache.Size);
                SlabContents.Span(machine, end, Math.Min(tail.Length, 64)).ToArray().Should().OnlyContain(b => b == 0x5a);
            }

            machine.Slab.DestroyCache(cache);
        }

        differences.Should().BeEmpty($"{compared} dumps were compared");
        compared.Should().BeGreaterThan(200);
    }

    private static Machine Boot(int cpus, bool merge) =>
        Machine.Boot(MachineSpec.X86_64("256M", cpus).WithCommandLine(merge ? "" : "slab_nomerge"));

    /// <summary>Compares the bytes that are comparable: not the free pointer, not the tracking records, and not what only time has written.</summary>
    private static int Check(Machine machine, KmemCache cache, ulong slot, Dictionary<string, byte[]> recorded, string what, List<string> differences)
    {
        if (!recorded.TryGetValue(what, out byte[]? expected))
        {
            return 0;
        }

        CacheLayout layout = cache.Layout;
        int start = layout.RedLeftPad;
        bool poisoned = (layout.Flags & SlabFlags.ObjectPoison) != 0;
        int tracks = layout.FreePointerOffset >= layout.InUse ? layout.InUse + 8 : layout.InUse;
        int tracksEnd = (layout.Flags & SlabFlags.StoreUser) != 0 ? tracks + 64 : tracks;
        for (int i = 0; i < Math.Min(expected.Length, cache.Size); i++)
        {
            int at = i - start;
            bool pointer = at >= layout.FreePointerOffset && at < layout.FreePointerOffset + 8;
            bool tracking = at >= tracks && at < tracksEnd;
            bool content = at >= 0 && at < cache.ObjectSize && !poisoned && what == "fresh_whole_slot" && cache.Constructor is null;
            bool beyondConstructed = at >= 8 && at < cache.ObjectSize && !poisoned && what == "fresh_whole_slot";
            bool unmarked = (layout.Flags & SlabFlags.Poison) == 0 && at >= cache.InUse;
            if (pointer || tracking || content || beyondConstructed || unmarked || ((layout.Flags & SlabFlags.RedZone) == 0 && (layout.Flags & SlabFlags.Poison) == 0))
            {
                continue;
            }

            byte actual = SlabContents.Span(machine, slot + (ulong)i, 1)[0];
            if (actual != expected[i])
            {
                differences.Add($"{cache} {cache.Flags} {what} at {at}: recorded {expected[i]:x2}, here {actual:x2}");
                break;
            }
        }

        return 1;
    }

    /// <summary>The layout of a cache that the running kernel had, from its own object size, alignment and flags.</summary>
    private static CacheLayout ExistingLayout(JsonElement record, Machine machine)
    {
        const SlabFlags derived = SlabFlags.CmpxchgDouble | SlabFlags.ObjectPoison;
        string name = record.GetProperty("name").GetString()!;
        SlabFlags flags = (SlabFlags)record.GetProperty("flags").GetUInt32() & ~derived;
        if (machine.Slab.Find(name) is { } own)
        {
            return own.Layout;
        }

        return SlubGeometry.Compute(machine.Slab.Rules, new CacheRequest(name, record.GetProperty("object_size").GetInt32(), record.GetProperty("align").GetInt32(), flags, record.GetProperty("ctor").GetBoolean()));
    }

    /// <summary>Creates what the running kernel had created before the recording, oldest first, so that requests find the same caches to be merged into.</summary>
    private static void CreateCachesOfTheKernel(Machine machine, string name)
    {
        const SlabFlags derived = SlabFlags.CmpxchgDouble | SlabFlags.ObjectPoison;
        foreach (JsonElement record in SlabRecords.Read($"caches-{name}.jsonl.gz").Where(r => r.GetProperty("t").GetString() == "existing").Reverse())
        {
            string cache = record.GetProperty("name").GetString()!;
            if (machine.Slab.Find(cache) is null)
            {
                machine.Slab.CreateCache(cache, record.GetProperty("object_size").GetInt32(), record.GetProperty("align").GetInt32(), (SlabFlags)record.GetProperty("flags").GetUInt32() & ~derived,
                    record.GetProperty("ctor").GetBoolean() ? static (_, _) => { }
                : null, record.GetProperty("useroffset").GetInt32(), record.GetProperty("usersize").GetInt32());
            }
        }
    }

    private static void CompareExisting(JsonElement record, Machine machine, bool merge, List<string> differences)
    {
        CacheLayout layout = ExistingLayout(record, machine);
        if (merge)
        {
            // The free pointer's place follows from the first request; a cache that others were merged into only tells the largest.
            layout = layout with { FreePointerOffset = record.GetProperty("offset").GetInt32() };
        }

        Compare(record, layout, differences);
    }

    private static void CompareCreated(JsonElement record, KmemCache cache, List<string> differences)
    {
        string servedBy = record.GetProperty("served_by").GetString()!;
        if (servedBy != cache.Name || record.GetProperty("object_size").GetInt32() != cache.ObjectSize || record.GetProperty("inuse").GetInt32() != cache.InUse)
        {
            differences.Add($"served by {cache}, in use {cache.InUse}: {record}");
            return;
        }

        // What a merged cache says of its free pointer and its own size is older than this request.
        bool merged = !servedBy.StartsWith("ms-", StringComparison.Ordinal);
        Compare(record, merged ? cache.Layout with { InUse = cache.InUse, FreePointerOffset = record.GetProperty("offset").GetInt32() } : cache.Layout, differences);
    }

    private static void Compare(JsonElement record, CacheLayout layout, List<string> differences, params string[] only)
    {
        (string Field, long Value)[] fields =
        [
            ("size", layout.Size), ("align", layout.Align), ("inuse", layout.InUse), ("offset", layout.FreePointerOffset), ("red_left_pad", layout.RedLeftPad), ("order", layout.Order),
            ("objects", layout.Objects), ("min_order", layout.MinOrder), ("min_objects", layout.MinObjects), ("cpu_partial", layout.CpuPartial), ("cpu_partial_slabs", layout.CpuPartialSlabs),
            ("min_partial", layout.MinPartial), ("flags", (uint)layout.Flags & ~(uint)SlabFlags.Panic), ("allocflags", (uint)layout.AllocFlags),
        ];
        List<string> wrong = [];
        foreach ((string field, long value) in fields)
        {
            if ((only.Length == 0 || only.Contains(field)) && record.TryGetProperty(field, out JsonElement recorded))
            {
                // The recorder left SLAB_PANIC out of its calls; the kernel's own caches have flags that no layout depends on.
                long expected = recorded.GetInt64();
                expected = field == "flags" ? expected & ~(long)(uint)SlabFlags.Panic : expected;
                if (expected != value)
                {
                    wrong.Add($"{field} {value} (recorded {expected})");
                }
            }
        }

        if (wrong.Count != 0)
        {
            differences.Add(string.Join(", ", wrong) + ": " + record);
        }
    }
}

internal static class SlabRecords
{
    public static string DataFile(string file) => Path.Combine(AppContext.BaseDirectory, "Data", "slab", file);

    public static IEnumerable<string> Lines(string file)
    {
        using StreamReader reader = new(new GZipStream(File.OpenRead(DataFile(file)), CompressionMode.Decompress));
        while (reader.ReadLine() is { } line)
        {
            yield return line;
        }
    }

    public static IEnumerable<JsonElement> Read(string file)
    {
        foreach (string line in Lines(file))
        {
            using JsonDocument document = JsonDocument.Parse(line);
            yield return document.RootElement.Clone();
        }
    }
}
