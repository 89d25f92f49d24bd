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
            List<PropertyInfo> groups = [.. owner.GetType().GetProperties().Where(p => p.PropertyType.Name.StartsWith(owner.GetType().Name, StringComparison.Ordinal) && p.PropertyType != typeof(Machine))];
            groups.Should().HaveCountGreaterThan(10);
            groups.Should().OnlyContain(p => p.GetValue(owner) != null && ReferenceEquals(p.GetValue(owner), p.GetValue(owner)));
        }
    }

    private static List<string> NamesOf(Type type) =>
        [.. type.GetMembers(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(m => m is PropertyInfo or FieldInfo or EventInfo or MethodInfo { IsSpecialName: false }).Select(m => m.Name).Distinct().Order(StringComparer.Ordinal)];
}
