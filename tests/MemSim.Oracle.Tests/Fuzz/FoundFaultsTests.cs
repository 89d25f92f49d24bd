using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Captures;
using MemSim.Observability;
using MemSim.Oracle.Tests.Figures;
using MemSim.Oracle.Tests.Replay;
using MemSim.Recordings;
using MemSim.Scenarios;
using Xunit;

namespace MemSim.Oracle.Tests.Fuzz;

/// <summary>What damaged files had brought out of the readers: each kind is refused with a word now.</summary>
public sealed class FoundFaultsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("memsim-found-").FullName;

    [Fact]
    public void Damaged_gzip_data_is_a_fault_of_the_file_whoever_reads_it()
    {
        string path = Path.Combine(_folder, "state.json.gz");
        byte[] packed = File.ReadAllBytes(Path.Combine(ReplayData.Exact, "128M-a-order0", "state-pre.json.gz"));
        packed[12] ^= 0xff;
        File.WriteAllBytes(path, packed);

        Refused(() => RecordedState.Load(path)).Should().Be("the compressed data is damaged or cut off");
        Refused(() => ExactStateReader.Read(path)).Should().Be("the compressed data is damaged or cut off");
        Refused(() => InputFile.OpenText(path).ReadLine()).Should().Be("the compressed data is damaged or cut off");
    }

    [Fact]
    public void A_state_with_a_free_block_inside_of_another_contradicts_itself()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithoutContents());
        AllocatorState state = machine.Snapshot().Allocator;
        ZoneState zone = state.Zones.First(z => z.FreeLists[10].Any(l => l.Length != 0));
        long block = zone.FreeLists[10].First(l => l.Length != 0)[0];
        zone.FreeLists[3][1] = [.. zone.FreeLists[3][1], block + 64];

        FluentActions.Invoking(() => MachineSnapshot.Of(state)).Should().Throw<FormatException>().WithMessage($"*pfn 0x{block + 64:x} cannot be a free block of order 3 beside that of order 10 at 0x{block:x}, which covers it*");
    }

    [Fact]
    public void A_state_that_counts_other_isolated_page_blocks_than_it_has_contradicts_itself()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithoutContents());
        AllocatorState state = machine.Snapshot().Allocator;
        state.Zones[0].IsolatedPageblocks = 1L << 40;

        FluentActions.Invoking(() => MachineSnapshot.Of(state)).Should().Throw<FormatException>().WithMessage("*1099511627776 page blocks are counted as isolated but 0 are");
    }

    [Fact]
    public void A_count_of_free_pages_that_the_lists_do_not_hold_is_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        AllocatorState state = machine.Snapshot().Allocator;
        state.Zones[0].FreePages++;

        FluentActions.Invoking(() => MachineSnapshot.Of(state)).Should().Throw<FormatException>().WithMessage("*pages are counted as free but the lists hold*");
    }

    [Fact]
    public void A_count_of_pages_in_free_page_blocks_that_the_lists_do_not_bear_out_is_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("7.3"));
        AllocatorState state = machine.Snapshot().Allocator;
        state.Zones[0].FreeBlockPages += 512;

        FluentActions.Invoking(() => MachineSnapshot.Of(state)).Should().Throw<FormatException>().WithMessage("*pages in free page blocks*");
    }

    [Fact]
    public void A_process_of_a_scenario_in_a_cgroup_without_a_path_is_refused()
    {
        string path = Path.Combine(_folder, "scenario.json");
        File.WriteAllText(path, "{\n  \"phases\": [{ \"processes\": [{ \"cgroup\": \"\", \"steps\": [] }] }]\n}\n");

        Refused(() => ScenarioFile.Read(path)).Should().Contain("path of the cgroup");
    }

    [Fact]
    public void Zones_of_a_captured_folder_that_overlap_are_refused_with_its_name()
    {
        using CaptureArchive captures = new();
        string folder = captures.Copy("amd64-256M-smp1");
        string path = Path.Combine(folder, "zoneinfo");
        File.WriteAllText(path, Regex.Replace(File.ReadAllText(path), @"start_pfn: +4096\b", "start_pfn: 99", RegexOptions.None, TimeSpan.FromSeconds(5)));

        Refused(() => MachineSpec.FromProc(folder)).Should().Contain("starts at");
    }

    [Fact]
    public void Zones_of_a_captured_folder_beyond_8_TiB_are_refused_with_its_name()
    {
        using CaptureArchive captures = new();
        string folder = captures.Copy("amd64-256M-smp1");
        string path = Path.Combine(folder, "zoneinfo");
        File.WriteAllText(path, Regex.Replace(File.ReadAllText(path), @"start_pfn: +4096\b", "start_pfn: 4294967296", RegexOptions.None, TimeSpan.FromSeconds(5)));

        Refused(() => MachineSpec.FromProc(folder)).Should().Contain("8 TiB");
    }

    [Theory]
    [InlineData("\"distances\":[10]", "\"distances\":null")]
    [InlineData("\"distances\":[10],", "")]
    [InlineData("\"frames\":[", "\"frames\":[null,")]
    public void A_snapshot_that_lacks_a_value_is_refused(string what, string by)
    {
        string path = Path.Combine(_folder, "snapshot.json");
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithoutContents());
        machine.Cpus[0].AllocPages(Gfp.Kernel, 2);
        machine.Snapshot().Save(path);
        string text = File.ReadLines(path).First().Replace("\"version\":2", "\"version\":1", StringComparison.Ordinal);
        text.Should().Contain(what);
        File.WriteAllText(path, text.Replace(what, by, StringComparison.Ordinal));

        Refused(() => MachineSnapshot.Load(path)).Should().NotBeEmpty();
    }

    [Theory]
    [InlineData("note.txt", "Linux version 6.1.", "Linux version x", "is no kernel version")]
    [InlineData("vmstat", "thp_fault_alloc ", "thp_lost ", "thp_fault_alloc is missing")]
    [InlineData("script.sh", "snap ", "echo ", "takes no step")]
    public void A_program_under_pressure_without_what_it_is_compared_by_is_refused(string file, string what, string by, string why)
    {
        string source = Cgroups.PressureRuns.Folder("k61", "cg-max-file");
        string folder = Path.Combine(_folder, Path.GetFileName(source));
        foreach (string from in Directory.GetFiles(source, "*", SearchOption.AllDirectories))
        {
            string to = Path.Combine(folder, Path.GetRelativePath(source, from));
            Directory.CreateDirectory(Path.GetDirectoryName(to)!);
            File.Copy(from, to);
        }

        string damaged = Directory.GetFiles(folder, file, SearchOption.AllDirectories).Order(StringComparer.Ordinal).Last(path => File.ReadAllText(path).Contains(what, StringComparison.Ordinal));
        File.WriteAllText(damaged, File.ReadAllText(damaged).Replace(what, by, StringComparison.Ordinal));

        Refused(() => PressureReplay.Run(folder)).Should().Contain(why);
    }

    private static string Refused(Action read) => read.Should().Throw<InputFileException>().Which.Reason;

    private static string Refused<T>(Func<T> read) => Refused(() => { _ = read(); });

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
