using FluentAssertions;
using MemSim.Slab;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>What debugging finds, when, and how it says so.</summary>
public class SlabDebugTests
{
    private const SlabFlags All = SlabFlags.ConsistencyChecks | SlabFlags.RedZone | SlabFlags.Poison | SlabFlags.StoreUser;

    [Fact]
    public void An_overflow_is_found_at_free_and_the_report_has_the_layout_of_slub()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("overflown", 60, flags: All);
        VirtualAddress obj;
        using (cpu.CallSite("alloc_widget+0x12/0x40"))
        {
            obj = cpu.Alloc(cache, Gfp.Kernel);
        }

        SlabContents.Span(machine, obj.Value, 64)[60] = 0x41;
        KernelBugException bug = cpu.Invoking(c => c.Free(cache, obj)).Should().Throw<KernelBugException>().Which;
        bug.Kind.Should().Be(KernelBugKind.Overwritten);
        bug.Report.Should().Contain("BUG overflown (Not tainted): Right Redzone overwritten\n");
        bug.Report.Should().Contain($"0x{obj + 60}-0x{obj + 60} @offset=");
        bug.Report.Should().Contain("First byte 0x41 instead of 0xcc\nAllocated in alloc_widget+0x12/0x40 age=0 cpu=0 pid=0\nSlab 0xffffea");
        bug.Report.Should().MatchRegex("Object   [0-9a-f]{16}: (6b ){16} kkkkkkkkkkkkkkkk\n");
        bug.Report.Should().Contain("FIX overflown: Restoring Right Redzone");
        machine.Verify();
        cpu.Free(cache, obj);
        machine.Verify();
    }

    [Fact]
    public void A_report_shows_the_object_between_its_red_zones_byte_by_byte()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("zoned", 60, flags: All);
        _ = cpu.Alloc(cache, Gfp.Kernel);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        SlabContents.Span(machine, obj.Value, 64)[61] = 0x41;
        KernelBugException bug = cpu.Invoking(c => c.Free(cache, obj)).Should().Throw<KernelBugException>().Which;
        bug.Report.Should().MatchRegex($"Redzone  {obj + -cache.Layout.RedLeftPad}: (cc ){{8}}");
        bug.Report.Should().Contain($"Object   {obj}: 6b 6b");
        bug.Report.Should().Contain($"Redzone  {obj + 60}: cc 41 cc cc ");
    }

    [Fact]
    public void An_address_inside_an_object_is_told_by_its_distance_from_the_objects_start()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("pointed", 64);
        _ = cpu.Alloc(cache, Gfp.Kernel);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        KernelBugException bug = cpu.Invoking(c => c.Free(cache, obj + 24)).Should().Throw<KernelBugException>().Which;
        bug.Report.Should().Contain($"Invalid object pointer 0x{obj + 24}").And.Contain($"The address lies 24 bytes into the object at 0x{obj}.\n");
    }

    [Fact]
    public void Red_zones_alone_report_nothing_at_free_but_validate_reads_them()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("zoned", 64, flags: SlabFlags.RedZone);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        cpu.Write(obj + 64, (byte)1);
        cpu.Free(cache, obj);

        obj = cpu.Alloc(cache, Gfp.Kernel);
        cpu.Write(obj + 64, (byte)1);
        Overwritten(() => machine.Slab.Validate(cache), "Right Redzone overwritten");

        KmemCache watched = machine.Slab.CreateCache("watched", 64, flags: SlabFlags.RedZone | SlabFlags.ConsistencyChecks);
        obj = cpu.Alloc(watched, Gfp.Kernel);
        cpu.Write(obj + 64, (byte)1);
        Overwritten(() => cpu.Free(watched, obj), "Right Redzone overwritten");
    }

    [Fact]
    public void A_use_after_free_is_found_at_the_next_allocation()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("stale", 128, flags: All);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        cpu.Free(cache, obj);
        SlabContents.Span(machine, obj.Value, 128)[5] = 0;
        Overwritten(() => cpu.Alloc(cache, Gfp.Kernel), "Poison overwritten");
        machine.Verify();
        cpu.Alloc(cache, Gfp.Kernel).Should().Be(obj);
        machine.Verify();
    }

    [Fact]
    public void Validate_finds_damage_before_anything_is_called()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("validated", 40, flags: All);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        machine.Slab.Validate(cache).Should().Be(0);
        SlabContents.Span(machine, obj.Value - 8, 1)[0] = 1;
        Overwritten(() => machine.Slab.Validate(cache), "Left Redzone overwritten");
        machine.Slab.Validate(cache).Should().Be(0);
    }

    [Fact]
    public void A_double_free_tells_who_freed_first()
    {
        using Machine machine = Boot("slub_debug=U,kmalloc-64");
        Cpu cpu = machine.Cpus[0];
        VirtualAddress obj = cpu.Kmalloc(50, Gfp.Kernel);
        using (cpu.CallSite("first_owner+0x1"))
        {
            cpu.Kfree(obj);
        }

        KernelBugException bug = cpu.Invoking(c => c.Kfree(obj)).Should().Throw<KernelBugException>().Which;
        bug.Kind.Should().Be(KernelBugKind.DoubleFree);
        bug.Report.Should().Contain("Freed in first_owner+0x1").And.Contain("Object already free");
    }

    [Fact]
    public void The_size_asked_for_is_tracked_and_the_waste_shown()
    {
        using Machine machine = Boot("slub_debug=U");
        Cpu cpu = machine.Cpus[0];
        using (cpu.CallSite("wasteful+0x1"))
        {
            cpu.Kmalloc(40, Gfp.Kernel);
            cpu.Kmalloc(64, Gfp.Kernel);
            cpu.Kzalloc(33, Gfp.Kernel);
        }

        LiveObjects group = machine.Slab.FindLiveObjects().Should().ContainSingle(g => g.CallSite == "wasteful+0x1").Subject;
        (group.Cache.Name, group.Count, group.WastedBytes).Should().Be(("kmalloc-64", 3L, 24L + 31));

        using Machine untracked = Boot("slub_debug=F");
        untracked.Cpus[0].Kmalloc(40, Gfp.Kernel);
        untracked.Slab.FindLiveObjects().Should().ContainSingle().Which.WastedBytes.Should().Be(0);
    }

    [Fact]
    public void The_command_line_chooses_caches()
    {
        using Machine machine = Boot("slub_debug=FZ,dentry,skbuff*;P,kmalloc-32");
        machine.Slab.CreateCache("dentry", 192).Flags.Should().HaveFlag(SlabFlags.RedZone).And.NotHaveFlag(SlabFlags.Poison);
        machine.Slab.CreateCache("skbuff_head", 232).Flags.Should().HaveFlag(SlabFlags.ConsistencyChecks);
        machine.Slab.CreateCache("plain", 232).Flags.Should().NotHaveFlag(SlabFlags.RedZone);
        machine.Slab.Find("kmalloc-32")!.Flags.Should().HaveFlag(SlabFlags.Poison);
        machine.Slab.Find("kmalloc-64")!.Flags.Should().NotHaveFlag(SlabFlags.Poison);

        using Machine all = Boot("slub_debug");
        all.Slab.Find("kmalloc-8")!.Size.Should().Be(112);
    }

    [Fact]
    public void A_wholly_debugged_machine_works()
    {
        using Machine machine = Boot("slub_debug=FZPU");
        Cpu cpu = machine.Cpus[0];
        List<VirtualAddress> objects = [];
        for (int i = 0; i < 3000; i++)
        {
            objects.Add(cpu.Kmalloc(1 + (i % 9000), Gfp.Kernel));
        }

        machine.Verify();
        objects.ForEach(cpu.Kfree);
        machine.Verify();
        foreach (KmemCache cache in machine.Slab.Caches)
        {
            machine.Slab.Validate(cache).Should().Be(0);
            machine.Slab.ShrinkCache(cache).Should().Be(0);
        }

        machine.Verify();
    }

    [Fact]
    public void Live_objects_are_listed_by_cache_and_call_site()
    {
        using Machine machine = Boot("slub_debug=U");
        Cpu cpu = machine.Cpus[0];
        using (cpu.CallSite("leaky"))
        {
            cpu.Kmalloc(100, Gfp.Kernel);
            cpu.Kmalloc(100, Gfp.Kernel);
        }

        cpu.Kfree(cpu.Kmalloc(100, Gfp.Kernel));
        machine.Slab.FindLiveObjects().Should().ContainSingle().Which.Should().Match<LiveObjects>(l => l.CallSite == "leaky" && l.Count == 2 && l.Cache.Name == "kmalloc-128");
    }

    [Fact]
    public void With_the_policy_to_log_damage_is_repaired_and_work_goes_on()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithBugPolicy(BugPolicy.Log));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("logged", 128, flags: All);
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        SlabContents.Span(machine, obj.Value, 137)[130] = 0;
        cpu.Free(cache, obj);
        cpu.Free(cache, obj);
        cpu.Free(cache, obj);
        machine.Verify();
        machine.Slab.DestroyCache(cache).Should().BeTrue();
        machine.Verify();
    }

    private static Machine Boot(string commandLine = "") => Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine(commandLine));

    private static void Overwritten(Action action, string what)
    {
        KernelBugException bug = action.Should().Throw<KernelBugException>().Which;
        bug.Kind.Should().Be(KernelBugKind.Overwritten);
        bug.Message.Should().Contain(what);
    }
}
