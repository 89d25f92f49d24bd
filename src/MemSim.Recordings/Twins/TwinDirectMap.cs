using System.Globalization;
using System.Text.RegularExpressions;
using MemSim.Captures;
using MemSim.KernelMemory;

namespace MemSim.Recordings.Twins;

/// <summary>Compares the DirectMap lines of a captured <c>meminfo</c> with what mapping the memory of its boot log gives.</summary>
/// <remarks>
/// The sum follows from the memory map. How it is divided does not: later on the kernel splits large pages where it changes the permissions of some of their
/// pages (its own image, modules, BPF programs), and nothing recorded says where. A split moves whole large pages from one line to another, so that the sum stays.
/// </remarks>
internal static partial class TwinDirectMap
{
    private const string Splits = "large pages were split by set_memory_*() after the boot, which is not recorded";

    public static List<TwinRow> Run(CaptureFolder folder, CapturedMachine machine)
    {
        Dictionary<string, long> lines = Lines(folder.MachineText("meminfo") ?? "");
        ArchitectureInfo architecture = machine.Layout.Architecture;
        List<(ulong Start, ulong End)> memory = Memory(folder.MachineText("dmesg.txt", "dmesg-mm.txt", "dmesg") ?? "");
        if (lines.Count == 0 || memory.Count == 0 || architecture.Architecture == Architecture.Arm64)
        {
            return [];
        }

        // A kernel without high memory cannot be told from a 64-bit one by its zones alone.
        bool pae = lines.ContainsKey("DirectMap2M");
        Architecture kind = architecture.Bits == 64 && machine.Layout.ZoneTypes.Contains(ZoneType.Dma32) ? Architecture.X86_64 : pae ? Architecture.X86_32Pae : Architecture.X86_32;
        ulong lowEnd = ulong.MaxValue;
        foreach (ZoneLayout zone in machine.Layout.Zones)
        {
            lowEnd = zone.Type == ZoneType.HighMem && zone.SpannedPages != 0 ? Math.Min(lowEnd, (ulong)zone.StartPfn << PageGeometry.PageShift) : lowEnd;
        }

        DirectMapPlan plan = DirectMapPlan.Make(kind, memory, lowEnd, lines.ContainsKey("DirectMap1G"));
        List<TwinRow> rows = [Row("DirectMap total", lines.Values.Sum(), plan.TotalKiB, null)];
        foreach ((string name, long captured) in lines)
        {
            rows.Add(Row(name, captured, name switch { "DirectMap4k" => plan.SmallKiB, "DirectMap1G" => plan.GigabyteKiB, _ => plan.LargeKiB }, Splits));
        }

        return rows;
    }

    private static TwinRow Row(string figure, long captured, long computed, string? reason) => new("base", figure, null, null, null, captured.ToString(CultureInfo.InvariantCulture),
        computed.ToString(CultureInfo.InvariantCulture), reason is not null ? TwinVerdict.NotComparable : captured == computed ? TwinVerdict.Match : TwinVerdict.Mismatch, reason);

    private static Dictionary<string, long> Lines(string meminfo)
    {
        Dictionary<string, long> lines = [];
        foreach (Match match in DirectMapLine().Matches(meminfo))
        {
            if (long.TryParse(match.Groups[2].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out long kib))
            {
                lines[match.Groups[1].Value] = kib;
            }
        }

        return lines;
    }

    /// <summary>RAM as the kernel took it: a map changed by the command line replaces the firmware's.</summary>
    private static List<(ulong Start, ulong End)> Memory(string log)
    {
        List<(ulong Start, ulong End)> firmware = [];
        List<(ulong Start, ulong End)> user = [];
        foreach (Match match in UsableLine().Matches(log))
        {
            ulong start = ulong.Parse(match.Groups[2].ValueSpan, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            ulong last = ulong.Parse(match.Groups[3].ValueSpan, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (last > start && last < 1UL << 52)
            {
                (match.Groups[1].ValueSpan.SequenceEqual("user") ? user : firmware).Add((start, last + 1));
            }
        }

        return user.Count != 0 ? user : firmware;
    }

    [GeneratedRegex(@"^(DirectMap\w+):\s+(\d{1,15}) kB", RegexOptions.Multiline | RegexOptions.CultureInvariant)]
    private static partial Regex DirectMapLine();

    [GeneratedRegex(@"(user|BIOS-e820): \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\] +(?:usable|System RAM)", RegexOptions.CultureInvariant)]
    private static partial Regex UsableLine();
}
