using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace MemSim.Tests.KernelMemory;

public class PerCpuTests
{
    [Theory]
    [InlineData(Architecture.X86_64, 1, 217088, 8192, 28672, 2097152)]
    [InlineData(Architecture.X86_64, 2, 217088, 8192, 28672, 1048576)]
    [InlineData(Architecture.X86_64, 4, 217088, 8192, 28672, 524288)]
    [InlineData(Architecture.Arm64, 2, 87208, 8192, 31576, 126976)]
    [InlineData(Architecture.X86_32, 2, 103316, 0, 31852, 135168)]
    [InlineData(Architecture.X86_32Pae, 2, 104276, 0, 30892, 135168)]
    public void The_first_chunk_is_the_one_dmesg_tells_of(Architecture architecture, int cpus, int stat, int reserved, int dynamic, int unit)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "1G", cpus));
        PerCpuAllocator percpu = machine.PerCpu;
        (percpu.StaticBytes, percpu.ReservedBytes, percpu.DynamicBytes, percpu.UnitBytes).Should().Be((stat, reserved, dynamic, unit));
        machine.BootLog.Should().Contain(line => line.Contains($"s{stat} r{reserved} d{dynamic} u{unit}"));
        percpu.IsEmbedded.Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void Every_cpu_has_its_own_copy_and_no_two_share_a_cache_line()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 4));
        PerCpuVar<int> counter = machine.PerCpu.Define("counter", 7);
        for (int cpu = 0; cpu < 4; cpu++)
        {
            counter[cpu].Should().Be(7);
            counter[cpu] += cpu;
        }

        Enumerable.Range(0, 4).Select(cpu => counter[cpu]).Should().Equal(7, 8, 9, 10);
        Enumerable.Range(0, 4).Select(cpu => machine.PerCpu.AddressOf(counter.Pointer, cpu).Value / 64).Should().OnlyHaveUniqueItems();
        machine.Memory.ToPhysical(machine.PerCpu.AddressOf(counter.Pointer, 3)).Should().Be(machine.PerCpu.PhysicalAddressOf(counter.Pointer, 3));
        machine.PerCpu.Get<int>("counter").Should().Be(counter);
        machine.PerCpu.Invoking(p => p.Define<long>("counter")).Should().Throw<ArgumentException>();
        machine.PerCpu.Invoking(p => p.Define<long>(" ")).Should().Throw<ArgumentException>();
        machine.Verify();
    }

    [Fact]
    public void Static_area_and_module_area_run_full()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        PerCpuAllocator percpu = machine.PerCpu;
        for (int i = 0; i < 8192 / 64; i++)
        {
            PerCpuVar<CacheLine> v = percpu.DefineInModule<CacheLine>($"module{i}");
            v.Pointer.Value.Should().BeInRange(217088, 217088 + 8192 - 64);
        }

        percpu.Invoking(p => p.DefineInModule<CacheLine>("one_more")).Should().Throw<InvalidOperationException>().WithMessage("*reserved*");
        percpu.Invoking(p =>
        {
            for (int i = 0; ; i++)
            {
                p.Define<CacheLine>($"static{i}");
            }
        }).Should().Throw<InvalidOperationException>();
        percpu.VariableNames.Should().HaveCountGreaterThan(3000);
        machine.Verify();
    }

    [Fact]
    public void Preemption_is_off_between_get_and_put()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
        Cpu cpu = machine.Cpus[1];
        PerCpuVar<long> a = machine.PerCpu.Define<long>("a");
        PerCpuVar<long> b = cpu.PerCpu.AllocPercpu<long>();
        cpu.PerCpu.GetCpuVar(a)++;
        cpu.Context.InAtomic.Should().BeTrue();
        Refused(() => cpu.AllocPages(Gfp.Kernel), KernelBugKind.SleepingInAtomic);
        Refused(() => cpu.PerCpu.AllocPercpu(64, 64), KernelBugKind.SleepingInAtomic);
        cpu.PerCpu.GetCpuVar(b) = 5;
        Refused(() => cpu.PerCpu.PutCpuVar(a), KernelBugKind.IllegalFlags);
        cpu.PerCpu.PutCpuVar(b);
        cpu.PerCpu.ThisCpu(b).Should().Be(5);
        cpu.PerCpu.PutCpuVar(a);
        cpu.Context.InAtomic.Should().BeFalse();
        Refused(() => cpu.PerCpu.PutCpuVar(a), KernelBugKind.IllegalFlags);
        Refused(() => cpu.PerCpu.ThisCpu(a)++, KernelBugKind.IllegalFlags);
        cpu.PerCpu.Of(a, 1).Should().Be(1);
        cpu.PerCpu.Of(a, 0).Should().Be(0);
        Refused(() => cpu.PerCpu.GetCpuVar(default(PerCpuVar<int>)), KernelBugKind.ForeignAddress);
        cpu.PerCpu.FreePercpu(b);
        machine.Verify();
    }

    [Fact]
    public void Later_chunks_take_pages_and_give_them_back()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        machine.Memory.DrainAllPages();
        long before = FreePages(machine);
        List<PerCpuPointer> live = [];
        while (machine.PerCpu.ChunkCount < 3)
        {
            PerCpuPointer pointer = cpu.PerCpu.AllocPercpu(4096, 4096);
            pointer.IsNull.Should().BeFalse();
            live.Add(pointer);
            for (int c = 0; c < 2; c++)
            {
                machine.PerCpu.Bytes(pointer, c, 4096).ToArray().Should().OnlyContain(value => value == 0);
                machine.PerCpu.Bytes(pointer, c, 4096).Fill((byte)(1 + live.Count + c));
            }
        }

        machine.Verify();
        live.SelectMany(p => new[] { machine.PerCpu.PhysicalAddressOf(p, 0), machine.PerCpu.PhysicalAddressOf(p, 1) }).Should().OnlyHaveUniqueItems();
        live.SelectMany(p => new[] { machine.PerCpu.AddressOf(p, 0), machine.PerCpu.AddressOf(p, 1) }).Should().OnlyHaveUniqueItems();
        for (int i = 0; i < live.Count; i++)
        {
            machine.PerCpu.Bytes(live[i], 1, 4096)[17].Should().Be((byte)(3 + i));
        }

        machine.PerCpu.AllocatedPages.Should().BeGreaterThan(2 * 256);
        foreach (PerCpuPointer pointer in live)
        {
            cpu.PerCpu.FreePercpu(pointer);
        }

        machine.PerCpu.Balance(cpu);
        machine.Verify();
        machine.PerCpu.UsedBytes.Should().Be(0);
        machine.PerCpu.ChunkCount.Should().BeLessThanOrEqualTo(2);
        machine.Memory.DrainAllPages();
        FreePages(machine).Should().Be(before - machine.PerCpu.AllocatedPages);
    }

    [Fact]
    public void Atomic_requests_only_find_room_where_memory_is()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        using (cpu.HardIrq())
        {
            int got = 0;
            while (!cpu.PerCpu.AllocPercpu(4096, 4096, Gfp.Atomic).IsNull)
            {
                got++;
            }

            got.Should().Be(7, "the dynamic part of the first chunk has 7 pages");
        }

        machine.PerCpu.NeedsBalance.Should().BeTrue();
        machine.PerCpu.AllocatedPages.Should().Be(0);
        cpu.PerCpu.AllocPercpu(64, 64).IsNull.Should().BeFalse();
        machine.PerCpu.AllocatedPages.Should().Be(5, "a page for the request and four empty ones are ready now");
        cpu.PerCpu.AllocPercpu(4096, 4096, Gfp.NoWait).IsNull.Should().BeFalse();
        machine.Verify();
    }

    [Theory]
    [InlineData(0, 8)]
    [InlineData(-1, 8)]
    [InlineData(32769, 8)]
    [InlineData(64, 0)]
    [InlineData(64, 24)]
    [InlineData(64, 8192)]
    public void Illegal_sizes_and_alignments_are_refused(long size, long align)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        machine.Invoking(m => m.PerCpu.Alloc(size, align)).Should().Throw<KernelBugException>().WithMessage("*illegal size*");
        machine.Verify();
    }

    [Fact]
    public void Bad_frees_are_refused_and_change_nothing()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        PerCpuVar<int> fixedVar = machine.PerCpu.Define<int>("fixed");
        PerCpuPointer pointer = cpu.PerCpu.AllocPercpu(64, 64);
        PerCpuPointer freed = cpu.PerCpu.AllocPercpu(64, 64);
        cpu.PerCpu.FreePercpu(freed);
        Refused(() => cpu.PerCpu.FreePercpu(freed), KernelBugKind.DoubleFree);
        Refused(() => cpu.PerCpu.FreePercpu(pointer + 4), KernelBugKind.DoubleFree);
        Refused(() => cpu.PerCpu.FreePercpu(pointer + 1), KernelBugKind.DoubleFree);
        Refused(() => cpu.PerCpu.FreePercpu(fixedVar), KernelBugKind.ReservedPage);
        Refused(() => cpu.PerCpu.FreePercpu(new PerCpuPointer(1UL << 40)), KernelBugKind.ForeignAddress);
        cpu.PerCpu.FreePercpu(PerCpuPointer.Null);
        machine.PerCpu.LiveAllocations.Should().Be(1);
        machine.Verify();
        cpu.PerCpu.FreePercpu(pointer);
        machine.Verify();
    }

    [Fact]
    public void Without_contents_the_allocator_works_and_data_cannot_be_read()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithoutContents());
        PerCpuVar<long> variable = machine.Cpus[0].PerCpu.AllocPercpu<long>();
        variable.IsNull.Should().BeFalse();
        variable.Invoking(v => v[0]).Should().Throw<InvalidOperationException>();
        machine.Cpus[0].PerCpu.FreePercpu(variable);
        machine.Verify();
    }

    [Fact]
    public void A_machine_restored_from_a_snapshot_has_per_cpu_memory_too()
    {
        using Machine original = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
        PerCpuVar<int> there = original.PerCpu.Define("before", 8);
        there[1] = 9;
        using Machine machine = original.Snapshot().Boot();
        machine.PerCpu.IsEmbedded.Should().BeTrue();
        machine.PerCpu.Get<int>("before")[1].Should().Be(9);
        machine.PerCpu.Get<int>("before")[0].Should().Be(8);
        PerCpuVar<int> a = machine.PerCpu.Define("a", 3);
        PerCpuVar<CacheLine> b = machine.PerCpu.AllocPercpu<CacheLine>();
        a[1].Should().Be(3);
        b[1].First = 9;
        b[0].First.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Pairs_leave_no_managed_garbage()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        cpu.PerCpu.FreePercpu(cpu.PerCpu.AllocPercpu(64, 64));
        ManagedBytes.TakenBy(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                cpu.PerCpu.FreePercpu(cpu.PerCpu.AllocPercpu(64, 64));
            }
        }).Should().Be(0);
    }

    [Fact]
    public void Without_memory_the_null_pointer_comes_back_and_nothing_is_lost()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        List<Page> hog = [];
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            while (cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order) is { IsNull: false } page)
            {
                hog.Add(page);
            }
        }

        int got = 0;
        while (!cpu.PerCpu.AllocPercpu(4096, 4096, Gfp.Kernel | Gfp.NoWarn).IsNull)
        {
            got++;
        }

        got.Should().BeLessThan(200);
        machine.Verify();
        hog.ForEach(page => cpu.FreePages(page, page.Order));
        cpu.PerCpu.AllocPercpu(4096, 4096).IsNull.Should().BeFalse();
        machine.Verify();
    }

    [Fact]
    public void Threads_driving_cpus_may_allocate_at_the_same_time()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithParallelCpus());
        void Drive(int id)
        {
            PerCpuPointer[] live = new PerCpuPointer[600];
            for (int i = 0; i < 6000; i++)
            {
                int slot = i * 7 % live.Length;
                machine.Cpus[id].PerCpu.FreePercpu(live[slot]);
                live[slot] = machine.Cpus[id].PerCpu.AllocPercpu(1 + (i * 31 % 2000), 8);
            }

            Array.ForEach(live, machine.Cpus[id].PerCpu.FreePercpu);
        }

        Thread[] threads = [new(() => Drive(0)), new(() => Drive(1))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        machine.PerCpu.LiveAllocations.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Agrees_with_a_naive_model()
    {
        var op = Gen.Choose(0, 9).Zip(Gen.Choose(0, 1 << 20), (kind, value) => (Kind: kind, Value: value));
        Prop.ForAll(Arb.From(op.ArrayOf(150)), AgreesWithModel).Check(Config.QuickThrowOnFailure.WithMaxTest(60).WithReplay(2026, 1));
    }

    private static bool AgreesWithModel((int Kind, int Value)[] operations)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M", cpus: 2));
        List<(PerCpuPointer Pointer, int Size, byte Mark)> live = [];
        byte mark = 0;
        foreach ((int kind, int value) in operations)
        {
            Cpu cpu = machine.Cpus[value & 1];
            if (kind < 6 || live.Count == 0)
            {
                int size = 1 + (value >> 3) % (kind == 0 ? 32768 : kind < 3 ? 4096 : 200);
                long align = 1L << (value % 13);
                PerCpuPointer pointer = cpu.PerCpu.AllocPercpu(size, align, (value & 4) != 0 ? Gfp.Kernel : Gfp.NoWait);
                if (pointer.IsNull)
                {
                    continue;
                }

                if (pointer.Value % (ulong)align != 0)
                {
                    throw new InvalidOperationException($"{pointer} is not aligned to {align}");
                }

                mark++;
                Fill(machine, pointer, size, mark, check: false);
                live.Add((pointer, size, mark));
            }
            else
            {
                int index = value % live.Count;
                Fill(machine, live[index].Pointer, live[index].Size, live[index].Mark, check: true);
                cpu.PerCpu.FreePercpu(live[index].Pointer);
                live.RemoveAt(index);
            }
        }

        foreach ((PerCpuPointer pointer, int size, byte expected) in live)
        {
            Fill(machine, pointer, size, expected, check: true);
        }

        machine.Verify();
        machine.PerCpu.LiveAllocations.Should().Be(live.Count);
        machine.PerCpu.UsedBytes.Should().Be(live.Sum(a => (a.Size + 3) & ~3));
        return true;
    }

    /// <summary>Writes, or checks, every byte of every copy: overlapping areas would disagree.</summary>
    private static void Fill(Machine machine, PerCpuPointer pointer, int size, byte mark, bool check)
    {
        for (int cpu = 0; cpu < 2; cpu++)
        {
            for (int at = 0; at < size;)
            {
                Span<byte> bytes = machine.PerCpu.Bytes(pointer + at, cpu, size - at);
                byte value = (byte)(mark ^ cpu);
                if (check)
                {
                    bytes.ContainsAnyExcept(value).Should().BeFalse();
                }
                else
                {
                    bytes.ContainsAnyExcept((byte)0).Should().BeFalse("every copy is zeroed");
                    bytes.Fill(value);
                }

                at += bytes.Length;
            }
        }
    }

    private static long FreePages(Machine machine) => machine.Zones.Sum(zone => zone.TrueFreePages);

    private static void Refused(Action action, KernelBugKind kind) => action.Should().Throw<KernelBugException>().Which.Kind.Should().Be(kind);

    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Sequential, Size = 64)]
    private struct CacheLine
    {
        public long First;
    }

    [Fact]
    public void Handles_of_variables_are_equal_when_they_name_the_same_one()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        PerCpuVar<long> first = machine.PerCpu.Define<long>("first");
        PerCpuVar<long> second = machine.PerCpu.Define<long>("second");

        (first == machine.PerCpu.Get<long>("first")).Should().BeTrue();
        (first != second).Should().BeTrue();
    }
}
