using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

/// <summary>What the simulator leaves out when an access is tried again after its fault must not show: costs and statistics are those of an access that looks everywhere.</summary>
public sealed class FaultRetryTests
{
    public static TheoryData<Architecture, string> Tlbs => new()
    {
        { Architecture.X86_64, "Skylake" },
        { Architecture.X86_64, "Zen2" },
        { Architecture.X86_64, "CortexA57" },
        { Architecture.X86_64, "None" },
        { Architecture.X86_64, "without walk caches" },
        { Architecture.X86_32, "Skylake" },
        { Architecture.X86_32Pae, "Skylake" },
        { Architecture.Arm64, "CortexA57" },
    };

    [Theory]
    [MemberData(nameof(Tlbs))]
    public void An_access_tried_again_costs_and_counts_what_it_does_when_something_else_faulted_in_between(Architecture architecture, string tlb)
    {
        (TlbStatistics Statistics, long Cycles) direct = Run(architecture, tlb, interrupted: false);
        (TlbStatistics Statistics, long Cycles) interrupted = Run(architecture, tlb, interrupted: true);
        direct.Should().Be(interrupted);
        direct.Statistics.Walks.Should().Be(3 * 24);
        direct.Statistics.L1DataMisses.Should().Be(3 * 24);
    }

    [Fact]
    public void A_translation_that_the_handler_itself_used_is_found()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MmuMachines.Window(machine);
        Page huge = cpu.AllocPages(Gfp.Kernel, 9);
        machine.Mmu.FaultHandler = new Handler(fault =>
        {
            machine.Mmu.Kernel.Map(cpu, window, huge.Pfn, 512, PageProtection.Kernel, MappingSize.Page2M).Should().BeTrue();
            _ = cpu.Read<byte>(window + 4096);
        });
        _ = cpu.Read<byte>(window + 8192);
        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.DataAccesses == 3 && s.L1DataMisses == 2 && s.Walks == 2, "the entry of the huge page covers the address that is tried again");
    }

    [Fact]
    public void A_fault_that_is_not_repaired_is_walked_for_again()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MmuMachines.Window(machine);
        for (int i = 0; i < 3; i++)
        {
            cpu.Mmu.TryTranslate(window, MemoryAccess.Read, out _, out PageFault fault).Should().BeFalse();
            fault.Reason.Should().Be(PageFaultReason.NotPresent);
        }

        cpu.Tlb.Statistics.Should().Match<TlbStatistics>(s => s.L1DataMisses == 3 && s.Walks == 3);
    }

    [Fact]
    public void A_table_that_came_back_for_another_region_is_not_taken_for_the_old_one()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        PageTables tables = machine.Mmu.CreateTables(cpu)!;
        Page page = cpu.AllocPage(Gfp.Kernel);
        const ulong old = 0x0000_1000_0020_0000;
        const ulong other = old + (1UL << 39);
        ulong first = tables.EnsureSlot(cpu, old);
        tables.FindSlot(old + 4096).Should().Be(first + 8);
        tables.FreeTables(cpu, old, old + (1UL << 21), 0, 0);
        tables.Look(old, out _, out ulong next).Should().Be(TableLook.Hole);
        next.Should().BeGreaterThan(old);

        // The same frames in the same places: only that a table was freed tells the difference.
        tables.Map(cpu, new VirtualAddress(other), [page], PageProtection.User).Should().BeTrue();
        tables.FindSlot(old).Should().Be(0);
        tables.FindSlot(other).Should().Be(first);
        tables.EnsureSlot(cpu, old).Should().NotBe(first);
    }

    private static (TlbStatistics Statistics, long Cycles) Run(Architecture architecture, string tlb, bool interrupted)
    {
        TlbGeometry geometry = tlb switch
        {
            "Skylake" => TlbGeometry.Skylake,
            "Zen2" => TlbGeometry.Zen2,
            "CortexA57" => TlbGeometry.CortexA57,
            "None" => TlbGeometry.None,
            _ => new TlbGeometry(tlb) { L1Data = TlbGeometry.Skylake.L1Data, L2 = TlbGeometry.Skylake.L2 },
        };
        using Machine machine = MmuMachines.Boot(architecture, options: MmuOptions.Default with { Tlb = geometry });
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MmuMachines.Window(machine);
        VirtualAddress elsewhere = window + (300 << 12);
        Page[] pages = new Page[24];
        pages.AsSpan().Fill(cpu.AllocPage(Gfp.Kernel));
        machine.Mmu.Kernel.Map(cpu, window + (400 << 12), pages.AsSpan(0, 1), PageProtection.Kernel).Should().BeTrue();
        cpu.Mmu.TryTranslate(elsewhere, MemoryAccess.Write, out _, out _).Should().BeFalse();
        TlbStatistics before = cpu.Tlb.Statistics;
        long cycles = cpu.Cycles;
        for (int i = 0; i < pages.Length; i++)
        {
            VirtualAddress at = window + (i << 12);
            cpu.Mmu.TryTranslate(at, MemoryAccess.Write, out _, out _).Should().BeFalse();
            machine.Mmu.Kernel.Map(cpu, at, pages.AsSpan(0, 1), PageProtection.Kernel).Should().BeTrue();
            if (interrupted)
            {
                cpu.Mmu.TryTranslate(elsewhere, MemoryAccess.Write, out _, out _).Should().BeFalse();
            }

            cpu.Mmu.TryTranslate(at, MemoryAccess.Write, out PhysicalAddress physical, out _).Should().BeTrue();
            physical.Should().Be(pages[0].PhysicalAddress);
            if (!interrupted)
            {
                cpu.Mmu.TryTranslate(elsewhere, MemoryAccess.Write, out _, out _).Should().BeFalse();
            }
        }

        TlbStatistics after = cpu.Tlb.Statistics;
        return (after with
        {
            DataAccesses = after.DataAccesses - before.DataAccesses,
            L1DataMisses = after.L1DataMisses - before.L1DataMisses,
            Walks = after.Walks - before.Walks,
        }, cpu.Cycles - cycles);
    }

    private sealed class Handler(Action<PageFault> repair) : IPageFaultHandler
    {
        public bool Handle(Cpu cpu, in PageFault fault)
        {
            repair(fault);
            return true;
        }
    }
}
