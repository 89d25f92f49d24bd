using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Reports whose heads are cut off, behind others: what they say is theirs alone. And what holders hold, kernels that nobody knows yet, where sentences stand.</summary>
public sealed class NeighbourTests
{
    private const string Group = """
        memory: usage 102400kB, limit 102400kB, failcnt 42
        swap: usage 0kB, limit 0kB, failcnt 0
        Memory cgroup stats for /b:
        anon 104857600
        file 12288
        Tasks state (memory values in pages):
        [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
        [    812]     0   812    30000    25600   262144        0             0 eater
        oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=b,mems_allowed=0,oom_memcg=/b,task_memcg=/b,task=eater,pid=812,uid=0
        Memory cgroup out of memory: Killed process 812 (eater) total-vm:120000kB, anon-rss:102400kB, file-rss:12kB, shmem-rss:0kB, UID:0 pgtables:256kB oom_score_adj:0
        """;

    private const string Machine = """
        dd invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0
        CPU: 0 PID: 11 Comm: dd Not tainted 6.6.1 #1
         dump_header+0x4a/0x1f0
         oom_kill_process+0x101/0x190
         out_of_memory+0x10b/0x590
         __alloc_pages_slowpath.constprop.0+0xe77/0x1470
        Mem-Info:
        active_anon:200 inactive_anon:9055 isolated_anon:0
        Normal free:400kB boost:0kB min:1000kB low:2000kB high:3000kB reserved_highatomic:0KB present:100000kB managed:100000kB
        lowmem_reserve[]: 0 0
        Normal: 100*4kB (U) 0*8kB 0*16kB = 400kB
        25000 pages RAM
        0 pages reserved
        """;

    private const string OtherGroup = """
        cat invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
        CPU: 0 PID: 11 Comm: cat Not tainted 6.6.1 #1
        memory: usage 2048kB, limit 2048kB, failcnt 7
        Memory cgroup stats for /a:
        anon 2097152
        """;

    private const string OtherGroupsEnd = """

        oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0,oom_memcg=/a,task_memcg=/a,task=cat,pid=11,uid=0
        Memory cgroup out of memory: Killed process 11 (cat) total-vm:20000kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:16kB oom_score_adj:0
        """;

    public static TheoryData<int> Cuts() => [.. Enumerable.Range(0, Group.Split('\n').Length - 1)];

    [Theory]
    [MemberData(nameof(Cuts))]
    public void Figures_of_a_group_whose_head_is_cut_off_are_none_of_the_machines(int cut)
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(Machine + "\n" + Tail(cut));

        reports[0].Report.Kind.Should().Be(ReportKind.Oom);
        reports[0].Report.Cgroup.Should().BeNull();
        reports[0].Verdict.Should().Be(Verdict.Short);
        reports[0].Report.Victim.Should().BeNull();
    }

    [Theory]
    [MemberData(nameof(Cuts))]
    public void Figures_of_a_group_whose_head_is_cut_off_are_none_of_a_machines_that_is_cut_off_itself(int cut)
    {
        IReadOnlyList<ReportExplanation> reports = Logs.Explain(Machine[..Machine.IndexOf("Mem-Info", StringComparison.Ordinal)] + Tail(cut));

        reports[0].Report.Kind.Should().Be(ReportKind.Oom);
        reports[0].Report.Cgroup.Should().BeNull();
    }

    [Theory]
    [MemberData(nameof(Cuts))]
    public void Figures_of_a_group_whose_head_is_cut_off_are_none_of_another_group(int cut)
    {
        foreach (string other in (string[])[OtherGroup + OtherGroupsEnd, OtherGroup])
        {
            ReportedCgroup group = Logs.Explain(other + "\n" + Tail(cut))[0].Report.Cgroup!;

            group.UsageKiB.Should().Be(2048);
            group.SwapUsageKiB.Should().BeNull();
            group.Stat["anon"].Should().Be(2097152);
            (group.Path ?? "/a").Should().Be("/a");
        }
    }

    [Fact]
    public void What_is_in_swap_is_not_held()
    {
        ReportExplanation explanation = Logs.Only(Machine + """

            Tasks state (memory values in pages):
            [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
            [     21]     0    21    90000      100   262144    80000             0 sleeper
            [     22]     0    22    30000    20000   262144        0             0 worker
            """);

        explanation.Consumers.Should().Contain(new Consumer("task worker", 80000, "pid 22")).And.Contain(new Consumer("task sleeper", 400, "pid 21, and 80000 pages (312.5 MiB) in swap"));
        explanation.Report.Tasks.Select(t => t.Name).Should().Equal("worker", "sleeper");
    }

    [Theory]
    [InlineData("7.9.0", true)]
    [InlineData("8.0.1-amd64", true)]
    [InlineData("7.3.4", false)]
    [InlineData("6.6.1", false)]
    public void A_kernel_that_is_newer_than_every_known_one_is_explained_with_a_word_about_it(string release, bool isNew)
    {
        Logs.Only(Machine.Replace("6.6.1", release, StringComparison.Ordinal)).Notes.Any(n => n.Contains("newer than the kernels whose rules are known")).Should().Be(isNew);
        ReportExplainer.Explain(KernelLog.Read(Machine)[0], KernelRelease.TryParse(release, out KernelRelease asked) ? asked : null).Notes.Any(n => n.Contains("newer than")).Should().Be(isNew);
    }

    [Fact]
    public void What_was_so_at_the_failure_does_not_stand_under_what_helps_now()
    {
        string[] lines = Logs.Only(Logs.Field("61")).ToString().Split('\n');

        lines.Should().ContainSingle(l => l.StartsWith("also: ", StringComparison.Ordinal));
        int now = Array.FindIndex(lines, l => l.StartsWith("now: ", StringComparison.Ordinal));
        int also = Array.FindIndex(lines, l => l.StartsWith("also: ", StringComparison.Ordinal));
        also.Should().BeGreaterThan(now);
        lines[now..also].Should().NotContain(l => l.Contains("passes at min as printed"));
        lines[also..].Should().Contain(l => l.Contains("passes at min as printed"));
    }

    private static string Tail(int cut) => string.Join('\n', Group.Split('\n')[cut..]);
}
