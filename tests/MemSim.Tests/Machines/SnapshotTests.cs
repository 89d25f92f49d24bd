using FluentAssertions;
using MemSim.Observability;
using Xunit;

namespace MemSim.Tests.Machines;

public sealed class SnapshotTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"memsim-{Guid.NewGuid():N}.json.gz");

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void A_twin_booted_from_a_snapshot_returns_the_same_frames_as_the_original_from_then_on()
    {
        using Machine machine = Busy(out List<(Page Page, int Order)> live);
        using Machine twin = machine.Snapshot().Boot();
        twin.Verify();

        SameFuture(machine, twin, live);
    }

    [Fact]
    public void A_snapshot_saved_to_a_file_boots_a_machine_with_the_same_future()
    {
        using Machine machine = Busy(out List<(Page Page, int Order)> live);
        machine.Snapshot().Save(_file);
        using Machine twin = MachineSnapshot.Load(_file).Boot();
        twin.Verify();

        SameFuture(machine, twin, live);
    }

    [Fact]
    public void Processes_and_files_go_along()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        using BlockDevice disk = new("vda", "64M");
        DiskFileSystem files = machine.Files.Mount(disk);
        OpenFile file = files.Create("data").Value;
        machine.Cpus[0].Files.Write(file, 0, Enumerable.Repeat((byte)7, 100_000).ToArray()).Error.Should().Be(Errno.None);
        Process process = Touch(machine, 300, out VirtualAddress data);
        MachineSnapshot snapshot = machine.Snapshot(file, files);
        snapshot.NotCarried.Should().BeEmpty();
        machine.Cpus[0].Files.Write(file, 0, new byte[100]).Error.Should().Be(Errno.None);

        using Machine twin = snapshot.Boot(out IReadOnlyList<object> handles);
        twin.Verify();
        twin.Proc.BuddyInfo.Should().Be(machine.Proc.BuddyInfo);
        byte[] read = new byte[100];
        twin.Cpus[0].Files.Read((OpenFile)handles[0], 50, read).Value.Should().Be(100);
        read.Should().OnlyContain(b => b == 7, "the original's later writes are its own");
        ((DiskFileSystem)handles[1]).Names.Should().Equal("data");
        Process same = twin.Processes.Find(process.Pid)!;
        using (twin.Cpus[0].Run(same))
        {
            twin.Cpus[0].Read<int>(data + (299 << 12)).Should().Be(299);
            twin.Cpus[0].Write(data, -1);
        }

        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Read<int>(data).Should().Be(0);
        }

        same.Exit(cpu: twin.Cpus[0]);
        twin.Compaction.CompactMemory();
        twin.Verify();
        machine.Verify();
    }

    [Fact]
    public void The_context_of_a_CPU_goes_along()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Process process = machine.CreateProcess("runner");
        using (machine.Cpus[0].Run(process))
        {
            using Machine twin = machine.Snapshot().Boot();
            twin.Cpus[0].Current.Pid.Should().Be(process.Pid);
            twin.Cpus[0].Current.Should().BeSameAs(twin.Processes.Find(process.Pid)).And.NotBeSameAs(process);
        }
    }

    [Fact]
    public void What_the_user_made_is_named_and_attached_anew()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Counting shrinker = new() { Left = 50 };
        machine.Reclaim.RegisterShrinker(shrinker);
        int made = 0;
        machine.Slab.CreateCache("counted", 64, constructor: (_, _) => made++);
        MachineSnapshot snapshot = machine.Snapshot();

        snapshot.NotCarried.Should().HaveCount(2).And.Contain(line => line.StartsWith("Counting \"counting\" at Machine.Shrinkers.")).And.Contain(line => line.StartsWith("ObjectConstructor") && line.Contains("Constructor"));
        snapshot.Invoking(s => s.Boot()).Should().Throw<InvalidOperationException>().WithMessage("*does not hold*boot it with a function*");
        snapshot.Invoking(s => s.Boot(_ => "a text")).Should().Throw<ArgumentException>();
        Counting another = new() { Left = 7 };
        int there = 0;
        using Machine twin = snapshot.Boot(missing => missing.TypeName == nameof(Counting) ? another : (ObjectConstructor)((_, _) => there++));
        twin.Cpus[0].Alloc(twin.Slab.Find("counted")!, Gfp.Kernel).IsNull.Should().BeFalse();
        there.Should().BePositive();
        made.Should().Be(0);
        twin.Files.DropCaches(2);
        another.Left.Should().Be(0);
        shrinker.Left.Should().Be(50);
        twin.Reclaim.Shrinkers.Should().Equal(another);
        twin.Verify();
    }

    private sealed class Counting() : Shrinker("counting")
    {
        public long Left { get; set; }

        protected override long CountObjects(in ShrinkRequest request) => Left;

        protected override long ScanObjects(in ShrinkRequest request)
        {
            long freed = Math.Min(Left, request.ToScan);
            Left -= freed;
            return freed;
        }
    }

    [Fact]
    public void Who_listens_to_the_original_does_not_listen_to_its_copy()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        using StringWriter text = new();
        using FtraceTextSink trace = new(machine, text);
        machine.Tracing.Attach(trace);
        MachineSnapshot snapshot = machine.Snapshot();
        snapshot.NotCarried.Should().BeEmpty();
        using Machine twin = snapshot.Boot();
        twin.Cpus[0].AllocPages(Gfp.Kernel, 0).IsNull.Should().BeFalse();
        twin.Cpus[0].Kmalloc(64, Gfp.Kernel).IsNull.Should().BeFalse();
        text.ToString().Should().BeEmpty();
        twin.Hooks.Trace.Should().BeNull("the fast paths are open");
    }

    private static Process Touch(Machine machine, int pages, out VirtualAddress data)
    {
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("toucher");
        using (cpu.Run(process))
        {
            data = process.Mm.Mmap((long)pages << 12, Prot.Read | Prot.Write);
            for (int i = 0; i < pages; i++)
            {
                cpu.Write(data + (i << 12), i);
            }
        }

        machine.Lru.DrainAll();
        return process;
    }

    [Fact]
    public void Booting_a_snapshot_twice_gives_independent_machines()
    {
        using Machine machine = Busy(out _);
        MachineSnapshot snapshot = machine.Snapshot();
        using Machine first = snapshot.Boot();
        using Machine second = snapshot.Boot();
        Page page = first.Cpus[0].AllocPage(Gfp.Kernel);

        second.Cpus[0].AllocPage(Gfp.Kernel).Pfn.Should().Be(page.Pfn);
        first.Verify();
        second.Verify();
    }

    [Fact]
    public void What_happens_to_the_original_later_does_not_change_the_snapshot()
    {
        using Machine machine = Busy(out List<(Page Page, int Order)> live);
        MachineSnapshot snapshot = machine.Snapshot();
        foreach ((Page page, int order) in live)
        {
            machine.Cpus[0].FreePages(page, order);
        }

        using Machine twin = snapshot.Boot();
        twin.GetPage(live[0].Page.Pfn).Count.Should().Be(1);
        twin.Verify();
    }

    [Fact]
    public void Live_pages_keep_their_flags_references_and_owner_words()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, 2);
        cpu.Pages.GetPage(page);
        page.SetFlags(PageFlags.Dirty | PageFlags.UpToDate);
        page.SetPrivate(42);
        page.SetMapping(0x101, 7);
        machine.Snapshot().Save(_file);

        using Machine twin = MachineSnapshot.Load(_file).Boot();
        Page copy = twin.GetPage(page.Pfn);
        copy.Flags.Should().Be(page.Flags);
        copy.Count.Should().Be(2);
        copy.Private.Should().Be(42);
        copy.Mapping.Should().Be(0x101);
        copy.Index.Should().Be(7);
        twin.GetPage(page.Pfn + 3).IsTail.Should().BeTrue();
        twin.Verify();
    }

    [Fact]
    public void Settings_counters_and_offline_cpus_survive()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", 4));
        machine.Sysctl.Set("min_free_kbytes", "8192");
        machine.Hotplug.OfflineCpu(3);
        machine.Cpus[1].AllocPages(Gfp.Kernel, 1);
        machine.Snapshot().Save(_file);

        using Machine twin = MachineSnapshot.Load(_file).Boot();
        twin.Sysctl.Get("min_free_kbytes").Should().Be("8192");
        twin.Cpus[3].IsOnline.Should().BeFalse();
        twin.Sysctl.Set("min_free_kbytes", "16384");
        machine.Sysctl.Set("min_free_kbytes", "16384");
        foreach ((Zone mine, Zone theirs) in machine.Zones.Zip(twin.Zones))
        {
            theirs.GetWatermark(Watermark.Low).Should().Be(mine.GetWatermark(Watermark.Low));
            theirs.Pageset(1).Should().Be(mine.Pageset(1));
        }
    }

    [Fact]
    public void A_twin_of_a_numa_machine_falls_back_in_the_same_order()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", 4).WithNodes("256M", "256M", "512M"));
        machine.Snapshot().Save(_file);

        using Machine twin = MachineSnapshot.Load(_file).Boot();
        for (int i = 0; i < 300; i++)
        {
            twin.Cpus[1].AllocPages(Gfp.Kernel | Gfp.NoWarn, 9).Pfn.Should().Be(machine.Cpus[1].AllocPages(Gfp.Kernel | Gfp.NoWarn, 9).Pfn);
        }

        twin.Verify();
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"format\":\"memsim-snapshot\"")]
    [InlineData("{\"format\":\"memsim-snapshot\",\"version\":99}")]
    [InlineData("{\"format\":\"memsim-snapshot\",\"version\":1}")]
    [InlineData("{\"format\":\"memsim-snapshot\",\"version\":1,\"frames\":[[1,2]],\"nodes\":[],\"cpus\":[]}")]
    [InlineData("format mmlists")]
    [InlineData("\u0000\u0001\u0002")]
    public void A_damaged_file_is_refused_with_its_name_and_a_reason(string text)
    {
        string path = _file + ".txt";
        File.WriteAllText(path, text);
        try
        {
            Action load = () => MachineSnapshot.Load(path);
            load.Should().Throw<InputFileException>().Which.Path.Should().Be(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_snapshot_whose_lists_overlap_is_refused()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        MachineSnapshot snapshot = machine.Snapshot();
        ZoneState zone = snapshot.Allocator.Zones[^1];
        long[] blocks = zone.FreeLists[10][(int)MigrateType.Movable];
        zone.FreeLists[0][(int)MigrateType.Movable] = [blocks[0] + 5];
        snapshot.Save(_file);

        Action load = () => MachineSnapshot.Load(_file);
        load.Should().Throw<InputFileException>();
    }

    private static Machine Busy(out List<(Page Page, int Order)> live)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("256M", 2));
        live = [];
        Random random = new(7);
        for (int i = 0; i < 2000; i++)
        {
            int order = random.Next(5);
            Gfp gfp = random.Next(2) == 0 ? Gfp.Kernel : Gfp.HighUserMovable;
            live.Add((machine.Cpus[i & 1].AllocPages(gfp, order), order));
            if (live.Count > 200)
            {
                int victim = random.Next(live.Count);
                machine.Cpus[i >> 1 & 1].FreePages(live[victim].Page, live[victim].Order);
                live.RemoveAt(victim);
            }
        }

        return machine;
    }

    private static void SameFuture(Machine machine, Machine twin, List<(Page Page, int Order)> live)
    {
        Random random = new(11);
        for (int i = 0; i < 3000; i++)
        {
            int order = random.Next(6);
            Page mine = machine.Cpus[i & 1].AllocPages(Gfp.Kernel | Gfp.NoWarn, order);
            Page theirs = twin.Cpus[i & 1].AllocPages(Gfp.Kernel | Gfp.NoWarn, order);
            theirs.IsNull.Should().Be(mine.IsNull);
            if (!mine.IsNull)
            {
                theirs.Pfn.Should().Be(mine.Pfn);
                live.Add((mine, order));
            }

            int victim = random.Next(live.Count);
            machine.Cpus[0].FreePages(live[victim].Page, live[victim].Order);
            twin.Cpus[0].FreePages(twin.GetPage(live[victim].Page.Pfn), live[victim].Order);
            live.RemoveAt(victim);
        }

        machine.Verify();
        twin.Verify();
    }
}
