using System.IO.Compression;
using System.Text.Json;
using FluentAssertions;
using MemSim.Recordings;
using MemSim.Slab;
using Xunit;

namespace MemSim.Oracle.Tests.Slab;

/// <summary>Every <c>kmem_cache_create</c> recorded inside the kernel, done again: all layout fields, the serving cache, the bytes debugging writes.</summary>
public class CacheLayoutTests
{
    [Theory]
    [InlineData("smp1", 2242, 199)]
    [InlineData("smp4", 2242, 199)]
    [InlineData("merge", 2242, 145)]
    public void All_recorded_layouts_are_computed(string name, int requests, int existing)
    {
        ReplayResult result = SlabCachesReplay.RunFile(SlabRecords.DataFile($"caches-{name}.jsonl.gz"), name);
        result.Mismatches.Should().BeEmpty();
        result.IsExact.Should().BeTrue();
        result.Counts.Single(c => c.Kind == "created").Total.Should().Be(requests);
        result.Counts.Single(c => c.Kind == "cache of the kernel size").Total.Should().Be(existing);
        result.Counts.Should().HaveCount(30);
        result.Total.Should().Be((13 * existing) + (17 * requests));
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

        using Machine machine = Boot(cpus);
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
                ulong end = cpu.Pages.VirtToPage(obj).CompoundHead.Address.Value + ((ulong)cache.ObjectsPerSlab * (ulong)cache.Size);
                SlabContents.Span(machine, end, Math.Min(tail.Length, 64)).ToArray().Should().OnlyContain(b => b == 0x5a);
            }

            machine.Slab.DestroyCache(cache);
        }

        differences.Should().BeEmpty($"{compared} dumps were compared");
        compared.Should().BeGreaterThan(200);
    }

    private static Machine Boot(int cpus) => Machine.Boot(MachineSpec.X86_64("256M", cpus).WithCommandLine("slab_nomerge"));

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
