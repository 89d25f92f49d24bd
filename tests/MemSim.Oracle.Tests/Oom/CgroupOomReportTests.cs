using System.Globalization;
using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Oom;
using Xunit;

namespace MemSim.Oracle.Tests.Oom;

/// <summary>A hog in a cgroup of 40 MiB on 6.18, 7.0 and 7.3: the report, line by line, from a machine on which the same happens.</summary>
/// <remarks>
/// Beside the hog's own doing the machine is given what the recording says of the state before: the program's pages of the initial root file system, the size of its address space,
/// and bytes of kernel objects that the shell left in the cgroup. Everything else follows: how much anonymous memory fits, page tables, attempts, faults, the victim.
/// </remarks>
public sealed partial class CgroupOomReportTests
{
    [Theory]
    [InlineData("6.18")]
    [InlineData("7.0")]
    [InlineData("7.3")]
    public void The_report_of_a_cgroup_is_the_recorded_one_line_by_line(string kernel)
    {
        RecordedOom recorded = RecordedOom.Of($"amd64k{kernel.Replace(".", "", StringComparison.Ordinal)}-256M-cgroup");
        string[] actual = Report(kernel, recorded);
        string[] expected = [.. Comparable(recorded.Lines)];
        Func<string, string> form = kernel == "6.18" ? WithoutResident : static line => line;
        string[] lines = [.. actual.Where(l => !l.StartsWith("CPU: ", StringComparison.Ordinal))];
        string.Join("; ", lines.Zip(expected).Where(pair => form(pair.First) != form(pair.Second)).Select(pair => $"{pair.First} <> {pair.Second}")).Should().BeEmpty();
        lines.Should().HaveSameCount(expected);
        Version().Replace(actual[1], "").Should().Be(Version().Replace(recorded.Lines[1], ""));
    }

    /// <summary>What is left without the call trace, registers and the names of kernel and hardware.</summary>
    private static IEnumerable<string> Comparable(string[] lines) =>
        lines.Take(1).Concat(lines.SkipWhile(l => !l.StartsWith("memory: usage", StringComparison.Ordinal)).Select(l => l.TrimEnd()));

    private static string[] Report(string kernel, RecordedOom recorded)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        OomTask victim = recorded.Tasks.Single();
        OpenFile program;
        OpenFile other;
        using BlockDevice disk = new("vda", new ByteSize(1UL << 20));
        DiskFileSystem files = machine.Files.Mount(disk);
        Process root = machine.CreateProcess("sh");
        using (cpu.Run(root))
        {
            // The initial root file system is read and paid for by nobody's cgroup.
            program = machine.Files.MountTmpfs().Create("memcap").Value;
            cpu.Files.Write(program, 0, new byte[(victim.SharedMemoryPages + 1) << PageGeometry.PageShift]);
            other = files.Create("vdso").Value;
            cpu.Files.Write(other, 0, new byte[PageGeometry.PageSize]);
        }

        Cgroup box = machine.Cgroups.Create("/box");
        box["memory.max"] = "41943040";
        machine.Processes.Pids.SkipTo(victim.Pid - 1);
        Process hog = machine.CreateProcess("sh");
        hog.Cgroup = box;
        using (cpu.Run(hog))
        {
            hog.Exec("memcap").Should().Be(Errno.None);
            MemoryDescriptor mm = hog.Mm;
            VirtualAddress text = mm.Mmap(new VirtualAddress(0x400000), victim.SharedMemoryPages << PageGeometry.PageShift, Prot.Read | Prot.Execute, MapFlags.Private | MapFlags.Fixed, program).Value;
            for (long i = 0; i < victim.SharedMemoryPages; i++)
            {
                _ = cpu.Read<byte>(text + (i << PageGeometry.PageShift));
            }

            const long bytes = 120L << 20;
            VirtualAddress memory = mm.Mmap(new VirtualAddress(0x7f0000000000), bytes, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.Fixed).Value;
            cpu.Write(memory, (byte)1);
            for (long i = 0; i < victim.FilePages; i++)
            {
                _ = cpu.Read<byte>(mm.Mmap(default, PageGeometry.PageSize, Prot.Read, MapFlags.Private, other).Value);
            }

            // Page tables of the program's other areas: one table for each page that reads as zeroes.
            const int tablesOfHog = 20;
            for (int i = 0; mm.PageTableBytes < victim.PageTableBytes - ((tablesOfHog - 1) << PageGeometry.PageShift); i++)
            {
                VirtualAddress far = new(0x10000000UL + ((ulong)i << 21));
                _ = cpu.Read<byte>(mm.Mmap(far, PageGeometry.PageSize, Prot.Read, MapFlags.Private | MapFlags.Anonymous | MapFlags.Fixed).Value);
            }

            // Faults of the program before.
            long faults = Row(recorded.Lines, "pgfault") - ((Row(recorded.Lines, "anon") - Now(box, "anon")) >> PageGeometry.PageShift);
            while (Now(box, "pgfault") < faults - 1)
            {
                _ = cpu.Read<byte>(mm.Mmap(PageGeometry.PageSize, Prot.Read).Value);
            }

            long rest = victim.TotalPages - mm.TotalPages;
            _ = mm.Mmap(rest << PageGeometry.PageShift, Prot.None).Value;
            Charge(machine, box, "slab_unreclaimable", SlabFlags.Account, recorded);
            Charge(machine, box, "slab_reclaimable", SlabFlags.Account | SlabFlags.ReclaimAccount, recorded);
            Action touch = () =>
            {
                for (long at = 0; at < bytes; at += PageGeometry.PageSize)
                {
                    cpu.Write(memory + at, (byte)1);
                }
            };
            touch.Should().Throw<SignalException>();
        }

        return [.. string.Concat(machine.Oom.Reports).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.TrimEnd())];
    }

    /// <summary>Kernel objects that the shell left in the cgroup, as one object of so many bytes (eight name who pays).</summary>
    private static void Charge(Machine machine, Cgroup box, string row, SlabFlags flags, RecordedOom recorded)
    {
        long missing = Row(recorded.Lines, row) - Now(box, row);
        if (missing > 0)
        {
            KmemCache cache = machine.Slab.CreateCache(row, (int)missing - 8, 8, flags);
            machine.Cgroups.TryChargeObject(machine.Cpus[0], cache, Gfp.Kernel).Should().BeTrue();
            machine.Cgroups.NoteObject(machine.Cpus[0], cache, machine.Cpus[0].Alloc(cache, Gfp.Kernel));
        }
    }

    private static long Now(Cgroup box, string row) => Row(box["memory.stat"].Split('\n'), row);

    private static long Row(IEnumerable<string> lines, string name) => long.Parse(lines.Single(l => l.StartsWith(name + " ", StringComparison.Ordinal))[(name.Length + 1)..], CultureInfo.InvariantCulture);

    /// <summary>6.18 reads a process's counters without what its CPUs have not added yet: its figures of resident memory are up to 31 pages of each kind behind, which is not simulated.</summary>
    private static string WithoutResident(string line) => Resident().Replace(line, "#");

    [GeneratedRegex(@"(?<=^\[ *\d+\] +\d+ +\d+ +\d+) +\d+ +\d+ +\d+ +\d+|(?<=anon-rss:|file-rss:|shmem-rss:)\d+")]
    private static partial Regex Resident();

    [GeneratedRegex(@"(Not tainted|Tainted: [A-Z ]+) .* #1| +Debian .*$| +$")]
    private static partial Regex Version();
}
