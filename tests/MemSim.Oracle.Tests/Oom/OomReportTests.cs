using System.Text;
using FluentAssertions;
using MemSim.Kernels;
using MemSim.Oom;
using Xunit;

namespace MemSim.Oracle.Tests.Oom;

/// <summary>The OOM killer's report, byte for byte as kernels printed it, and the choice they made from the same table.</summary>
public partial class OomReportTests
{
    public static TheoryData<string> Reports => ["amd64-256M-smp1", "amd64-256M-smp2", "i386-1G-smp1", "arch-6.1-doxygen", "amd64k618-256M-smp1", "amd64k70-256M-smp1", "amd64k73-256M-smp1"];

    [Theory]
    [MemberData(nameof(Reports))]
    public void The_task_table_is_printed_as_the_kernel_did(string name)
    {
        RecordedOom recorded = RecordedOom.Of(name);
        StringBuilder text = new();
        OomReportText.AppendTable(text, recorded.Tasks, KernelOf(name));
        text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Should().Equal(recorded.Table);
        recorded.Table.Should().HaveCountGreaterThan(2);
    }

    [Theory]
    [MemberData(nameof(Reports))]
    public void The_process_with_the_highest_badness_is_the_one_the_kernel_killed(string name)
    {
        RecordedOom recorded = RecordedOom.Of(name);
        OomTask chosen = default;
        long worst = OomBadness.Unkillable;
        foreach (OomTask task in recorded.Tasks)
        {
            long badness = OomBadness.Of(task, recorded.AllPages);
            if (badness != OomBadness.Unkillable && badness >= worst)
            {
                (chosen, worst) = (task, badness);
            }
        }

        chosen.Pid.Should().Be(recorded.Victim.Pid);
    }

    [Theory]
    [MemberData(nameof(Reports))]
    public void The_kill_is_announced_as_the_kernel_did(string name)
    {
        RecordedOom recorded = RecordedOom.Of(name);
        OomTask victim = recorded.Victim;
        OomReportText.Killed("Out of memory", victim).Should().Be(recorded.Killed + "\n");

        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithoutContents());
        string path = recorded.Summary.Split("task_memcg=")[1].Split(',')[0];
        Cgroup own = machine.Cgroups.Root;
        for (int end = path.IndexOf('/', 1); path != "/"; end = path.IndexOf('/', end + 1))
        {
            own = machine.Cgroups.Create(end < 0 ? path : path[..end]);
            if (end < 0)
            {
                break;
            }
        }

        OomReportText.Summary(OomConstraint.None, null, "/", 1, null, own, victim).Should().Be(recorded.Summary + "\n");
    }

    [Theory]
    [InlineData("amd64-256M-smp1", "pid=100 comm=memcap total-vm=1053256kB anon-rss=145408kB file-rss:4kB shmem-rss:632kB uid=0 pgtables=324kB oom_score_adj=0")]
    [InlineData("amd64-256M-smp2", "pid=108 comm=memcap total-vm=1053256kB anon-rss=129040kB file-rss:4kB shmem-rss:632kB uid=0 pgtables=292kB oom_score_adj=0")]
    [InlineData("i386-1G-smp1", "pid=100 comm=memcap total-vm=1053224kB anon-rss=911804kB file-rss:4kB shmem-rss:560kB uid=0 pgtables=916kB oom_score_adj=0")]
    public void The_tracepoint_of_the_kill_says_what_the_recorded_one_said(string name, string recorded) =>
        FtraceTextSink.MarkVictimFields(RecordedOom.Of(name).Victim.ToEvent()).Should().Be(recorded);

    [Fact]
    public void The_reaper_reports_as_the_kernel_did()
    {
        RecordedOom recorded = RecordedOom.Of("arch-6.1-doxygen");
        OomReportText.Reaped(recorded.Victim with { AnonPages = 0, FilePages = 0, SharedMemoryPages = 0 }).Should().Be(recorded.Reaped + "\n");
    }

    [Theory]
    [InlineData("amd64-256M-smp1", 100)]
    [InlineData("i386-1G-smp1", 100)]
    [InlineData("amd64k618-256M-smp1", 136)]
    [InlineData("amd64k70-256M-smp1", 136)]
    [InlineData("amd64k73-256M-smp1", 104)]
    public void The_header_differs_from_the_kernels_only_in_the_kernels_name(string name, int pid)
    {
        using var machine = Machine.Boot(MachineSpec.X86_64("256M").WithoutContents().WithPersonality(KernelOf(name)));
        RecordedOom recorded = RecordedOom.Of(name);
        Cpu cpu = machine.Cpus[0];
        using (cpu.Run(new KernelTask("memcap", pid)))
        {
            string[] lines = OomReportText.Header(cpu, Gfp.HighUserMovable | Gfp.Comp | Gfp.Zero, 0, 0).Split('\n');
            lines[0].Should().Be(recorded.Lines[0]);
            Version().Replace(lines[1], "").Should().Be(Version().Replace(recorded.Lines[1], ""));
        }
    }

    [Theory]
    [InlineData("amd64k618-256M-order3", "6.18")]
    [InlineData("amd64k70-256M-order3", "7.0")]
    [InlineData("amd64k73-256M-order3", "7.3")]
    public void A_failed_allocation_is_reported_with_the_lines_and_words_of_its_kernel(string name, string kernel)
    {
        using var machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel(kernel).WithoutContents());
        string[] expected = [.. RecordedOom.Of(name).Lines.Where(l => !l.StartsWith(" <", StringComparison.Ordinal) && !Frame().IsMatch(l)).SkipWhile(l => !l.Contains("page allocation failure", StringComparison.Ordinal))
            .Where(l => !l.StartsWith("Tainted: ", StringComparison.Ordinal) && !l.StartsWith("Hardware name", StringComparison.Ordinal) && !l.StartsWith("Call Trace", StringComparison.Ordinal))
            .TakeWhile(l => !l.StartsWith("allocfail", StringComparison.Ordinal) && !l.StartsWith("RIP", StringComparison.Ordinal))];
        machine.Reports.KeepsAllocationFailures = true;
        while (!machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.Comp, 3).IsNull)
        {
        }

        string[] actual = machine.Reports.LastAllocationFailure!.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        actual[0].Should().EndWith(expected[0][expected[0].IndexOf(": page", StringComparison.Ordinal)..]);
        actual.Skip(2).Select(Words).Should().Equal(expected[2..expected.Length].SkipWhile(l => l != "Mem-Info:").Select(Words));
    }

    private static KernelPersonality KernelOf(string name) => KernelLines.Recorded.FirstOrDefault(l => name.StartsWith("amd64k" + l.Name.Replace(".", "", StringComparison.Ordinal) + "-", StringComparison.Ordinal), KernelLines.Linux6_1);

    /// <summary>A line without its figures, free blocks' types and the state of kswapd.</summary>
    private static string Words(string line) => Figures().Replace(Types().Replace(line, ""), "#");

    [System.Text.RegularExpressions.GeneratedRegex(@"(Not tainted|Tainted: [A-Z ]+) .* #1| +Debian .*$| +$")]
    private static partial System.Text.RegularExpressions.Regex Version();

    [System.Text.RegularExpressions.GeneratedRegex(@"^ \??\s*[a-zA-Z_0-9.]+\+0x")]
    private static partial System.Text.RegularExpressions.Regex Frame();

    [System.Text.RegularExpressions.GeneratedRegex(@"(?<![A-Za-z0-9])[0-9]+|(?<=unreclaimable\? )(yes|no)")]
    private static partial System.Text.RegularExpressions.Regex Figures();

    [System.Text.RegularExpressions.GeneratedRegex(@"\([A-Z]+\) ")]
    private static partial System.Text.RegularExpressions.Regex Types();
}
