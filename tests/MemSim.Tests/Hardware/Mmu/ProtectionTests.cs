using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

public sealed class ProtectionTests
{
    private static readonly VirtualAddress User = new(0x40_0000);

    public static TheoryData<Architecture, bool> Architectures => MmuMachines.All;

    [Theory]
    // P=1 W=2 U=4 RSVD=8 I=16
    [InlineData(PageProtection.UserData, MemoryAccess.Read, true, null)]
    [InlineData(PageProtection.UserData, MemoryAccess.Write, true, null)]
    [InlineData(PageProtection.UserData, MemoryAccess.Execute, true, 0x15u)]
    [InlineData(PageProtection.UserReadOnly, MemoryAccess.Write, true, 0x7u)]
    [InlineData(PageProtection.UserCode, MemoryAccess.Execute, true, null)]
    [InlineData(PageProtection.Write, MemoryAccess.Read, true, 0x5u)]
    [InlineData(PageProtection.Write, MemoryAccess.Write, false, null)]
    [InlineData(PageProtection.Write, MemoryAccess.Execute, false, 0x11u)]
    [InlineData(PageProtection.None, MemoryAccess.Write, false, 0x3u)]
    [InlineData(PageProtection.UserData, MemoryAccess.Read, false, 0x1u)]
    [InlineData(PageProtection.UserData, MemoryAccess.Write, false, 0x3u)]
    [InlineData(PageProtection.UserCode, MemoryAccess.Execute, false, 0x11u)]
    public void X86_64_answers_with_its_error_code(PageProtection protection, MemoryAccess access, bool user, uint? code)
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Attempt(machine, protection, access, user, out PageFault fault).Should().Be(code is null);
        fault.Code.Should().Be(code ?? 0);
    }

    [Theory]
    [InlineData(PageProtection.UserData, MemoryAccess.Execute, true, 0x20, 0x0f, false)]
    [InlineData(PageProtection.UserReadOnly, MemoryAccess.Write, true, 0x24, 0x0f, true)]
    [InlineData(PageProtection.Write, MemoryAccess.Read, true, 0x24, 0x0f, false)]
    [InlineData(PageProtection.None, MemoryAccess.Write, false, 0x25, 0x0f, true)]
    [InlineData(PageProtection.UserData, MemoryAccess.Read, false, 0x25, 0x0f, false)]
    [InlineData(PageProtection.UserCode, MemoryAccess.Execute, false, 0x21, 0x0f, false)]
    public void Arm64_answers_with_its_syndrome(PageProtection protection, MemoryAccess access, bool user, int exceptionClass, int status, bool write)
    {
        using Machine machine = MmuMachines.Boot(Architecture.Arm64);
        Attempt(machine, protection, access, user, out PageFault fault).Should().BeFalse();
        fault.Should().Match<PageFault>(f => f.ExceptionClass == exceptionClass && f.FaultStatus == status && f.IsWrite == write && (f.Code & (1 << 25)) != 0);
    }

    [Fact]
    public void Control_bits_turn_protections_off()
    {
        using Machine lax = MmuMachines.Boot(Architecture.X86_64, options: MmuOptions.Default with { Smep = false, Smap = false, WriteProtect = false });
        Attempt(lax, PageProtection.UserCode, MemoryAccess.Execute, false, out _).Should().BeTrue();
        Attempt(lax, PageProtection.UserReadOnly, MemoryAccess.Write, false, out _).Should().BeTrue();
        Attempt(lax, PageProtection.UserReadOnly, MemoryAccess.Write, true, out _).Should().BeFalse();

        using Machine noNx = MmuMachines.Boot(Architecture.X86_64, options: MmuOptions.Default with { NoExecute = false });
        Attempt(noNx, PageProtection.UserData, MemoryAccess.Read, true, out PageFault fault).Should().BeFalse();
        fault.Should().Match<PageFault>(f => f.Reason == PageFaultReason.ReservedBits && f.Code == 0xd);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void The_kernel_touches_user_pages_only_when_it_says_so(Architecture architecture, bool fiveLevels)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels);
        Cpu cpu = machine.Cpus[0];
        PageTables tables = machine.Mmu.CreateTables(cpu)!;
        tables.Map(cpu, User, [cpu.AllocPage(Gfp.HighUser)], PageProtection.UserData);
        cpu.Mmu.LoadPageTables(tables);
        cpu.Invoking(c => c.Write(User, 1)).Should().Throw<PageFaultException>();
        using (cpu.User.UserAccess())
        {
            cpu.Write(User, 1);
            cpu.Read<int>(User).Should().Be(1);
        }

        cpu.Invoking(c => c.Read<int>(User)).Should().Throw<PageFaultException>();
    }

    [Theory]
    [InlineData(Architecture.X86_64, 0x0000_8000_0000_0000ul, PageFaultReason.NotCanonical)]
    [InlineData(Architecture.X86_64, 0xdead_0000_0000_0000ul, PageFaultReason.NotCanonical)]
    [InlineData(Architecture.X86_64, 0x10ul, PageFaultReason.NotPresent)]
    [InlineData(Architecture.X86_64, ulong.MaxValue, PageFaultReason.NotPresent)]
    [InlineData(Architecture.X86_32, 0x1_c000_0000ul, PageFaultReason.NotCanonical)]
    [InlineData(Architecture.X86_32Pae, 0xffff_ffff_c000_0000ul, PageFaultReason.NotCanonical)]
    [InlineData(Architecture.X86_32, 0x10ul, PageFaultReason.NotPresent)]
    [InlineData(Architecture.Arm64, 0x0001_0000_0000_0000ul, PageFaultReason.NotCanonical)]
    [InlineData(Architecture.Arm64, 0x10ul, PageFaultReason.NotPresent)]
    [InlineData(Architecture.Arm64, ulong.MaxValue, PageFaultReason.NotPresent)]
    public void Wild_addresses_fault(Architecture architecture, ulong address, PageFaultReason reason)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        PageFaultException exception = cpu.Invoking(c => c.Read<byte>(new VirtualAddress(address))).Should().Throw<PageFaultException>().Which;
        exception.Fault.Reason.Should().Be(reason);
        cpu.Invoking(c => c.Write(new VirtualAddress(address), (byte)1)).Should().Throw<PageFaultException>();
        cpu.Mmu.Explain(new VirtualAddress(address)).Fault!.Value.Reason.Should().Be(reason);
        cpu.Invoking(c => c.Read<long>(new VirtualAddress(ulong.MaxValue - 2))).Should().Throw<Exception>();
        cpu.Invoking(c => c.Memory.Fill(new VirtualAddress(address), long.MaxValue, 1)).Should().Throw<Exception>();
    }

    [Fact]
    public void An_entry_that_leads_outside_of_memory_is_a_machine_check_not_a_host_access()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress window = MmuMachines.Window(machine);
        PageTables kernel = machine.Mmu.Kernel;
        foreach (long pfn in (long[])[0xa0, machine.Frames.Count, 0xff_ffff_ffff])
        {
            kernel.SetEntry(cpu, window, kernel.MakeEntry(new Pfn(pfn), PageProtection.Kernel)).Should().BeTrue();
            cpu.Tlb.FlushAll();
            cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>().Which.Fault.Reason.Should().Be(PageFaultReason.NoMemory);
            cpu.Invoking(c => c.Write(window, 1)).Should().Throw<PageFaultException>();
        }

        // A table entry overwritten through the direct map.
        PhysicalAddress entry = cpu.Mmu.Explain(window).Steps[2].EntryAddress;
        cpu.Write(machine.Memory.ToVirtual(entry), 0x000f_ffff_ffff_f063ul);
        cpu.Tlb.FlushAll();
        cpu.Invoking(c => c.Read<int>(window)).Should().Throw<PageFaultException>().Which.Fault.Should().Match<PageFault>(f => f.Reason == PageFaultReason.NoMemory && f.Level == 1);
        cpu.Invoking(c => machine.Verify()).Should().Throw<Exception>();
    }

    [Fact]
    public void The_report_reads_like_an_oops()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        machine.Cpus[0].Invoking(c => c.Write(new VirtualAddress(8), 1)).Should().Throw<PageFaultException>().WithMessage(
            "BUG: kernel NULL pointer dereference, address: 0000000000000008\n#PF: supervisor write access in kernel mode\n#PF: error_code(0x0002) - not-present page\n*CR3 = *pgd + index    0*");
        machine.Cpus[0].Invoking(c => c.Write(new VirtualAddress(0xdead_0000_0000_0100), 1)).Should().Throw<PageFaultException>().WithMessage("general protection fault, probably for non-canonical address 0xdead000000000100: 0000*");
    }

    [Fact]
    public void A_handler_can_repair_a_fault_and_a_useless_one_does_not_hang()
    {
        using Machine machine = MmuMachines.Boot(Architecture.X86_64);
        Cpu cpu = machine.Cpus[0];
        Mapper handler = new();
        machine.Mmu.FaultHandler = handler;
        VirtualAddress window = MmuMachines.Window(machine);
        cpu.Write(window + 4094, 0x0102_0304);
        cpu.Read<int>(window + 4094).Should().Be(0x0102_0304);
        handler.Calls.Should().Be(2);
        handler.Useless = true;
        cpu.Invoking(c => c.Read<int>(window + 8192)).Should().Throw<PageFaultException>();
    }

    private static bool Attempt(Machine machine, PageProtection protection, MemoryAccess access, bool user, out PageFault fault)
    {
        Cpu cpu = machine.Cpus[0];
        PageTables tables = machine.Mmu.CreateTables(cpu)!;
        // The tables on the way are made for user code, so that the leaf decides.
        tables.Map(cpu, User + 4096, [cpu.AllocPage(Gfp.Kernel)], PageProtection.UserData | PageProtection.Execute);
        tables.Map(cpu, User, [cpu.AllocPage(Gfp.Kernel)], protection);
        cpu.Mmu.LoadPageTables(tables);
        if (!user)
        {
            return cpu.Mmu.TryTranslate(User, access, out _, out fault);
        }

        using MmuScope mode = cpu.User.UserMode();
        return cpu.Mmu.TryTranslate(User, access, out _, out fault);
    }

    private sealed class Mapper : IPageFaultHandler
    {
        public int Calls { get; private set; }

        public bool Useless { get; set; }

        public bool Handle(Cpu cpu, in PageFault fault)
        {
            Calls++;
            return Useless || cpu.Machine.Mmu.Kernel.Map(cpu, new VirtualAddress(fault.Address.Value & ~0xfffUL), [cpu.AllocPage(Gfp.Kernel)], PageProtection.Kernel);
        }
    }
}
