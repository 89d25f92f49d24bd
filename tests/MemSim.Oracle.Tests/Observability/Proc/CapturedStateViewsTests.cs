using System.Globalization;
using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Kernels;
using MemSim.Oracle.Tests.Figures;
using MemSim.Recordings.Twins;
using Xunit;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>buddyinfo, pagetypeinfo, slabinfo and vmallocinfo of every captured machine, of every kernel: byte for byte where what they tell is known, names and order always.</summary>
public sealed partial class CapturedStateViewsTests(CaptureArchive captures, RecordedViews recorded, UnpackedCaptures files) : IClassFixture<CaptureArchive>, IClassFixture<RecordedViews>, IClassFixture<UnpackedCaptures>
{
    public static TheoryData<string> Machines => [.. CaptureArchive.Names()];

    public static TheoryData<string> MachinesWithCaches => [.. UnpackedCaptures.NamesOf("slab", "sysfs.tar.gz")];

    public static TheoryData<string> MachinesWithAreas => [.. UnpackedCaptures.NamesOf("views", "vmallocinfo.tar.gz")];

    [Theory]
    [MemberData(nameof(Machines))]
    public void Buddyinfo_and_pagetypeinfo_of_a_twin_in_the_recorded_state_are_byte_for_byte_those_of_the_machine(string name)
    {
        string folder = files.CopyOf(captures.Folder(name));
        foreach (string file in (string[])["buddyinfo", "pagetypeinfo"])
        {
            File.Copy(recorded.PathOf("captures", Path.Combine(name, file)), Path.Combine(folder, file), overwrite: true);
        }

        using Machine machine = Machine.Boot(MachineSpec.FromProc(folder).WithoutContents());

        string buddies = File.ReadAllText(Path.Combine(folder, "buddyinfo"));
        machine.Proc.BuddyInfo.ShouldBeExactly(buddies);
        string[] actual = machine.Proc.PageTypeInfo.Split('\n');
        string[] expected = File.ReadAllText(Path.Combine(folder, "pagetypeinfo")).Split('\n');
        actual.Should().HaveSameCount(expected);
        int free = 0;
        int blocks = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            string[] a = actual[i].Split([' ', ','], StringSplitOptions.RemoveEmptyEntries);
            string[] e = expected[i].Split([' ', ','], StringSplitOptions.RemoveEmptyEntries);
            bool known = true;
            if (e is ["Node", var node, "zone", var zone, "type", .. var counts])
            {
                // The two files are read one after the other.
                known = Enumerable.Range(0, counts.Length - 1).All(o => SumOf(expected, node, zone, o) == CountIn(buddies, node, zone, o));
                free += known ? 1 : 0;
            }
            else if (e is ["Node", _, "zone", _, .. var types])
            {
                // Where a zone has holes, no file of these tells which sections are missing.
                known = a.Skip(4).Sum(Count) == types.Sum(Count) && !PackedOtherwise.Contains(name);
                blocks += known ? 1 : 0;
            }

            if (known)
            {
                actual[i].Should().Be(expected[i]);
            }
        }

        free.Should().BeGreaterThan(4);
        (blocks > 0 || PackedOtherwise.Contains(name)).Should().BeTrue();

        static long Count(string text) => long.Parse(text, CultureInfo.InvariantCulture);

        static long SumOf(string[] lines, string node, string zone, int order) => lines.Select(l => l.Split([' ', ','], StringSplitOptions.RemoveEmptyEntries))
            .Where(w => w.Length > 6 && w[0] == "Node" && w[1] == node && w[3] == zone && w[4] == "type").Sum(w => Count(w[6 + order]));

        static long CountIn(string lines, string node, string zone, int order) => lines.Split('\n').Select(l => l.Split([' ', ','], StringSplitOptions.RemoveEmptyEntries))
            .Where(w => w.Length > 4 && w[1] == node && w[3] == zone).Sum(w => Count(w[4 + order]));
    }

    /// <summary>Machines of which a zone's free blocks lie in a page block of one type more here than there: where they lie is invented.</summary>
    private static readonly HashSet<string> PackedOtherwise =
    [
        "amd64-1G-kaslr", "amd64-1G-memmap-hole", "amd64-2G-numa2", "amd64-4G-numa2-movablecore1G", "amd64-4G-numa4-uneven", "amd64-4G-numa4-uneven2", "amd64-96M-smp1", "arm64-1G-smp2", "arm64-2G-numa2",
        "arm64-512M-cma64M", "arm64-512M-smp1", "arm64-6G-kernelcore2G", "arm64-8G-smp2", "i386-2G-movablecore512M", "i386-2G-smp2", "i386pae-1G-smp1", "i386pae-2G-smp2", "i386pae-6G-smp4",
        "amd64-16G-nothp", "amd64-4G-nothp", "amd64-4G-runtime", "amd64-4G-smp4", "amd64-6G-movablecore2G", "amd64-6G-smp2", "amd64k612-4G-smp4",
    ];

    [Theory]
    [MemberData(nameof(MachinesWithCaches))]
    public void Slabinfo_is_byte_for_byte_that_of_the_machine_once_its_caches_exist_and_their_objects_are_counted(string name)
    {
        string folder = files.Folder("slab", name);
        Dictionary<string, string> aliases = SlabSysfsFile.ReadAliases(Path.Combine(folder, "slab-aliases.txt"));
        Dictionary<string, SlabSysfsRow> rows = SlabSysfsFile.Read(Path.Combine(folder, "slab-sysfs.txt")).GroupBy(r => r.Name).ToDictionary(g => g.Key, g => g.First(), StringComparer.Ordinal);
        string[] lines = File.ReadAllLines(Path.Combine(folder, "slabinfo"));
        using Machine machine = MachineOf(folder);
        HashSet<string> own = [.. machine.Slab.Caches.Select(c => c.Name)];
        int made = 0;
        foreach (string cache in lines.Skip(2).Reverse().Select(l => l.Split(' ')[0]).Where(n => !own.Contains(n)))
        {
            if (rows.TryGetValue(aliases.GetValueOrDefault(cache, cache), out SlabSysfsRow? row))
            {
                machine.Slab.CreateCache(cache, row.Request.ObjectSize, ArgsOf(machine.Personality, row), row.Request.Flags);
                made++;
            }
        }

        string[] printed = machine.Slab.SlabInfo.TrimEnd('\n').Split('\n');
        printed.Take(2).Should().Equal(lines.Take(2));
        made.Should().BeGreaterThan(60);
        Dictionary<string, string> byName = printed.Skip(2).ToDictionary(l => l.Split(' ')[0], StringComparer.Ordinal);
        string[] both = [.. lines.Skip(2).Where(l => byName.ContainsKey(l.Split(' ')[0]))];
        both.Length.Should().BeGreaterThan(lines.Length - 12, "but for a few caches sysfs has figures of each");
        printed.Skip(2).Select(l => l.Split(' ')[0]).Should().Equal(both.Select(l => l.Split(' ')[0]), "newest first, the kernel's own in their order");
        foreach (string line in both)
        {
            string actual = Counted(byName[line.Split(' ')[0]], line);
            if (actual != line && !IsKnownToDiffer(machine.Personality, rows, aliases.GetValueOrDefault(line.Split(' ')[0], line.Split(' ')[0])))
            {
                actual.Should().Be(line);
            }
        }
    }

    [Theory]
    [MemberData(nameof(MachinesWithAreas))]
    public void Lines_of_vmallocinfo_are_byte_for_byte_those_of_the_machine(string name)
    {
        Architecture architecture = ArchitectureOf(name);
        KernelPersonality kernel = KernelOf(name);
        string[] lines = File.ReadAllLines(Path.Combine(files.Folder("views", name), "vmallocinfo"));
        using Machine machine = Machine.Boot(With(MachineSpec.Preset(architecture, "256M"), name, nodes: true).WithPersonality(kernel));
        Cpu cpu = machine.Cpus[0];
        int compared = 0;
        foreach (string line in lines)
        {
            Match match = Area().Match(line);
            if (!match.Success)
            {
                continue;
            }

            long bytes = long.Parse(match.Groups["bytes"].Value, CultureInfo.InvariantCulture) - 4096;
            string caller = match.Groups["caller"].Value;
            MatchCollection nodes = Nodes().Matches(match.Groups["nodes"].Value);
            if (nodes.Count > 1 || bytes > (32 << 20))
            {
                continue;
            }

            int node = nodes.Count == 0 ? 0 : int.Parse(nodes[0].Groups[1].Value, CultureInfo.InvariantCulture);
            VirtualAddress area = match.Groups["vmap"].Success ? cpu.Vm.Vmap([.. Enumerable.Range(0, (int)(bytes >> 12)).Select(_ => cpu.AllocPage(Gfp.Kernel))], caller: caller)
                : nodes.Count == 0 ? cpu.Vmalloc(bytes, caller: caller) : cpu.Vm.VmallocNode(bytes, node, caller);
            string printed = machine.Proc.VmallocInfo.Split('\n').Single(l => l.Contains($"0x{area.Value:x}-", StringComparison.Ordinal));
            AfterRange(printed).Should().Be(AfterRange(line));
            compared++;
            if (match.Groups["vmap"].Success)
            {
                cpu.Vm.Vunmap(area);
            }
            else
            {
                cpu.Vfree(area);
            }
        }

        compared.Should().BeGreaterThan(lines.Length / 3);
        lines.Select(l => l.Contains("unpurged vm_area", StringComparison.Ordinal)).Should().BeInAscendingOrder("areas to be freed come last");
        ulong cpus = (ulong)File.ReadLines(Path.Combine(captures.Folder(name), "zoneinfo")).Where(l => l.StartsWith("    cpu: ", StringComparison.Ordinal)).Distinct().Count();
        ulong[] starts = [.. lines.Where(l => !l.Contains("unpurged", StringComparison.Ordinal)).Select(l => ulong.Parse(l.AsSpan(2, l.IndexOf('-') - 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
        starts.Should().Equal(kernel.KernelMemory.KeepsFreedRangesByCpu ? starts.OrderBy(s => (s >> 16) % cpus).ThenBy(s => s) : starts.Order());
    }

    private static string AfterRange(string line) => line[line.IndexOf(' ')..];

    /// <summary>The line with the counts of another one: how many objects and slabs there are is not the layout's.</summary>
    private static string Counted(string line, string counts)
    {
        string[] f = counts.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        string[] own = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return string.Create(CultureInfo.InvariantCulture, $"{own[0],-17} {f[1],6} {f[2],6} {own[3],6} {own[4],4} {own[5],4} : tunables {own[8],4} {own[9],4} {own[10],4} : slabdata {f[13],6} {f[14],6} {f[15],6}");
    }

    /// <summary>Whether a cache may keep its free pointer inside its objects without sysfs saying so (6.11 and later).</summary>
    private static bool IsKnownToDiffer(KernelPersonality kernel, Dictionary<string, SlabSysfsRow> rows, string sysfs) =>
        kernel.Slab.OrderIgnoresFewerObjects && rows[sysfs].Request.Flags.HasFlag(SlabFlags.TypesafeByRcu) && !kernel.Objects.FreePointerInside.Contains(sysfs);

    private static KmemCacheArgs ArgsOf(KernelPersonality kernel, SlabSysfsRow row) => new()
    {
        Align = row.Request.Align,
        Constructor = row.Request.HasConstructor ? (_, _) => { }
        : null,
        SheafCapacity = kernel.Objects.SheafCapacities.GetValueOrDefault(row.Name),
        FreePointerOffset = kernel.Objects.FreePointerInside.Contains(row.Name) && kernel.Slab.OrderIgnoresFewerObjects ? 0 : null,
    };

    private static Machine MachineOf(string folder)
    {
        string name = Path.GetFileName(folder);
        return Machine.Boot(With(MachineSpec.Preset(ArchitectureOf(name), "256M", CpusIn(File.ReadAllText(Path.Combine(folder, "cmdline")))), name, nodes: true)
            .WithPersonality(KernelPersonality.Parse(File.ReadAllText(Path.Combine(folder, "uname")))).WithCommandLine(SlabOptions(folder)).WithoutContents());
    }

    private static string SlabOptions(string folder) =>
        string.Join(' ', File.ReadAllText(Path.Combine(folder, "proc-cmdline")).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)
            .Where(w => w.StartsWith("slub_debug", StringComparison.Ordinal) || w.StartsWith("slab_debug", StringComparison.Ordinal)).Append("slab_nomerge"));

    private static MachineSpec With(MachineSpec spec, string name, bool nodes) => !nodes ? spec
        : name.Contains("numa4", StringComparison.Ordinal) ? spec.WithNodes("64M", "64M", "64M", "64M")
        : name.Contains("numa2", StringComparison.Ordinal) ? spec.WithNodes("128M", "128M") : spec;

    private static Architecture ArchitectureOf(string name) => name.StartsWith("amd64", StringComparison.Ordinal) ? Architecture.X86_64
        : name.StartsWith("arm64", StringComparison.Ordinal) ? Architecture.Arm64
        : name.StartsWith("i386pae", StringComparison.Ordinal) ? Architecture.X86_32Pae : Architecture.X86_32;

    private KernelPersonality KernelOf(string name) => KernelPersonality.Parse(File.ReadAllText(Path.Combine(captures.Folder(name), "uname")));

    private static int CpusIn(string qemu)
    {
        string[] words = qemu.Split(' ');
        int smp = Array.IndexOf(words, "-smp");
        return smp < 0 ? 1 : int.Parse(words[smp + 1].Split(',')[0], CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"^0x[0-9a-f]+-0x[0-9a-f]+ +(?<bytes>\d+) (?<caller>[^ ]+)(?: pages=\d+ vmalloc(?: vpages)?(?<nodes>(?: N\d+=\d+)*)|(?<vmap> vmap))$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Area();

    [GeneratedRegex(@" N(\d+)=\d+", RegexOptions.None, 1000)]
    private static partial Regex Nodes();
}
