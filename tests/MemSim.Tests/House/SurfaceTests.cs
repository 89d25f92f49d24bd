using System.Reflection;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.House;

/// <summary>What somebody types after <c>machine.</c> and <c>cpu.</c> fits on a screen, and every name is where a user of Linux looks for it.</summary>
public sealed class SurfaceTests
{
    /// <summary>A subsystem that needs more names gets a group: one property, as <c>machine.Swap</c>.</summary>
    private const int MostNames = 43;

    [Theory]
    [InlineData(typeof(Machine))]
    [InlineData(typeof(Cpu))]
    public void What_a_user_types_after_machine_and_cpu_fits_on_a_screen(Type type)
    {
        List<string> names = NamesOf(type);

        names.Should().HaveCountLessThanOrEqualTo(MostNames, $"the rest belongs into groups; there are {string.Join(", ", names)}");
    }

    [Fact]
    public void The_calls_of_every_day_are_on_the_cpu_itself() =>
        NamesOf(typeof(Cpu)).Should().Contain([
            "AllocPage", "AllocPages", "FreePage", "FreePages", "GetZeroedPage", "Kmalloc", "Kzalloc", "Kfree", "Alloc", "Free", "Vmalloc", "Vfree", "Kmap", "Kunmap",
            "Read", "Write", "HardIrq", "Run",
        ]);

    [Fact]
    public void Every_subsystem_has_one_name_on_the_machine() =>
        NamesOf(typeof(Machine)).Should().Contain([
            "Cpus", "CreateProcess", "Verify", "Snapshot", "Background", "Cma", "Compaction", "Files", "Hotplug", "HugePages", "Memory", "Migration", "Mmu", "Oom", "PerCpu", "Proc",
            "Processes", "Reclaim", "Reports", "Slab", "Stacks", "Swap", "Sysctl", "Tracing", "Zones",
        ]);

    [Fact]
    public void Groups_are_there_from_boot_on_and_always_the_same_object()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));

        foreach (object owner in new object[] { machine, machine.Cpus[0] })
        {
            List<PropertyInfo> groups = [.. owner.GetType().GetProperties().Where(p => p.PropertyType.Name.StartsWith(owner.GetType().Name, StringComparison.Ordinal))];
            groups.Should().HaveCountGreaterThan(10);
            groups.Should().OnlyContain(p => p.GetValue(owner) != null && ReferenceEquals(p.GetValue(owner), p.GetValue(owner)));
        }
    }

    [Fact]
    public void Every_length_of_a_memory_call_is_of_one_type() =>
        typeof(MemoryDescriptor).GetMethods().Concat(typeof(CpuFiles).GetMethods()).Concat(typeof(CpuMemory).GetMethods()).Concat(typeof(ProcessMigration).GetMethods())
            .SelectMany(m => m.GetParameters()).Where(p => p.Name is "length" or "oldLength" or "newLength" or "offset" or "bytes" && p.ParameterType.IsPrimitive)
            .Should().HaveCountGreaterThan(15).And.OnlyContain(p => p.ParameterType == typeof(long));

    [Fact]
    public void A_length_below_zero_is_as_large_as_the_kernels_size_t_makes_it()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        MemoryDescriptor mm = machine.CreateProcess("p").Mm;
        VirtualAddress area = mm.Mmap(8192, Prot.Read | Prot.Write);

        mm.Mmap(-4096, Prot.Read).Error.Should().Be(Errno.ENOMEM);
        mm.Munmap(area, -4096).Should().Be(Errno.EINVAL);
        mm.Mprotect(area, -4096, Prot.Read).Should().Be(Errno.ENOMEM);
        mm.FindVma(area)!.End.Should().Be(area + 8192);
    }

    [Fact]
    public void What_newcomers_type_first_exists()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithCma("camera", "16M"));
        Process process = machine.CreateProcess("p");
        process.IsAlive.Should().BeTrue();
        process.Exit();
        process.IsAlive.Should().BeFalse();

        Page pages = machine.Cma.Alloc("camera", 4);
        pages.IsNull.Should().BeFalse();
        machine.Cma.Free(pages, 4).Should().BeTrue();

        (new VirtualAddress(4096) + 4096UL).Should().Be(new VirtualAddress(4096) + 4096);
        GfpEra.ToModern(LegacyGfp.Atomic).Should().Be(GfpEra.ToModern(LegacyGfp.High));
        LegacyGfp.NoWait.Should().Be(LegacyGfp.None);
        Gfp.NoWait.KernelName.Should().Be("GFP_NOWAIT");
    }

    private static List<string> NamesOf(Type type) =>
        [.. type.GetMembers(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(m => m is PropertyInfo or FieldInfo or EventInfo or MethodInfo { IsSpecialName: false }).Select(m => m.Name).Distinct().Order(StringComparer.Ordinal)];
}
