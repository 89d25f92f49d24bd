using FluentAssertions;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary><c>init_on_alloc</c> and <c>init_on_free</c>: whose bytes are in fresh memory.</summary>
public class MemoryInitTests
{
    private const byte Marker = 0xa5;

    [Theory]
    [InlineData("", Gfp.None, true)]
    [InlineData("", Gfp.Zero, false)]
    [InlineData("init_on_alloc=1", Gfp.None, false)]
    public void Pages_allocated_in_bulk_are_zeroed_as_single_ones_are(string line, Gfp extra, bool seen)
    {
        using Machine machine = Boot(line);
        Cpu cpu = machine.Cpus[0];
        Page[] pages = new Page[20];
        cpu.Pages.AllocPagesBulk(Gfp.Kernel, pages).Should().Be(20);
        foreach (Page page in pages)
        {
            machine.Ram.Frame(page.FrameIndex).Fill(Marker);
        }

        cpu.Pages.FreePagesBulk(pages);
        Array.Clear(pages);
        cpu.Pages.AllocPagesBulk(Gfp.Kernel | extra, pages).Should().Be(20);
        pages.Any(page => Has(machine, page.FrameIndex, 1)).Should().Be(seen);
    }

    [Theory]
    [InlineData("", true, true)]
    [InlineData("init_on_alloc=0", true, true)]
    [InlineData("init_on_alloc=1", true, false)]
    [InlineData("init_on_free=1", false, false)]
    [InlineData("init_on_alloc=on init_on_free=y", false, false)]
    public void Old_bytes_are_seen_unless_they_are_zeroed(string line, bool keptWhileFree, bool seen)
    {
        using Machine machine = Boot(line);
        Cpu cpu = machine.Cpus[0];
        List<Page> pages = cpu.AllocateAll(Gfp.Kernel);
        foreach (Page page in pages)
        {
            machine.Ram.Frame(page.FrameIndex).Fill(Marker);
        }

        foreach (Page page in pages)
        {
            cpu.FreePages(page);
        }

        foreach (Page page in pages)
        {
            Has(machine, page.FrameIndex, 1).Should().Be(keptWhileFree);
        }

        for (int order = 0; order <= 9; order++)
        {
            Page block = cpu.AllocPages(Gfp.Kernel, order);
            Has(machine, block.FrameIndex, 1 << order).Should().Be(seen, "order {0}", order);
        }

        Page[] bulk = new Page[40];
        cpu.Pages.AllocPagesBulk(Gfp.Kernel, bulk).Should().Be(40);
        bulk.Count(page => Has(machine, page.FrameIndex, 1)).Should().BeInRange(seen ? 30 : 0, seen ? 40 : 0, "the last reserves were never filled");
        using (cpu.HardIrq())
        {
            Has(machine, cpu.AllocPage(Gfp.Atomic).FrameIndex, 1).Should().Be(seen);
        }

        Page zeroed = cpu.AllocPage(Gfp.Kernel | Gfp.Zero);
        Has(machine, zeroed.FrameIndex, 1).Should().BeFalse();
        machine.Verify();
    }

    [Theory]
    [InlineData("", true, true)]
    [InlineData("init_on_alloc=1", true, false)]
    [InlineData("init_on_free=1", false, false)]
    [InlineData("init_on_free=1 slab_allocator=slab", false, false)]
    [InlineData("init_on_alloc=1 slab_allocator=slab", true, false)]
    public void Objects_are_zeroed_as_pages_are(string line, bool keptWhileFree, bool seen)
    {
        using Machine machine = Boot(line);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("plain", size: 200);
        VirtualAddress[] objects = new VirtualAddress[100];
        for (int i = 0; i < objects.Length; i++)
        {
            objects[i] = i % 2 == 0 ? cpu.Alloc(cache, Gfp.Kernel) : cpu.Kmalloc(200, Gfp.Kernel);
            Fill(cpu, objects[i], 192);
        }

        VirtualAddress keeper = cpu.Alloc(cache, Gfp.Kernel);
        for (int i = 0; i < objects.Length; i++)
        {
            if (i % 2 == 0)
            {
                cpu.Free(cache, objects[i]);
            }
            else
            {
                cpu.Kfree(objects[i]);
            }
        }

        cpu.Read<byte>(objects[3] + 100).Should().Be(keptWhileFree ? Marker : (byte)0);
        HashSet<VirtualAddress> old = [.. objects];
        int again = 0;
        for (int i = 0; i < 60; i++)
        {
            VirtualAddress fresh = i % 2 == 0 ? cpu.Alloc(cache, Gfp.Kernel) : cpu.Kmalloc(200, Gfp.Kernel);
            if (old.Contains(fresh))
            {
                again++;
                cpu.Read<byte>(fresh + 100).Should().Be(seen ? Marker : (byte)0);
            }
        }

        again.Should().BeGreaterThan(20);
        cpu.Free(cache, keeper);
        machine.Verify();
    }

    [Theory]
    [InlineData("init_on_alloc=1")]
    [InlineData("init_on_free=1")]
    public void What_a_constructor_made_stays(string line)
    {
        using Machine machine = Boot(line);
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("made", size: 64, constructor: (cpu, obj) => cpu.Write(obj, 0x1234));
        VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
        cpu.Read<int>(obj).Should().Be(0x1234);
        cpu.Free(cache, obj);
        cpu.Read<int>(cpu.Alloc(cache, Gfp.Kernel)).Should().Be(0x1234);
    }

    [Fact]
    public void Zeroing_changes_no_place()
    {
        int[] Places(string line)
        {
            using Machine machine = Boot(line);
            Cpu cpu = machine.Cpus[0];
            Random random = new(7);
            List<int> places = [];
            List<(Page Page, int Order)> held = [];
            for (int i = 0; i < 3000; i++)
            {
                if (held.Count > 50 && random.Next(2) == 0)
                {
                    (Page page, int order) = held[random.Next(held.Count)];
                    held.Remove((page, order));
                    cpu.FreePages(page, order);
                }
                else
                {
                    int order = random.Next(5);
                    held.Add((cpu.AllocPages(Gfp.Kernel, order), order));
                    places.Add(held[^1].Page.FrameIndex);
                    places.Add((int)(cpu.Kmalloc(random.Next(1, 3000), Gfp.Kernel).Value & int.MaxValue));
                }
            }

            return [.. places];
        }

        Places("init_on_alloc=1 init_on_free=1").Should().Equal(Places(""));
    }

    [Fact]
    public void A_value_that_makes_no_sense_is_refused()
    {
        Action parse = () => KernelCommandLine.Parse("init_on_alloc=maybe");
        parse.Should().Throw<ArgumentException>().WithMessage("*init_on_alloc*maybe*");
    }

    private static Machine Boot(string line) => Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine(line));

    private static bool Has(Machine machine, int pfn, int pages)
    {
        for (int i = 0; i < pages; i++)
        {
            if (machine.Ram.ReadOnly((ulong)(pfn + i) << PageGeometry.PageShift, PageGeometry.PageSize).Contains(Marker))
            {
                return true;
            }
        }

        return false;
    }

    private static void Fill(Cpu cpu, VirtualAddress at, int bytes)
    {
        for (int i = 0; i < bytes; i++)
        {
            cpu.Write(at + i, Marker);
        }
    }
}
