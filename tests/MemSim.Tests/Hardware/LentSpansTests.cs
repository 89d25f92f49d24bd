using System.Runtime.CompilerServices;
using FluentAssertions;
using MemSim.Hardware;
using Xunit;

namespace MemSim.Tests.Hardware;

/// <summary>Spans of simulated RAM that outlive their machine.</summary>
public sealed class LentSpansTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_span_of_a_machine_that_was_collected_still_is_its_memory(bool inPieces)
    {
        Span<byte> span = Lend(inPieces, out WeakReference machine);
        Collect();
        machine.IsAlive.Should().BeFalse("nothing but the span is left");
        span[0].Should().Be(0x5a);
        span.Fill(1);
        span[^1].Should().Be(1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_span_of_a_disposed_machine_reads_zeroes(bool inPieces)
    {
        Span<byte> span = LendAndDispose(inPieces);
        Collect();
        span.ContainsAnyExcept((byte)0).Should().BeFalse();
        span.Fill(1);
        span[^1].Should().Be(1);
    }

    [Fact]
    public void A_per_cpu_variable_outlives_its_machine_as_memory()
    {
        ref long copy = ref LendVariable();
        Collect();
        copy.Should().Be(42);
        copy++;
        copy.Should().Be(43);
    }

    [Fact]
    public void A_buffer_of_a_pool_keeps_its_machine()
    {
        Memory<byte> buffer = Rent(out WeakReference machine);
        Collect();
        machine.IsAlive.Should().BeTrue("the buffer is an object that knows its machine");
        buffer.Span[0].Should().Be(7);
    }

    [Fact]
    public void Machines_that_lent_nothing_give_their_address_space_back()
    {
        long before = AddressSpaceBytes();
        for (int i = 0; i < 8; i++)
        {
            BootAndForget();
        }

        Collect();
        (AddressSpaceBytes() - before).Should().BeLessThan(8L << 30, "eight machines of 4 GiB came and went");
    }

    private static MachineSpec Spec(bool inPieces) => MachineSpec.X86_64("128M") with { HostMemory = inPieces ? HostMemory.Plain : HostMemoryChoice.OfThisHost };

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Span<byte> Lend(bool inPieces, out WeakReference weak)
    {
        Machine machine = Machine.Boot(Spec(inPieces));
        weak = new WeakReference(machine);
        Cpu cpu = machine.Cpus[0];
        Span<byte> span = cpu.Slab.Span(cpu.Kmalloc(256, Gfp.Kernel), 256);
        span.Fill(0x5a);
        return span;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Span<byte> LendAndDispose(bool inPieces)
    {
        using Machine machine = Machine.Boot(Spec(inPieces));
        Cpu cpu = machine.Cpus[0];
        Span<byte> span = cpu.Slab.Span(cpu.Kmalloc(256, Gfp.Kernel), 256);
        span.Fill(0x5a);
        return span;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ref long LendVariable()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        PerCpuVar<long> variable = machine.Cpus[0].PerCpu.AllocPercpu<long>();
        ref long copy = ref variable[0];
        copy = 42;
        return ref copy;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Memory<byte> Rent(out WeakReference weak)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        weak = new WeakReference(machine);
        Memory<byte> buffer = new SlabMemoryPool(machine.Cpus[0]).Rent(64).Memory;
        buffer.Span[0] = 7;
        return buffer;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void BootAndForget() => Machine.Boot(MachineSpec.X86_64("4G"));

    private static void Collect()
    {
        for (int i = 0; i < 8; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }

    private static long AddressSpaceBytes() => System.Diagnostics.Process.GetCurrentProcess().VirtualMemorySize64;
}
