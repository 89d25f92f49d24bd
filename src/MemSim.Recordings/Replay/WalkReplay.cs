using System.Globalization;
using System.Text.Json;
using MemSim.Captures;

namespace MemSim.Recordings;

/// <summary>Rebuilds recorded page-table entries of a real x86-64 kernel in a machine's own page tables, and compares what a walk finds with what the kernel found.</summary>
/// <remarks>Format: <c>walk.jsonl.gz</c>, one JSON object a line: <c>levels</c> with the address space's layout, then a <c>walk</c> for each address.</remarks>
public static class WalkReplay
{
    private const string FileName = "walk.jsonl.gz";
    private const ulong FrameMask = 0x000f_ffff_ffff_f000;
    private const ulong MostMemory = 1UL << 40;

    /// <summary>Whether a folder holds recorded walks.</summary>
    /// <param name="directory">The folder.</param>
    public static bool IsData(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>Repeats the whole recording.</summary>
    /// <param name="directory">The folder.</param>
    /// <returns>What matched and what did not.</returns>
    /// <exception cref="InputFileException">The file is missing or malformed.</exception>
    public static ReplayResult Run(string directory)
    {
        ArgumentNullException.ThrowIfNull(directory);
        string path = Path.Combine(directory, FileName);
        List<Walk> walks = [];
        Dictionary<string, ulong> layout = Read(path, walks);
        ReplayTally tally = new();
        using Machine machine = Machine.Boot(MachineSpec.X86_64(new ByteSize(MemoryOf(walks, path))));
        CompareLayout(machine.AddressSpace, layout, tally);
        foreach (Walk walk in walks)
        {
            try
            {
                Compare(machine, walk, tally, path);
            }
            catch (KernelBugException e) when (e.Kind is KernelBugKind.StillInUse or KernelBugKind.NotAllocated)
            {
                throw new InputFileException(path, walk.Line, $"the walk contradicts one before it: {e.Message.Split('\n')[0].TrimEnd()}", e);
            }
        }

        machine.Mmu.FlushAll(machine.Cpus[0]);
        machine.Verify();
        return tally.ToResult(Path.GetFileName(Path.GetFullPath(directory)));
    }

    private static void CompareLayout(KernelAddressSpace space, Dictionary<string, ulong> layout, ReplayTally tally)
    {
        (string Name, ulong Ours)[] ours =
        [
            ("page_offset", space.DirectMap.Start.Value), ("vmalloc_start", space.Vmalloc.Start.Value), ("vmalloc_end", space.Vmalloc.End.Value - 1),
            ("vmemmap_start", space.Vmemmap!.Value.Start.Value), ("modules_vaddr", space.Modules.Start.Value), ("modules_end", space.Modules.End.Value),
        ];
        foreach ((string name, ulong value) in ours)
        {
            if (layout.TryGetValue(name, out ulong recorded))
            {
                tally.Compare("layout", recorded == value, () => $"{name}: recorded 0x{recorded:x}, ours 0x{value:x}");
            }
        }
    }

    private static void Compare(Machine machine, Walk walk, ReplayTally tally, string path)
    {
        PageTables kernel = machine.Mmu.Kernel;
        Cpu cpu = machine.Cpus[0];
        VirtualAddress address = new(walk.Address);
        int shift = 12 + (9 * (walk.Level - 1));
        ulong size = 1UL << shift;
        VirtualAddress start = new(walk.Address & ~(size - 1));
        Pfn first = new PhysicalAddress(walk.Entry & FrameMask & ~(size - 1)).Pfn;
        PageTableEntry ours = kernel.Lookup(address);
        if (machine.AddressSpace.DirectMap.Contains(address))
        {
            long offset = (long)(walk.Address & (size - 1)) >> PageGeometry.PageShift;
            long ourOffset = (long)(walk.Address >> PageGeometry.PageShift) & (ours.Pages - 1);
            tally.Compare("frame in the direct map", ours.IsPresent && ours.Frame.Value + ourOffset == first.Value + offset, () => $"0x{walk.Address:x} ({walk.What}): recorded 0x{first.Value + offset:x}, ours {(ours.IsPresent ? $"0x{ours.Frame.Value + ourOffset:x}" : "none")}");
            if (ours.IsPresent && ours.Level >= walk.Level)
            {
                // What the kernel changed since its boot: permissions, and with them the page size.
                _ = kernel.Protect(cpu, start, (long)(size >> PageGeometry.PageShift), Protection(walk.Entry));
            }
        }
        else if (!walk.IsPresent)
        {
            tally.Compare("not present", !ours.IsPresent, () => $"0x{walk.Address:x} ({walk.What}): ours is present");
            return;
        }
        else if (!ours.IsPresent && !kernel.Map(cpu, start, first, (long)(size >> PageGeometry.PageShift), Protection(walk.Entry), (MappingSize)shift))
        {
            throw new InputFileException(path, walk.Line, "there is no memory for the page tables of this walk");
        }

        PageTableEntry now = kernel.Lookup(address);
        tally.Compare("entry", now.Raw == walk.Entry && now.Level == walk.Level, () => $"0x{walk.Address:x} ({walk.What}): recorded {walk.Entry:x16} at level {walk.Level}, ours {now.Raw:x16} at level {now.Level}");
        TranslationExplanation explanation = cpu.Mmu.Explain(address);
        tally.Compare("walk", explanation.Steps.Count == machine.Mmu.Kernel.Levels + 1 - walk.Level && explanation.Steps[^1].Entry == walk.Entry, () => $"0x{walk.Address:x}: {explanation}");
    }

    /// <summary>Memory enough for the highest address of the direct map that was walked.</summary>
    private static ulong MemoryOf(List<Walk> walks, string path)
    {
        const ulong start = 0xffff_8880_0000_0000;
        const ulong unit = 128 << 20;
        ulong end = 0;
        foreach (Walk walk in walks)
        {
            if (walk.Address >= start && walk.Address < start + (1UL << 46))
            {
                end = Math.Max(end, walk.Address - start);
                if (end >= MostMemory)
                {
                    throw new InputFileException(path, walk.Line, $"0x{walk.Address:x} lies more than 1 TiB above the start of the direct map");
                }
            }
        }

        return Math.Max(2 * unit, ((end / unit) + 2) * unit);
    }

    private static Dictionary<string, ulong> Read(string path, List<Walk> walks)
    {
        Dictionary<string, ulong> layout = [];
        using StreamReader reader = InputFile.OpenText(path);
        for (int line = 1; reader.ReadLine() is { } text; line++)
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(text);
                JsonElement row = document.RootElement;
                switch (row.GetProperty("t").GetString())
                {
                    case "levels":
                        foreach (JsonProperty property in row.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Number))
                        {
                            layout[property.Name] = property.Value.GetUInt64();
                        }

                        break;
                    case "walk":
                        walks.Add(WalkOf(row, path, line));
                        break;
                    default:
                        throw new InputFileException(path, line, "neither levels nor walk");
                }
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
            {
                throw new InputFileException(path, line, e.Message);
            }
        }

        return walks.Count != 0 ? layout : throw new InputFileException(path, 1, "no walk is recorded");
    }

    private static Walk WalkOf(JsonElement row, string path, int line)
    {
        Walk walk = new(row.GetProperty("what").GetString() ?? "", row.GetProperty("addr").GetUInt64(), row.GetProperty("level").GetInt32(), row.GetProperty("entry").GetUInt64(), row.GetProperty("present").GetBoolean(), line);
        return walk.Level is < 1 or > 3 || walk.Address < 0xffff_8000_0000_0000
            ? throw new InputFileException(path, line, string.Create(CultureInfo.InvariantCulture, $"level {walk.Level} of address 0x{walk.Address:x}: levels 1 to 3 of kernel addresses can be"))
            : walk;
    }

    private static PageProtection Protection(ulong entry) =>
        ((entry & 2) != 0 ? PageProtection.Write : 0) | ((entry & 4) != 0 ? PageProtection.User : 0) | ((entry & 8) != 0 ? PageProtection.WriteThrough : 0)
        | ((entry & 16) != 0 ? PageProtection.NoCache : 0) | ((entry & 32) != 0 ? PageProtection.Accessed : 0) | ((entry & 64) != 0 ? PageProtection.Dirty : 0)
        | ((entry & 256) != 0 ? PageProtection.Global : 0) | (entry >> 63 == 0 ? PageProtection.Execute : 0);

    private sealed record Walk(string What, ulong Address, int Level, ulong Entry, bool IsPresent, int Line);
}
