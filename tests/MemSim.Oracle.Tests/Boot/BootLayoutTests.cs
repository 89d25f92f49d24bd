using System.Globalization;
using FluentAssertions;
using MemSim.Boot;
using Xunit;

namespace MemSim.Oracle.Tests.Boot;

/// <summary>The planned layout against what real kernels printed and ended with.</summary>
public class BootLayoutTests(ITestOutputHelper output)
{
    private static readonly string[] ExactLines =
    [
        "BIOS-provided", "BIOS-e820:", "user-defined", "user:", "last_pfn", "only ", "highmem size", "No NUMA", "NUMA: No", "NUMA: Fak", "Faking a node", "Zone ranges:", "  DMA", "  Normal",
        "  HighMem", "  Device", "NUMA: Node", "Movable zone start", "  Node ", "Early memory", "  node ", "Initmem", "On node", "Fallback order", "mminit::zonelist", "Built ", "Policy zone",
        "Kernel command line", "Unknown kernel", "software IO TLB", "Initializing ", "Reserving ", "percpu: ", "RAMDISK", "Dentry cache", "Inode-cache", "last_pfn", "cma: Reserved", "Freeing ", "e820: update", "e820: remove", "NODE_DATA(", "mapped low ram",
    ];

    public static TheoryData<string> Boots => [.. RecordedBoot.All.Select(boot => boot.Name)];

    public static TheoryData<string> Captures => [.. RecordedBoot.All.Select(boot => boot.Name).Where(name => name.StartsWith("captures/", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Boots))]
    public void Zones_of_the_recorded_firmware_map_are_those_of_the_kernel(string name)
    {
        RecordedBoot boot = RecordedBoot.Named(name);
        Layout(BootPlanner.Plan(boot.FromFirmware())).Should().Equal(Layout(boot));
    }

    [Theory]
    [MemberData(nameof(Captures))]
    public void Zones_of_the_preset_machine_are_those_of_the_kernel(string name)
    {
        RecordedBoot boot = RecordedBoot.Named(name);
        Layout(BootPlanner.Plan(boot.FromArguments())).Should().Equal(Layout(boot));
    }

    [Theory]
    [MemberData(nameof(Boots))]
    public void Lines_about_layout_and_zonelists_are_those_of_the_kernel(string name)
    {
        RecordedBoot boot = RecordedBoot.Named(name);
        IEnumerable<string> Relevant(IEnumerable<string> lines) => lines.Where(line => !line.Contains("vmalloc", StringComparison.Ordinal) && ExactLines.Any(prefix => line.StartsWith(prefix, StringComparison.Ordinal)));
        List<string> planned = [.. Relevant(BootPlanner.Plan(boot.FromFirmware()).BootLog)], recorded = [.. Relevant(boot.Log)];
        for (int i = 0; i < Math.Max(planned.Count, recorded.Count); i++)
        {
            planned.ElementAtOrDefault(i).Should().Be(recorded.ElementAtOrDefault(i), "that is line {0} of {1}", i + 1, recorded.Count);
        }
    }

    [Theory]
    [MemberData(nameof(Boots))]
    public void Managed_pages_come_close(string name)
    {
        RecordedBoot boot = RecordedBoot.Named(name);
        BootPlan plan = BootPlanner.Plan(boot.FromFirmware());
        string Memory(IEnumerable<string> lines) => lines.First(line => line.StartsWith("Memory: ", StringComparison.Ordinal));
        output.WriteLine(Memory(plan.BootLog) + "\n" + Memory(boot.Log));
        (long free, long total, long reserved) = Amounts(Memory(plan.BootLog));
        (long recordedFree, long recordedTotal, long recordedReserved) = Amounts(Memory(boot.Log));
        total.Should().Be(recordedTotal);
        if (boot.Kernel != "6.1")
        {
            // From 6.12 on the line comes after the first allocations, 4 to 14 MiB of what the page allocator was given; most of it is known, what CPUs' lists hold is not.
            reserved.Should().BeCloseTo(recordedReserved, 32);
            bool moreLists = boot.Nodes.Count > 1 || boot.Zones.Exists(z => z is { Type: ZoneType.Movable, Present: > 0 }) || boot.Name.Contains("slub_debug", StringComparison.Ordinal);
            free.Should().BeCloseTo(recordedFree, moreLists ? 2400UL : 700UL);
        }
        else if (boot.CommandLine.Contains("nokaslr", StringComparison.Ordinal))
        {
            free.Should().BeCloseTo(recordedFree, 32); // KiB; where the kernel image lies decides how much of it is in the part initialised early
        }

        foreach (var zone in boot.Zones.Where(zone => zone.Present > 0))
        {
            BootZone planned = plan.Zones.Single(candidate => candidate.Node == zone.Node && candidate.Type == zone.Type);
            output.WriteLine($"DIFF {name} {zone.Node} {zone.Type} {planned.ManagedPages - zone.Managed}");
            planned.ManagedPages.Should().BeCloseTo(zone.Managed, 8);
        }
    }

    // Frames in use by the image in /proc/kpageflags of a machine of 256M (6.12: 512M), freed parts cut out: of 6.1, 6.12, 6.18, 7.0, 7.1 and 7.3.
    [Theory]
    [InlineData("6.1", "1000-1e02 2000-28eb 2a00-3044 330f-4203 4400-4411")]
    [InlineData("6.12", "1000-2b71 2c00-3301 3735-3a05 3c00-3c11")]
    [InlineData("6.18", "1000-20f2 2200-2f22 3000-386b 3ccb-4005 4200-4211")]
    [InlineData("7.0", "1000-2157 2200-2f75 3000-38b3 3d22-4005 4200-4211")]
    [InlineData("7.1", "1000-2168 2200-3014 3200-3aad 3f30-4205 4400-4411")]
    [InlineData("7.3", "1000-21d4 2200-305d 3200-3ade 3f6c-4205 4400-4411")]
    public void What_stays_of_the_image_lies_where_the_kernel_has_it(string kernel, string expected)
    {
        BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("256M").WithKernel(kernel));
        bool[] used = new bool[0x5000];
        EarlyAllocation whole = plan.EarlyAllocations.Single(a => a.What == "kernel image");
        Mark(whole.Start, whole.Length, true);
        foreach (ReleaseRange range in plan.Releases.Where(r => r.Phase is ReleasePhase.BeforeInitcalls or ReleasePhase.AfterInitcalls && r.What != "initrd"))
        {
            Mark((ulong)range.Start.Value << 12, (ulong)range.Pages << 12, false);
        }

        List<string> runs = [];
        for (int i = 0x1000, start = -1; i < used.Length; i++)
        {
            if (used[i] && start < 0)
            {
                start = i;
            }
            else if (!used[i] && start >= 0)
            {
                runs.Add($"{start:x}-{i:x}");
                start = -1;
            }
        }

        string.Join(' ', runs).Should().Be(expected);

        void Mark(ulong from, ulong length, bool value) => Array.Fill(used, value, (int)(from >> 12), (int)(length >> 12));
    }

    private static (long Free, long Total, long Reserved) Amounts(string line)
    {
        string[] parts = line["Memory: ".Length..line.IndexOf(" available", StringComparison.Ordinal)].Split('/');
        string reserved = line[..line.IndexOf("K reserved", StringComparison.Ordinal)];
        return (Kilobytes(parts[0]), Kilobytes(parts[1]), Kilobytes(reserved[(reserved.LastIndexOf(' ') + 1)..] + "K"));
    }

    private static long Kilobytes(string text) => long.Parse(text[..^1], CultureInfo.InvariantCulture);

    private static IEnumerable<string> Layout(BootPlan plan) =>
        plan.Nodes.SelectMany(node => node.Zones).Where(zone => zone.PresentPages > 0).Select(zone => $"{zone.Node} {zone.Type} {zone.Start.Value} {zone.SpannedPages} {zone.PresentPages}");

    private static IEnumerable<string> Layout(RecordedBoot boot) =>
        boot.Zones.Where(zone => zone.Present > 0).Select(zone => $"{zone.Node} {zone.Type} {zone.Start} {zone.Spanned} {zone.Present}");
}
