using System.Reflection;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Machines;

/// <summary>Code of the user's that the kernel calls in the middle of its work: what it throws arrives, and the machine is whole; it cannot call back.</summary>
public sealed class CalloutTests
{
    public static TheoryData<string> PageEvents() => [.. typeof(IPageTraceSink).GetMethods().Select(m => m.Name)];

    [Theory]
    [MemberData(nameof(PageEvents))]
    public void What_a_receiver_of_page_events_throws_arrives_once_and_the_machine_is_whole(string name)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        IPageTraceSink sink = Sink<IPageTraceSink>(name, () => throw new FormatException(name));
        machine.Tracing.Attach(sink);

        FormatException? thrown = null;
        List<Page> pages = [];
        for (int turn = 0; turn < 40 && thrown is null; turn++)
        {
            thrown = Catch(() =>
            {
                Gfp gfp = (turn % 3) switch { 0 => Gfp.Kernel, 1 => Gfp.Kernel | Gfp.Reclaimable, _ => Gfp.HighUserMovable };
                for (int i = 0; i < 200; i++)
                {
                    pages.Add(cpu.AllocPages(gfp));
                }

                pages.Add(cpu.AllocPages(gfp, 9));
                while (pages.Count != 0)
                {
                    Page page = pages[^1];
                    pages.RemoveAt(pages.Count - 1);
                    cpu.FreePages(page, page.Order);
                }

                Page[] bulk = new Page[8];
                cpu.Pages.AllocPagesBulk(gfp, bulk);
                cpu.Pages.FreePagesBulk(bulk);
            });
            machine.Verify();
        }

        thrown!.Message.Should().Be(name);
        Catch(() => cpu.FreePages(cpu.AllocPages(Gfp.Kernel, 4), 4)).Should().BeNull("a receiver that threw gets nothing any more");
        foreach (Page page in pages.Where(p => p.Count != 0))
        {
            cpu.FreePages(page, page.Order);
        }

        machine.Verify();
    }

    [Fact]
    public void A_request_whose_event_was_refused_takes_no_page()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        cpu.FreePages(cpu.AllocPages(Gfp.Kernel));
        long free = machine.Zones.Sum(z => z.TrueFreePages) + machine.Zones.Sum(z => z.Pcp.Sum(p => (long)p.Count));
        machine.Tracing.Attach(Sink<IPageTraceSink>(nameof(IPageTraceSink.MmPageAlloc), () => throw new FormatException("no")));

        cpu.Invoking(c => c.AllocPages(Gfp.Kernel)).Should().Throw<FormatException>();

        (machine.Zones.Sum(z => z.TrueFreePages) + machine.Zones.Sum(z => z.Pcp.Sum(p => (long)p.Count))).Should().Be(free);
        machine.Verify();
    }

    [Theory]
    [InlineData("pages")]
    [InlineData("pages of another CPU")]
    [InlineData("free")]
    [InlineData("kmalloc")]
    [InlineData("kfree")]
    [InlineData("vmalloc")]
    [InlineData("mmap")]
    [InlineData("time")]
    public void A_receiver_that_calls_back_is_refused(string call)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("process");
        Page page = cpu.AllocPages(Gfp.Kernel);
        VirtualAddress obj = cpu.Kmalloc(64, Gfp.Kernel);
        machine.Tracing.Attach(Sink<IPageTraceSink>(nameof(IPageTraceSink.MmPageAlloc), () => _ = call switch
        {
            "pages of another CPU" => machine.Cpus[1].AllocPages(Gfp.Atomic).IsNull,
            "pages" => cpu.AllocPages(Gfp.Atomic).IsNull,
            "free" => Do(() => cpu.FreePages(page)),
            "kmalloc" => cpu.Kmalloc(64, Gfp.Atomic).IsNull,
            "kfree" => Do(() => cpu.Kfree(obj)),
            "vmalloc" => cpu.Vmalloc(4096).IsNull,
            "mmap" => process.Mm.Mmap(4096, Prot.Read).Succeeded,
            _ => Do(() => machine.AdvanceTime(TimeSpan.FromSeconds(1))),
        }));

        cpu.Invoking(c => c.AllocPages(Gfp.Kernel)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.Deadlock);

        cpu.AllocPages(Gfp.Kernel).IsNull.Should().BeFalse("nothing is held any more");
        machine.Verify();
        cpu.FreePages(page);
        cpu.Kfree(obj);
        process.Mm.Mmap(4096, Prot.Read).Succeeded.Should().BeTrue();
        machine.Verify();
    }

    [Fact]
    public void A_receiver_may_look_at_everything()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Process process = machine.CreateProcess("process");
        string seen = "";
        machine.Tracing.Attach(Sink<IPageTraceSink>(nameof(IPageTraceSink.MmPageAlloc), () => seen = machine.Proc.BuddyInfo + machine.Proc.MemInfo + process.Status + machine.Slab.SlabInfo));
        machine.Cpus[0].AllocPages(Gfp.Kernel).IsNull.Should().BeFalse();
        seen.Should().Contain("DMA32").And.Contain("MemTotal").And.Contain("VmSize");
    }

    [Theory]
    [InlineData("Isolate")]
    [InlineData("Migrate")]
    [InlineData("PutBack")]
    public void What_an_owner_of_movable_pages_throws_arrives_and_no_page_stays_isolated(string where)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        ThrowingOwner owner = new() { Where = where };
        MovableOwner registration = machine.Migration.RegisterMovableOwner(owner);
        List<Page> pages = cpu.AllocateAll(Gfp.HighUserMovable);
        foreach (Page page in pages.Where((_, i) => i % 2 == 0))
        {
            cpu.FreePages(page);
        }

        foreach (Page page in pages.Where((_, i) => i % 2 == 1))
        {
            registration.Adopt(page);
        }

        machine.Invoking(m => m.Compaction.CompactMemory()).Should().Throw<FormatException>().WithMessage(where);
        machine.Verify();

        owner.Where = "";
        machine.Compaction.CompactMemory();
        owner.Moves.Should().BePositive("pages that were refused once can be moved later");
        machine.Verify();
    }

    [Fact]
    public void A_constructor_that_throws_leaves_no_slab_behind()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        int left = 3;
        KmemCache cache = machine.Slab.CreateCache("constructed", 256, constructor: (_, _) => _ = left-- == 0 ? throw new FormatException("constructor") : 0);
        cpu.Pages.DrainLocalPages();
        long free = machine.Zones.Sum(z => z.TrueFreePages);

        cpu.Invoking(c => c.Alloc(cache, Gfp.Kernel)).Should().Throw<FormatException>();

        cpu.Pages.DrainLocalPages();
        machine.Zones.Sum(z => z.TrueFreePages).Should().Be(free);
        machine.Verify();
        cpu.Alloc(cache, Gfp.Kernel).IsNull.Should().BeFalse("the next slab is constructed");
        machine.Verify();
    }

    [Fact]
    public void What_a_receiver_of_slab_and_fault_events_throws_leaves_the_machine_whole()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("process");
        VirtualAddress at = process.Mm.Mmap(65536, Prot.Read | Prot.Write).Value;
        foreach (string name in typeof(ISlabTraceSink).GetMethods().Select(m => m.Name))
        {
            machine.Tracing.Attach(Sink<ISlabTraceSink>(name, () => throw new FormatException(name)));
            FormatException? thrown = Catch(() =>
            {
                cpu.Kfree(cpu.Kmalloc(64, Gfp.Kernel));
                cpu.Kfree(cpu.Slab.KmallocNode(64, Gfp.Kernel, 0));
                KmemCache cache = machine.Slab.Find("things") ?? machine.Slab.CreateCache("things", 64);
                cpu.Free(cache, cpu.Alloc(cache, Gfp.Kernel));
                cpu.Free(cache, cpu.Slab.AllocNode(cache, Gfp.Kernel, 0));
            });
            machine.Verify();
            thrown?.Message.Should().Be(name);
        }

        machine.Tracing.Attach(Sink<IFaultTraceSink>(nameof(IFaultTraceSink.PageFaultUser), () => throw new FormatException("fault")));
        using (cpu.Run(process))
        {
            cpu.Invoking(c => c.Write(at, 1)).Should().Throw<FormatException>();
            machine.Verify();
            cpu.Write(at, 2);
            cpu.Read<int>(at).Should().Be(2);
        }

        machine.Verify();
    }

    private static bool Do(Action action)
    {
        action();
        return true;
    }

    private static FormatException? Catch(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (FormatException e)
        {
            return e;
        }
    }

    private static T Sink<T>(string name, Action act)
        where T : class
    {
        T sink = DispatchProxy.Create<T, Proxy>();
        ((Proxy)(object)sink).Name = name;
        ((Proxy)(object)sink).Act = act;
        return sink;
    }

    public class Proxy : DispatchProxy
    {
        public string Name { get; set; } = "";

        public Action Act { get; set; } = () => { };

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            if (targetMethod!.Name == Name)
            {
                Act();
            }

            return null;
        }
    }

    private sealed class ThrowingOwner : IMovableOwner
    {
        public string Where { get; set; } = "";

        public int Moves { get; private set; }

        public bool Isolate(Page page) => Where == "Isolate" ? throw new FormatException(Where) : true;

        public bool Migrate(Page from, Page to, MigrationMode mode)
        {
            if (Where == "PutBack")
            {
                return false;
            }

            Moves += Where == "Migrate" ? throw new FormatException(Where) : 1;
            return true;
        }

        public void PutBack(Page page) => _ = Where == "PutBack" ? throw new FormatException(Where) : 0;
    }
}
