using FluentAssertions;
using MemSim.Observability;
using Xunit;

namespace MemSim.Tests.Observability;

/// <summary>Who holds memory, by call site and since a mark.</summary>
public sealed class LeakTests : MachineTests
{
    private readonly Machine _machine;
    private readonly Cpu _cpu;

    public LeakTests()
    {
        _machine = Boot(MachineSpec.X86_64("96M", cpus: 2));
        _cpu = _machine.Cpus[0];
    }

    [Fact]
    public void What_was_not_given_back_is_listed_by_who_asked_for_it()
    {
        _machine.Leaks.Track();
        AllocationMark mark = _machine.Leaks.Mark();
        Page kept;
        VirtualAddress obj;
        VirtualAddress area;
        VirtualAddress large;
        using (_cpu.CallSite("rx_ring+0x40"))
        {
            kept = _cpu.AllocPages(Gfp.Kernel, 1);
            _cpu.FreePages(_cpu.AllocPages(Gfp.Kernel));
            obj = _cpu.Kmalloc(100, Gfp.Kernel);
            large = _cpu.Kmalloc(50_000, Gfp.Kernel);
            area = _cpu.Vmalloc(3 * PageGeometry.PageSize, caller: "load_module+0x1");
        }

        LeakReport report = _machine.Leaks.Find(mark);
        report.Pages.Select(p => (p.CallSite, p.Order, p.Blocks[0])).Should().BeEquivalentTo([("rx_ring+0x40", 1, kept), ("rx_ring+0x40", 4, _cpu.Pages.VirtToPage(large))]);
        report.Objects.Select(o => (o.Cache.Name, o.CallSite, o.Count)).Should().Contain(("kmalloc-128", "rx_ring+0x40", 1L));
        report.Areas.Should().ContainSingle().Which.Should().BeEquivalentTo(new LiveArea(area, 3, "load_module+0x1", OwnsPages: true));
        _machine.Leaks.Invoking(l => l.AssertNoLeaks(mark)).Should().Throw<LeakException>().WithMessage("*1 blocks of order 1 (2 pages), GFP_KERNEL, from rx_ring+0x40, by swapper/0:0*");

        _cpu.FreePages(kept, 1);
        _cpu.Kfree(obj);
        _cpu.Kfree(large);
        _cpu.Vfree(area);
        _machine.Leaks.AssertNoLeaks(mark);
        _machine.Leaks.Find(mark).ToString().Should().BeEmpty();
    }

    [Fact]
    public void Areas_are_ascribed_to_the_call_site_in_force_unless_the_call_names_somebody()
    {
        AllocationMark mark = _machine.Leaks.Mark();
        VirtualAddress[] areas;
        using (_cpu.CallSite("probe+0x30"))
        {
            areas = [_cpu.Vmalloc(100), _cpu.Vm.Vzalloc(100), _cpu.Vm.Vmalloc32(100), _cpu.Vm.VmallocNode(100, 0), _cpu.Vm.VmallocHuge(100), _cpu.Vmalloc(100, caller: "named")];
        }

        areas = [.. areas, _cpu.Vmalloc(100)];
        _machine.Leaks.Find(mark).Areas.OrderBy(a => Array.IndexOf(areas, a.Address)).Select(a => a.CallSite).Should()
            .Equal([.. Enumerable.Repeat("probe+0x30", 5), "named", nameof(Areas_are_ascribed_to_the_call_site_in_force_unless_the_call_names_somebody)]);
        _machine.Proc.VmallocInfo.Should().Contain(" probe+0x30 ");
        foreach (VirtualAddress area in areas)
        {
            _cpu.Vfree(area);
        }

        _machine.Leaks.AssertNoLeaks(mark);
    }

    [Fact]
    public void Without_tracking_everything_is_found_but_the_names()
    {
        AllocationMark mark = _machine.Leaks.Mark();
        Page kept = _cpu.AllocPages(Gfp.Kernel, 2);
        VirtualAddress obj = _cpu.Kmalloc(64, Gfp.Kernel);
        _machine.Leaks.IsTracking.Should().BeFalse();
        _machine.Leaks.FindLivePages(mark).Should().ContainSingle().Which.Should().Match<LivePages>(p => p.CallSite == "" && p.Pages == 4 && p.Blocks[0] == kept);
        _machine.Leaks.FindLiveObjects(mark).Should().ContainSingle().Which.Cache.Name.Should().Be("kmalloc-64");
        _machine.Leaks.FindLivePages().Sum(p => p.Pages).Should().BeGreaterThanOrEqualTo(4);
        _cpu.FreePages(kept, 2);
        _cpu.Kfree(obj);
    }

    [Fact]
    public void Pages_that_somebody_can_name_are_no_leaks_but_a_process_left_behind_is()
    {
        _machine.CreateProcess("warm").Exit();
        AllocationMark mark = _machine.Leaks.Mark();
        Process process = _machine.CreateProcess("left");
        using (_cpu.Run(process))
        {
            VirtualAddress at = process.Mm.Mmap(1 << 20, Prot.Read | Prot.Write);
            for (int i = 0; i < 100; i++)
            {
                _cpu.Write(at + (i << 12), i);
            }
        }

        LeakReport report = _machine.Leaks.Find(mark);
        report.Pages.Should().BeEmpty("its pages have an owner");
        report.LostTables.Should().Be(0);
        report.Objects.Select(o => o.Cache.Name).Should().Contain(["task_struct", "mm_struct", "vm_area_struct"]);
        process.Exit();
        _machine.Leaks.AssertNoLeaks(mark);
    }

    [Fact]
    public void A_page_table_that_no_tree_has_is_a_leak()
    {
        AllocationMark mark = _machine.Leaks.Mark();
        Page table = _cpu.AllocPages(Gfp.Kernel);
        table.SetType(PageType.Table);
        _machine.Leaks.Find(mark).LostTables.Should().Be(1);
        _machine.Leaks.Invoking(l => l.AssertNoLeaks(mark)).Should().Throw<LeakException>().WithMessage("*1 page tables in no tree*");
        table.SetType(PageType.None);
        _cpu.FreePages(table);
    }

    [Fact]
    public void A_mark_belongs_to_its_machine()
    {
        using Machine other = Machine.Boot(MachineSpec.X86_64("96M"));
        AllocationMark mark = other.Leaks.Mark();
        _machine.Leaks.Invoking(l => l.AssertNoLeaks(mark)).Should().Throw<ArgumentException>();
    }

    [Fact]
    public void An_object_nobody_points_to_is_found_and_one_in_a_chain_is_not()
    {
        Assert.Throws<InvalidOperationException>(() => _machine.Leaks.FindUnreferenced());
        _machine.Leaks.Track();
        VirtualAddress head;
        VirtualAddress middle;
        VirtualAddress end;
        VirtualAddress lost;
        using (_cpu.CallSite("list_add+0x5"))
        {
            head = _cpu.Kmalloc(64, Gfp.Kernel);
            middle = _cpu.Kmalloc(192, Gfp.Kernel);
            end = _cpu.Vmalloc(2 * PageGeometry.PageSize);
            lost = _cpu.Kmalloc(96, Gfp.Kernel);
        }

        foreach (VirtualAddress obj in (VirtualAddress[])[head, middle, lost])
        {
            _cpu.Slab.Span(obj, 64).Clear();
        }

        _cpu.Write(head + 8, middle.Value + 16);
        _cpu.Write(middle + 24, end.Value);
        _cpu.Write(lost, 0x1122334455667788UL);

        IReadOnlyList<UnreferencedObject> found = _machine.Leaks.FindUnreferenced(head);
        found.Should().ContainSingle().Which.Address.Should().Be(lost);
        found[0].ToString().Should().StartWith($"unreferenced object 0x{lost.Value:x} (size 96):\n  comm \"swapper/0\", pid 0 (age 0.000s)\n  hex dump (first 32 bytes):\n    88 77 66 55 44 33 22 11 00 00")
            .And.EndWith("  backtrace:\n    list_add+0x5\n");
        _machine.Leaks.FindUnreferenced().Select(u => u.Address).Should().BeEquivalentTo([head, middle, end, lost]);

        // A pointer in a block of pages keeps the chain, as one in a driver's ring would.
        VirtualAddress ring = _cpu.GetZeroedPage(Gfp.Kernel);
        _cpu.Write(ring + 512, head.Value);
        _machine.Leaks.FindUnreferenced().Should().ContainSingle().Which.Address.Should().Be(lost);
        _cpu.FreePage(ring);
        _cpu.Kfree(lost);
        _machine.Leaks.FindUnreferenced(head).Should().BeEmpty();
    }
}
