using FluentAssertions;
using MemSim.Boot;
using Xunit;

namespace MemSim.Tests.KernelMemory;

public class KernelAddressSpaceTests
{
    [Theory]
    [InlineData(Architecture.X86_64, "FIX_APIC_BASE", 0xffff_ffff_ff5f_d000)]
    [InlineData(Architecture.X86_64, "FIX_IO_APIC_BASE", 0xffff_ffff_ff5f_c000)]
    [InlineData(Architecture.X86_64, "VSYSCALL_PAGE", 0xffff_ffff_ff60_0000)]
    [InlineData(Architecture.X86_32, "FIX_APIC_BASE", 0xffff_c000)]
    [InlineData(Architecture.X86_32Pae, "FIX_IO_APIC_BASE", 0xffff_b000)]
    [InlineData(Architecture.Arm64, "FIX_FDT", 0xffff_fbff_fdff_f000)]
    public void Fixed_mappings_lie_where_the_kernel_compiles_them_to(Architecture architecture, string name, ulong address)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "512M"));

        machine.Memory.Fixmap.Find(name).Address.Value.Should().Be(address);
        machine.Memory.Fixmap.AddressOf(machine.Memory.Fixmap.IndexOf(new VirtualAddress(address + 77))).Value.Should().Be(address);
        machine.Memory.Fixmap.IndexOf(new VirtualAddress(0x1000)).Should().Be(-1);
        machine.AddressSpace.Fixmap.Contains(new VirtualAddress(address)).Should().BeTrue();
    }

    [Fact]
    public void Registers_are_mapped_and_unmapped_at_a_fixed_address()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32("256M"));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);

        VirtualAddress apic = machine.Memory.Fixmap.Set(cpu, "FIX_APIC_BASE", page.PhysicalAddress);

        cpu.Write(apic + 0x20, 0xfee0);
        cpu.Read<int>(page.Address + 0x20).Should().Be(0xfee0);
        cpu.Mmu.Explain(apic).ToString().Should().Contain("pte");
        machine.Mmu.Kernel.Dump(machine.AddressSpace.DumpMarkers).Should().Contain("---[ Fixmap Area ]---").And.Contain("PCD");
        machine.Memory.Fixmap.Clear(cpu, "FIX_APIC_BASE");
        cpu.Invoking(c => c.Read<int>(apic)).Should().Throw<PageFaultException>();
        machine.Memory.Fixmap.Clear(cpu, "FIX_APIC_BASE");
        machine.Memory.Fixmap.Invoking(f => f.Set(cpu, "FIX_APIC_BASE", new PhysicalAddress(0x123))).Should().Throw<ArgumentException>();
        machine.Memory.Fixmap.Invoking(f => f.Set(cpu, "FIX_APIC_BASE", new PhysicalAddress(1UL << 32))).Should().Throw<ArgumentException>();
        machine.Memory.Fixmap.Invoking(f => f.Set(cpu, "FIX_KMAP", page.PhysicalAddress)).Should().Throw<ArgumentException>();
        machine.Memory.Fixmap.Invoking(f => f.Set(cpu, "FIX_APIC_BASE", page.PhysicalAddress, page: 1)).Should().Throw<ArgumentException>();
        machine.Memory.Fixmap.Invoking(f => f.Find("FIX_NOTHING")).Should().Throw<ArgumentException>();
        machine.Verify();
    }

    [Theory]
    [InlineData(Architecture.X86_64, "User Space|Kernel Space|Low Kernel Mapping|vmalloc() Area|Vmemmap|CPU entry Area|High Kernel Mapping|Modules|End Modules|Fixmap Area")]
    [InlineData(Architecture.X86_32, "User Space|Kernel Mapping|vmalloc() Area|vmalloc() End|Persistent kmap() Area|LDT remap|CPU entry area|Fixmap Area")]
    [InlineData(Architecture.Arm64, "Linear Mapping start|Linear Mapping end|Modules start|Modules end|vmalloc() area|vmalloc() end|Fixmap start|Fixmap end|PCI I/O start|PCI I/O end|vmemmap start|vmemmap end")]
    public void The_dump_has_the_headings_of_the_real_one(Architecture architecture, string names)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "1G"));

        // Where one region ends and the next begins, either heading may come first.
        machine.AddressSpace.DumpMarkers.Select(m => m.Name).Should().BeEquivalentTo(names.Split('|'));
        machine.AddressSpace.DumpMarkers.Should().BeInAscendingOrder(m => m.Start.Value);
        machine.Mmu.Kernel.Dump(machine.AddressSpace.DumpMarkers).Should().Contain("---[ " + names.Split('|')[1] + " ]---");
    }

    [Fact]
    public void The_layout_of_a_32_bit_kernel_reads_as_it_was_printed_once()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32("1G"));

        machine.AddressSpace.Layout.Should().Contain("    pkmap   : 0xfec00000 - 0xff000000   (4096 kB)\n")
            .And.Contain("    vmalloc : 0xf73fe000 - 0xfebfe000   ( 120 MB)\n").And.Contain("    lowmem  : 0xc0000000 - 0xf6bfe000   ( 875 MB)\n");
    }

    [Fact]
    public void The_phases_of_the_boot_end_with_the_direct_map_step_by_step()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G").WithMmu(MmuOptions.Default with { GigabytePages = false }));

        IReadOnlyList<BootPhase> phases = machine.Mmu.BootPhases;

        phases.Select(p => p.Name).Should().Equal("identity mapping", "kernel image mapping", "identity mapping removed", "init_mem_mapping");
        phases[0].Mappings.Should().ContainSingle().Which.Start.Value.Should().Be(0);
        phases[1].Mappings.Should().HaveCount(2);
        phases[2].Mappings.Should().ContainSingle().Which.Start.Value.Should().Be(0xffff_ffff_8000_0000);
        StepsOf(machine).Should().StartWith(["[mem 0x00000000-0x000fffff] page 4k", "[mem 0x3fc00000-0x3fdfffff] page 2M"]);
        phases[3].Mappings.Skip(1).Sum(m => (long)m.Bytes).Should().Be((1L << 30) - (128 << 10) - (384 << 10) + (384 << 10));
        foreach (BootMapping mapping in phases[3].Mappings.Skip(1))
        {
            machine.Mmu.Kernel.Lookup(mapping.Start).IsPresent.Should().BeTrue("{0} is part of the direct map", mapping);
        }

        phases[3].ToString().Should().Contain("pages of 2M");
    }

    [Theory]
    [InlineData(Architecture.X86_32)]
    [InlineData(Architecture.X86_32Pae)]
    [InlineData(Architecture.Arm64)]
    public void Every_architecture_removes_its_identity_mapping(Architecture architecture)
    {
        using Machine machine = Machine.Boot(MachineSpec.Preset(architecture, "1G"));

        machine.Mmu.BootPhases.Should().HaveCount(4);
        machine.Mmu.BootPhases[0].Mappings.Single().Should().Match<BootMapping>(m => m.Start.Value == m.Physical.Value);
        machine.Mmu.BootPhases[2].Mappings.Should().NotContain(machine.Mmu.BootPhases[0].Mappings.Single());
        machine.Mmu.BootPhases[3].Mappings.Should().HaveCountGreaterThan(1);
    }

    private static IEnumerable<string> StepsOf(Machine machine) => BootPhases.PlanOf(machine).Steps.Select(s => s.ToString());
}
