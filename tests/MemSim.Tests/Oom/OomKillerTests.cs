using FluentAssertions;
using MemSim.Oom;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Oom;

public sealed class OomKillerTests : IDisposable
{
    private const long MiB = 1 << 20;
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
    private readonly OomOnly _reclaim;

    public OomKillerTests()
    {
        _machine.Reclaim.Policy = _reclaim = new OomOnly(_machine);
        _machine.Sysctl.Set("vm.overcommit_memory", "1");
    }

    private Cpu Cpu => _machine.Cpus[0];

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void The_process_that_asks_for_too_much_is_killed_and_its_memory_comes_back()
    {
        long before = FreePages();
        Process hog = _machine.CreateProcess("hog");
        Process other = Filled("other", 8);
        Action fill = () => Fill(hog, 1024);
        fill.Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGKILL);
        hog.State.Should().Be(ProcessState.Dead);
        hog.ExitStatus.Should().Be(new ExitStatus(0, Signal.SIGKILL));
        other.State.Should().Be(ProcessState.Running);
        _machine.Events[VmEvent.OomKill].Should().Be(1);
        _machine.Oom.LastReport.Should().MatchRegex("^hog invoked oom-killer: gfp_mask=0x1[04]0dca\\(GFP_HIGHUSER_MOVABLE\\|(__GFP_COMP\\|)?__GFP_ZERO\\), order=0, oom_score_adj=0\n")
            .And.Contain("\nMem-Info:\n").And.Contain("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=hog,pid=")
            .And.Contain("Out of memory: Killed process ").And.Contain(" other\n").And.NotContain("oom_reaper");
        other.Exit();
        _machine.Verify();
        FreePages().Should().BeCloseTo(before, 64);
    }

    [Fact]
    public void Somebody_larger_dies_for_the_one_that_asks_and_the_access_succeeds()
    {
        Process large = Filled("large", 130);
        Process small = _machine.CreateProcess("small");
        Fill(small, 100);
        large.State.Should().Be(ProcessState.Dead);
        large.ExitStatus.Signal.Should().Be(Signal.SIGKILL);
        small.State.Should().Be(ProcessState.Running);
        small.Mm.AnonPages.Should().BeGreaterThanOrEqualTo(100 * MiB / 4096);
        _machine.Verify();
    }

    [Fact]
    public void Page_tables_count_as_much_as_the_pages_they_map()
    {
        Process dense = Filled("dense", 12);
        Process sparse = _machine.CreateProcess("sparse");
        using (Cpu.Run(sparse))
        {
            VirtualAddress start = sparse.Mm.Mmap(default, 4096 * MiB, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.NoReserve).Value;
            sparse.Mm.Madvise(start, 4096 * MiB, MemoryAdvice.NoHugePage);
            for (long at = 0; at < 4000 * MiB; at += 2 * MiB)
            {
                Cpu.Write(start + at, 1);
            }
        }

        sparse.Mm.ResidentPages.Should().BeLessThan(dense.Mm.ResidentPages, "it has fewer pages");
        sparse.Mm.PageTableBytes.Should().BeGreaterThan(7 * MiB, "and a page table for each");
        sparse.OomScore.Should().BeGreaterThan(dense.OomScore);
        OomBadness.Of(new OomTask { AnonPages = 10, SwapEntries = 20, PageTableBytes = 3 * 4096 }, 100_000).Should().Be(33);
    }

    [Fact]
    public void Oom_score_adj_chooses_the_victim()
    {
        Process preferred = Filled("preferred", 60);
        Process spared = Filled("spared", 80);
        preferred.OomScoreAdj = 500;
        spared.OomScoreAdj = -1000;
        spared.OomScore.Should().Be(0);
        preferred.OomScore.Should().BeGreaterThan(1000);
        Process small = _machine.CreateProcess("small");
        Fill(small, 100);
        preferred.State.Should().Be(ProcessState.Dead);
        spared.State.Should().Be(ProcessState.Running);
        _machine.Verify();
    }

    [Fact]
    public void Who_shares_the_memory_dies_too_and_the_child_of_vfork_is_never_chosen_itself()
    {
        Process parent = Filled("parent", 130);
        Process child = parent.Vfork();
        child.OomScoreAdj = 1000;
        Process small = _machine.CreateProcess("small");
        Fill(small, 100);
        _machine.Oom.LastReport.Should().Contain($"Killed process {parent.Pid} (parent)");
        parent.State.Should().Be(ProcessState.Dead);
        child.State.Should().NotBe(ProcessState.Running);
        _machine.Verify();
    }

    [Fact]
    public void Children_are_not_killed_in_their_parents_place()
    {
        Process parent = Filled("parent", 130);
        Process child = parent.Fork();
        Fill(_machine.CreateProcess("small"), 100);

        // The same badness, and the youngest of equals is chosen; the shared pages stay with the other one, which is next.
        child.State.Should().NotBe(ProcessState.Running);
        parent.State.Should().NotBe(ProcessState.Running);
        _machine.Events[VmEvent.OomKill].Should().Be(2);
        _machine.Verify();
    }

    [Fact]
    public void Kill_allocating_task_kills_who_asks_whatever_others_have()
    {
        _machine.Sysctl.Set("vm.oom_kill_allocating_task", "1");
        Process large = Filled("large", 130);
        Process small = _machine.CreateProcess("small");
        Action fill = () => Fill(small, 100);
        fill.Should().Throw<SignalException>();
        small.State.Should().Be(ProcessState.Dead);
        large.State.Should().Be(ProcessState.Running);
        _machine.Oom.LastReport.Should().Contain("Out of memory (oom_kill_allocating_task): Killed process ");
    }

    [Theory]
    [InlineData("1", "system-wide")]
    [InlineData("2", "compulsory")]
    public void Panic_on_oom_stops_the_machine(string value, string kind)
    {
        _machine.Sysctl.Set("vm.panic_on_oom", value);
        Process hog = _machine.CreateProcess("hog");
        Action fill = () => Fill(hog, 1024);
        KernelBugException panic = fill.Should().Throw<KernelBugException>().Which;
        panic.Kind.Should().Be(KernelBugKind.Panic);
        panic.Message.Should().StartWith($"Kernel panic - not syncing: Out of memory: {kind} panic_on_oom is enabled");
        panic.Report.Should().Contain("hog invoked oom-killer").And.Contain("Mem-Info:");
        hog.State.Should().Be(ProcessState.Running);
        _machine.Verify();
    }

    [Fact]
    public void Nobody_left_to_kill_is_a_panic_that_says_so_and_loses_nothing()
    {
        Process hog = _machine.CreateProcess("hog");
        hog.OomScoreAdj = -1000;
        Action fill = () => Fill(hog, 1024);
        KernelBugException panic = fill.Should().Throw<KernelBugException>().Which;
        panic.Message.Should().StartWith("Kernel panic - not syncing: System is deadlocked on memory");
        panic.Report.Should().EndWith("Out of memory and no killable processes...\n");
        _machine.Verify();
        hog.Exit();
        _machine.Verify();
    }

    [Fact]
    public void Without_dump_tasks_there_is_no_table()
    {
        _machine.Sysctl.Set("vm.oom_dump_tasks", "0");
        Process hog = _machine.CreateProcess("hog");
        Action fill = () => Fill(hog, 1024);
        fill.Should().Throw<SignalException>();
        _machine.Oom.LastReport.Should().NotContain("Tasks state").And.Contain("oom-kill:constraint=");
    }

    [Fact]
    public void Requests_that_cope_with_failure_kill_nobody()
    {
        Process hog = Filled("hog", 150);
        while (!Cpu.AllocPages(Gfp.Kernel | Gfp.NoRetry | Gfp.NoWarn, 0).IsNull)
        {
        }

        Cpu.AllocPages(Gfp.Kernel | Gfp.RetryMayFail | Gfp.NoWarn, 0).IsNull.Should().BeTrue();
        Cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, 4).IsNull.Should().BeTrue("killing makes no large blocks");
        Cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn, 0);
        hog.State.Should().Be(ProcessState.Running);
        _reclaim.Asked.Should().Be(0);
    }

    [Fact]
    public void A_request_that_must_not_fail_is_served_by_a_kill()
    {
        Process hog = Filled("hog", 150);
        while (!Cpu.AllocPages(Gfp.Kernel | Gfp.NoRetry | Gfp.NoWarn, 0).IsNull)
        {
        }

        Cpu.AllocPages(Gfp.Kernel | Gfp.NoFail, 0).IsNull.Should().BeFalse();
        hog.State.Should().Be(ProcessState.Dead);
    }

    [Fact]
    public void A_victim_that_another_cpu_runs_is_reaped_when_memory_runs_out_again()
    {
        OomEvents events = new();
        _machine.Tracing.Attach(events);
        Process large = Filled("large", 130);
        using (_machine.Cpus[1].Run(large))
        {
            Fill(_machine.CreateProcess("small"), 100);
            large.State.Should().Be(ProcessState.Running, "it has not come back to user mode");
            large.Mm.AnonPages.Should().Be(0);
            _machine.Oom.LastReport.Should().Be($"oom_reaper: reaped process {large.Pid} (large), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n");
            _machine.Verify();
        }

        large.State.Should().Be(ProcessState.Dead);
        events.Names.Should().Equal("mark_victim", "wake_reaper", "start_task_reaping", "finish_task_reaping");
        _machine.Verify();
    }

    [Fact]
    public void A_memory_policy_limits_who_is_killed_and_is_named()
    {
        using var machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M"));
        machine.Reclaim.Policy = new OomOnly(machine);
        machine.Sysctl.Set("vm.overcommit_memory", "1");
        Process elsewhere = machine.CreateProcess("elsewhere");
        elsewhere.Policy = MemoryPolicy.Bind(0);
        Fill(machine.Cpus[0], elsewhere, 100);
        Process bound = machine.CreateProcess("bound");
        bound.Policy = MemoryPolicy.Bind(1);
        Action fill = () => Fill(machine.Cpus[0], bound, 400);
        fill.Should().Throw<SignalException>();
        elsewhere.State.Should().Be(ProcessState.Running);
        machine.Oom.LastReport.Should().Contain("oom-kill:constraint=CONSTRAINT_MEMORY_POLICY,nodemask=1,cpuset=/,mems_allowed=0-1,").And.NotContain(" elsewhere\n");
    }

    [Fact]
    public void With_parallel_cpus_a_victim_is_reaped_and_ends_where_it_next_runs()
    {
        using var machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithParallelCpus());
        machine.Reclaim.Policy = new OomOnly(machine);
        Process large = machine.CreateProcess("large");
        Fill(machine.Cpus[1], large, 130);
        Fill(machine.Cpus[0], machine.CreateProcess("small"), 100);
        large.State.Should().Be(ProcessState.Running);
        large.Mm.AnonPages.Should().Be(0);
        using (machine.Cpus[1].Run(large))
        {
        }

        large.State.Should().Be(ProcessState.Dead);
        machine.Verify();
    }

    [Theory]
    [InlineData("x86_32")]
    [InlineData("arm64")]
    public void Other_architectures_kill_as_well(string architecture)
    {
        MachineSpec spec = architecture == "arm64" ? MachineSpec.Arm64("256M", cpus: 1) : MachineSpec.X86_32("256M", cpus: 1);
        using var machine = Machine.Boot(spec);
        machine.Reclaim.Policy = new OomOnly(machine);
        machine.Sysctl.Set("vm.overcommit_memory", "1");
        Process hog = machine.CreateProcess("hog");
        Action fill = () => Fill(machine.Cpus[0], hog, 512);
        fill.Should().Throw<SignalException>();
        hog.State.Should().Be(ProcessState.Dead);
        machine.Oom.LastReport.Should().Contain("Out of memory: Killed process ");
        machine.Verify();
    }

    [Fact]
    public void A_fork_that_runs_out_of_memory_may_cost_the_parent_its_life_but_nothing_is_lost()
    {
        Process parent = Filled("parent", 140);
        using (Cpu.Run(_machine.CreateProcess("other")))
        {
            while (_machine.Events[VmEvent.OomKill] == 0 && parent.State == ProcessState.Running)
            {
                // Copies of the page tables alone fill what is left.
                _ = parent.Fork(Cpu);
            }
        }

        _machine.Verify();
        foreach (Process process in _machine.Processes.ToArray())
        {
            process.Exit();
        }

        _machine.Verify();
    }

    [Fact]
    public void Kill_ends_a_resting_process_at_once()
    {
        Process process = Filled("victim", 1);
        process.Kill();
        process.State.Should().Be(ProcessState.Dead);
        process.ExitStatus.Signal.Should().Be(Signal.SIGKILL);
        _machine.Verify();
    }

    private Process Filled(string name, long mebibytes)
    {
        Process process = _machine.CreateProcess(name);
        Fill(process, mebibytes);
        return process;
    }

    private void Fill(Process process, long mebibytes) => Fill(Cpu, process, mebibytes);

    private static void Fill(Cpu cpu, Process process, long mebibytes)
    {
        using (cpu.Run(process))
        {
            ulong start = process.Mm.Mmap(mebibytes * MiB, Prot.Read | Prot.Write).Value.Value;
            for (long at = 0; at < mebibytes * MiB; at += 4096)
            {
                cpu.Write(new VirtualAddress(start + (ulong)at), at);
            }
        }
    }

    private long FreePages()
    {
        _machine.Memory.DrainAllPages();
        return _machine.Zones.Sum(z => z.TrueFreePages);
    }

    private sealed class OomEvents : IOomTraceSink
    {
        public List<string> Names { get; } = [];

        public void MarkVictim(Cpu cpu, in OomVictim victim) => Names.Add("mark_victim");

        public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj) => Names.Add("oom_score_adj_update");

        public void WakeReaper(Cpu cpu, int pid) => Names.Add("wake_reaper");

        public void StartTaskReaping(Cpu cpu, int pid) => Names.Add("start_task_reaping");

        public void FinishTaskReaping(Cpu cpu, int pid) => Names.Add("finish_task_reaping");

        public void SkipTaskReaping(Cpu cpu, int pid) => Names.Add("skip_task_reaping");
    }
}
