using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

public sealed class MemoryAccessTests
{
    public static TheoryData<Architecture, bool> Architectures => MmuMachines.All;

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Values_lie_little_endian_at_any_alignment_across_pages_that_are_not_neighbours(Architecture architecture, bool fiveLevels)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapScattered(machine, 3);
        for (long offset = 4096 - 16; offset <= 4096; offset++)
        {
            cpu.Write(window + offset, 0x1122_3344_5566_7788L);
            cpu.Read<long>(window + offset).Should().Be(0x1122_3344_5566_7788L);
            cpu.Read<byte>(window + offset).Should().Be(0x88);
            cpu.Read<ushort>(window + offset + 6).Should().Be(0x1122);
            cpu.Write(window + offset, new Point(1.5, -2));
            cpu.Read<Point>(window + offset).Should().Be(new Point(1.5, -2));
        }
    }

    [Fact]
    public void A_store_across_a_page_that_faults_writes_nothing()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapScattered(machine, 1);
        cpu.Invoking(c => c.Write(window + 4092, -1L)).Should().Throw<PageFaultException>().Which.Fault.Address.Should().Be(window + 4096);
        cpu.Read<int>(window + 4092).Should().Be(0);
    }

    [Fact]
    public void Copies_fills_and_comparisons_agree_with_an_array()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        const int bytes = 8 * 4096;
        VirtualAddress window = MapScattered(machine, 8);
        byte[] model = new byte[bytes];
        byte[] read = new byte[bytes];
        Random random = new(3);
        for (int i = 0; i < 300; i++)
        {
            int from = random.Next(bytes);
            int to = random.Next(bytes);
            int length = random.Next(bytes - Math.Max(from, to));
            switch (random.Next(4))
            {
                case 0:
                    byte[] noise = new byte[length];
                    random.NextBytes(noise);
                    noise.CopyTo(model, to);
                    cpu.Write(window + to, noise);
                    break;
                case 1:
                    model.AsSpan(from, length).CopyTo(model.AsSpan(to));
                    cpu.Memory.Copy(window + to, window + from, length);
                    break;
                case 2:
                    model.AsSpan(to, length).Fill((byte)i);
                    cpu.Memory.Fill(window + to, length, (byte)i);
                    break;
                default:
                    Math.Sign(cpu.Memory.Compare(window + from, window + to, length)).Should().Be(Math.Sign(model.AsSpan(from, length).SequenceCompareTo(model.AsSpan(to, length))));
                    break;
            }

            cpu.Read(window, read);
            read.AsSpan().SequenceEqual(model).Should().BeTrue("after operation {0}", i);
        }
    }

    [Fact]
    public void Spans_of_structs_and_large_copies_translate_once_a_page()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapScattered(machine, 4);
        int[] values = [.. Enumerable.Range(0, 4096)];
        cpu.Write<int>(window, values);
        int[] back = new int[4096];
        cpu.Read<int>(window, back);
        back.Should().Equal(values);
        cpu.Tlb.Statistics.DataAccesses.Should().Be(8);
    }

    [Fact]
    public void A_disposed_machine_has_no_memory_to_read()
    {
        Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress address = cpu.AllocPage(Gfp.Kernel).Address;
        cpu.Write(address, 5L);
        machine.Dispose();

        Action[] accesses = [() => cpu.Read<long>(address), () => cpu.Write(address, 1L), () => cpu.Memory.Copy(address, address + 64, 8), () => cpu.Memory.Fill(address, 8, 1), () => cpu.Translate(address), () => cpu.Mmu.Explain(address)];
        foreach (Action access in accesses)
        {
            access.Should().Throw<ObjectDisposedException>();
        }
    }

    [Fact]
    public void Accesses_allocate_nothing()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MapScattered(machine, 200);
        byte[] buffer = new byte[10000];
        void Work()
        {
            for (int i = 0; i < 200; i++)
            {
                cpu.Write(window + (i * 4096L), i);
                _ = cpu.Read<int>(window + (i * 4096L));
                cpu.Read(window + 100, buffer);
                _ = cpu.Translate(window + (i * 4096L), MemoryAccess.Write);
                machine.Mmu.FlushPage(cpu, machine.Mmu.Kernel, window);
            }
        }

        ManagedBytes.TakenBy(Work).Should().Be(0);
    }

    [Fact]
    public void An_isa_device_reaches_16_MiB_and_needs_a_bounce_buffer_beyond()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        DmaDevice floppy = machine.Hotplug.AddDevice("floppy", addressBits: 24);
        Page low = cpu.AllocPage(Gfp.Kernel | Gfp.Dma);
        Page high = cpu.AllocPage(Gfp.Kernel);
        byte[] data = [1, 2, 3, 4];
        floppy.Write(low.PhysicalAddress + 10, data);
        cpu.Read<int>(low.Address + 10).Should().Be(0x04030201);
        floppy.CanReach(new PhysicalAddress(0xff_fffe), 2).Should().BeTrue();
        floppy.CanReach(new PhysicalAddress(0xff_fffe), 3).Should().BeFalse();
        floppy.Invoking(f => f.Write(high.PhysicalAddress, data)).Should().Throw<KernelBugException>();
        floppy.WriteBounced(high.PhysicalAddress, data, low.PhysicalAddress, 4096).Should().BeTrue();
        cpu.Read<int>(high.Address).Should().Be(0x04030201);
        byte[] back = new byte[4];
        floppy.ReadBounced(high.PhysicalAddress, back, low.PhysicalAddress, 4096).Should().BeTrue();
        back.Should().Equal(data);
        floppy.BouncedBytes.Should().Be(8);
        DmaDevice wild = machine.Hotplug.AddDevice("wild");
        wild.Invoking(w => w.Write(new PhysicalAddress(ulong.MaxValue - 1), data)).Should().Throw<KernelBugException>();
        wild.Invoking(w => w.Read(new PhysicalAddress(0x1_0000_0000), back)).Should().Throw<KernelBugException>();
        wild.Invoking(w => w.Read(new PhysicalAddress(0xa_0000), back)).Should().Throw<KernelBugException>();
        floppy.Invoking(f => f.WriteBounced(high.PhysicalAddress, new byte[5000], low.PhysicalAddress, 4096)).Should().Throw<KernelBugException>();
    }

    private static VirtualAddress MapScattered(Machine machine, int pages)
    {
        Cpu cpu = machine.Cpus[0];
        Page[] all = [.. Enumerable.Range(0, 2 * pages).Select(_ => cpu.AllocPage(Gfp.Kernel | Gfp.Zero))];
        Page[] scattered = [.. Enumerable.Range(0, pages).Select(i => all[(2 * pages) - 1 - (2 * i)])];
        machine.Mmu.Kernel.Map(cpu, MmuMachines.Window(machine), scattered, PageProtection.Kernel).Should().BeTrue();
        return MmuMachines.Window(machine);
    }

    private readonly record struct Point(double X, double Y);
}
