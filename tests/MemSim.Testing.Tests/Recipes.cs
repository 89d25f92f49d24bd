using MemSim.Observability;
using Xunit;

namespace MemSim.Testing.Tests;

/// <summary>The recipes of docs/testing.md, which run here as they stand there.</summary>
public class Recipes
{
    [Fact]
    public void Leaks()
    {
        // <recipe leaks>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        AllocationMark before = machine.Leaks.Mark();

        VirtualAddress ring = cpu.Kmalloc(512, Gfp.Kernel);                 // what is under test
        cpu.Kfree(ring);

        machine.Should().HaveNoLeaks(before).And.BeConsistent();

        // </recipe>
    }

    [Fact]
    public void Who_holds_it()
    {
        // <recipe who>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        machine.Leaks.Track();                                              // from now on callers are recorded
        AllocationMark before = machine.Leaks.Mark();
        using (cpu.CallSite("e1000_open+0x40"))
        {
            cpu.AllocPages(Gfp.Kernel, order: 1);
            cpu.Kmalloc(100, Gfp.Kernel);
        }

        LeakReport report = machine.Leaks.Find(before);
        Assert.Equal("e1000_open+0x40", report.Pages[0].CallSite);          // 1 blocks of order 1 (2 pages), GFP_KERNEL, from e1000_open+0x40, ...
        Assert.Equal("kmalloc-128", report.Objects[0].Cache.Name);
        Assert.Contains(" e1000_open+0x40\n", machine.Proc.PageOwner);      // /sys/kernel/debug/page_owner

        // </recipe>
    }

    [Fact]
    public void Nobody_points_to_it()
    {
        // <recipe kmemleak>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        machine.Leaks.Track();
        VirtualAddress list = cpu.Kzalloc(64, Gfp.Kernel);
        VirtualAddress entry = cpu.Kzalloc(96, Gfp.Kernel);
        cpu.Write(list + 8, entry.Value);                                   // list->next = entry
        Assert.Empty(machine.Leaks.FindUnreferenced(list));                 // the test itself holds the list

        cpu.Write(list + 8, 0UL);                                           // the only pointer is overwritten
        UnreferencedObject lost = Assert.Single(machine.Leaks.FindUnreferenced(list));
        Assert.Equal(entry, lost.Address);                                  // unreferenced object 0x... (size 96): ...

        // </recipe>
    }

    [Fact]
    public void Each_allocation_fails()
    {
        // <recipe each>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        IReadOnlyList<InjectedFault> failed = machine.FaultInjection.Each(() =>
        {
            VirtualAddress state = cpu.Kmalloc(200, Gfp.Kernel);
            Page ring = cpu.AllocPages(Gfp.Kernel, order: 2);
            if (!state.IsNull && !ring.IsNull)
            {
                cpu.Write(state, ring.Pfn.Value);                           // the driver works
            }

            cpu.FreePages(ring, order: 2);                                  // null is ignored, as in the kernel
            cpu.Kfree(state);
        });
        Assert.Contains(failed, fault => fault.Order == 2);                 // fail_page_alloc: request 2, order 2, GFP_KERNEL, by swapper/0:0

        // </recipe>
    }

    [Fact]
    public void One_allocation_fails()
    {
        // <recipe one>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        FaultRule rule = new() { Cache = "kmalloc-256", CallSite = "probe", Times = 1 };
        using (ArmedFault armed = machine.FaultInjection.Arm(rule))
        using (cpu.CallSite("probe+0x12"))
        {
            Assert.False(cpu.Kmalloc(64, Gfp.Kernel).IsNull);               // another cache
            Assert.True(cpu.Kmalloc(200, Gfp.Kernel).IsNull);
            Assert.False(cpu.Kmalloc(200, Gfp.Kernel).IsNull);              // once is enough
            Assert.Equal(1, armed.Failed);
        }

        // </recipe>
    }

    [Fact]
    public void Failures_at_random()
    {
        // <recipe random>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using (machine.FaultInjection.Arm(FaultRule.FailPageAlloc("1,30,0,-1") with { Seed = 7 }))      // fail_page_alloc=1,30,0,-1
        {
            int failed = Enumerable.Range(0, 100).Count(_ => cpu.AllocPages(Gfp.Atomic, order: 1).IsNull);
            Assert.InRange(failed, 15, 45);                                 // the same number in each run: the seed says so
            Assert.False(cpu.AllocPages(Gfp.Kernel, order: 1).IsNull);      // ignore-gfp-wait, the kernel's default
        }

        using Machine other = Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine("failslab=1,100,0,2"));
        Assert.True(other.Cpus[0].Kmalloc(100, Gfp.Atomic).IsNull);
        Assert.Equal(1, other.FaultInjection.Armed[0].Failed);
        // </recipe>
    }

    [Fact]
    public void Fragmented()
    {
        // <recipe fragmented>
        using MachineFixture fixture = Machines.Fragmented(order: 4);
        Machine machine = fixture.Machine;
        machine.Should().BeFragmented(order: 4);
        Assert.True(fixture.Cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn, order: 4).IsNull);

        fixture.Release();                                                  // gives back what kept the blocks apart
        machine.Should().NotBeFragmented(order: 4);

        // </recipe>
    }

    [Fact]
    public void At_the_min_watermark()
    {
        // <recipe watermark>
        using MachineFixture fixture = Machines.AtWatermark(Watermark.Min, spec: MachineSpec.Arm64("128M"));     // one zone: no other to fall back on
        Assert.True(fixture.Cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn).IsNull);          // nothing below min, and nothing to reclaim
        Assert.False(fixture.Cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn).IsNull);         // may use five eighths of it
        fixture.Machine.Should().HaveAllocationFailures(1);

        // </recipe>
    }

    [Fact]
    public void Exhausted_but_some_pages()
    {
        // <recipe exhausted>
        using MachineFixture fixture = Machines.ExhaustedBut(3);
        fixture.Machine.Should().HaveFree(3);
        Gfp last = Gfp.MemAlloc | Gfp.NoWarn;                               // the right to every reserve
        Assert.All(Enumerable.Range(0, 3), _ => Assert.False(fixture.Cpu.AllocPages(last).IsNull));
        Assert.True(fixture.Cpu.AllocPages(last).IsNull);

        // </recipe>
    }

    [Fact]
    public void Two_nodes()
    {
        // <recipe numa>
        using MachineFixture fixture = Machines.NumaPair();
        Cpu second = fixture.Machine.Cpus[1];
        Page near = second.AllocPages(Gfp.Kernel);
        Page far = second.Pages.AllocPagesNode(0, Gfp.Kernel | Gfp.ThisNode);
        Assert.Equal(second.Node.Id, near.Zone.Node.Id);
        Assert.Equal(0, far.Zone.Node.Id);

        // </recipe>
    }

    [Fact]
    public void High_memory()
    {
        // <recipe highmem>
        using MachineFixture fixture = Machines.HighMemory("1G");
        Page page = fixture.Cpu.AllocPages(Gfp.HighUser);
        Assert.Equal(ZoneType.HighMem, page.Zone.Type);
        Assert.True(page.Address.IsNull);                                   // it has no address until it is mapped
        VirtualAddress window = fixture.Cpu.Kmap(page);
        fixture.Cpu.Write(window, 42);
        fixture.Cpu.Kunmap(page);

        // </recipe>
    }

    [Fact]
    public void Events()
    {
        // <recipe events>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        using EventRecorder recorder = machine.Record();
        Page page = cpu.AllocPages(Gfp.Kernel, order: 3);
        cpu.FreePages(page, order: 3);
        Assert.Equal(page.Pfn.Value, Assert.Single(recorder.Of(RecordedKind.PageAlloc)).Pfn);
        Assert.Equal(1, recorder.Count(RecordedKind.PageFree));

        // </recipe>
    }

    [Fact]
    public void Out_of_memory()
    {
        // <recipe oom>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithSysctl("vm.overcommit_memory", "1"));
        Cpu cpu = machine.Cpus[0];
        Process hog = machine.CreateProcess("hog");
        using (cpu.Run(hog))
        {
            VirtualAddress memory = hog.Mm.Mmap(1 << 30, Prot.Read | Prot.Write);
            SignalException killed = Assert.Throws<SignalException>(() =>
            {
                for (long at = 0; at < 1 << 30; at += 4096)
                {
                    cpu.Write(memory + at, at);                         // cpu.User.PutUser answers EFAULT instead
                }
            });
            Assert.Equal(Signal.SIGKILL, killed.SignalInfo.Signal);
        }

        Assert.False(hog.IsAlive);
        machine.Should().HaveOomKills(1);                               // machine.Oom.LastReport is what the kernel prints
        // </recipe>
    }

    [Fact]
    public void What_if()
    {
        // <recipe snapshot>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        MachineSnapshot before = machine.Snapshot();
        using (Machine twin = before.Boot())
        {
            twin.Cpus[0].AllocPages(Gfp.Kernel, order: 10);                 // try it there
            SnapshotDifference difference = SnapshotDifference.Between(machine, twin);
            Assert.Contains(difference.Lines, line => line.StartsWith("buddyinfo: Node 0, zone DMA32 [10] ", StringComparison.Ordinal) && line.EndsWith("(-1)", StringComparison.Ordinal));
        }

        machine.Should().BeInTheStateOf(before);                            // nothing happened here

        // </recipe>
    }

    [Fact]
    public void A_snapshot_hands_over_what_the_user_holds()
    {
        // <recipe handles>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        OpenFile file = machine.Files.MountTmpfs().Create("notes").Value;
        cpu.Files.Write(file, 0, new byte[] { 1, 2, 3 });
        Process process = machine.CreateProcess("worker");

        MachineSnapshot snapshot = machine.Snapshot(file, process);
        using Machine twin = snapshot.Boot(out IReadOnlyList<object> handles);
        byte[] read = new byte[3];
        Assert.Equal(3, twin.Cpus[0].Files.Read((OpenFile)handles[0], 0, read).Value);
        Assert.Same(twin.Processes.Find(process.Pid), handles[1]);
        Assert.Empty(snapshot.NotCarried);
        // </recipe>
    }
}
