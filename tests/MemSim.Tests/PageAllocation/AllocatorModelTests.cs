using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary>Random operations against a model that is obviously right: a set of frames in use.</summary>
public class AllocatorModelTests : MachineTests
{
    private static readonly Gfp[] Requests =
    [
        Gfp.Kernel, Gfp.HighUserMovable, Gfp.Atomic, Gfp.NoWait | Gfp.Reclaimable, Gfp.Kernel | Gfp.Dma32, Gfp.Kernel | Gfp.Comp, Gfp.User | Gfp.Movable, Gfp.NoWait | Gfp.Dma,
    ];

    [Fact]
    public void Any_short_sequence_of_operations_agrees_with_the_model()
    {
        // Shrinking finds the shortest sequence that fails.
        Gen<int[]> sequences = Gen.Choose(0, int.MaxValue).ArrayOf();
        Prop.ForAll(sequences.ToArbitrary(), sequence =>
        {
            using Machine machine = SmallMachine(parallel: false, cpus: 2).Build();
            Model model = new(machine);
            string start = FreeBlocksOf(machine);
            foreach (int step in sequence)
            {
                model.Step((uint)step * 2654435761u);
            }

            model.VerifyAll();
            model.FreeEverything();
            return FreeBlocksOf(machine) == start;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60).WithEndSize(120));
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(88172645u)]
    public void Two_million_operations_agree_with_the_model_and_everything_merges_back(uint seed)
    {
        const int operations = 1_000_000;
        Machine machine = Boot(SmallMachine(parallel: false, cpus: 2));
        string start = FreeBlocksOf(machine);
        Model model = new(machine);
        uint random = seed;
        for (int i = 0; i < operations; i++)
        {
            random = Next(random);
            model.Step(random);
            if (i % 200_000 == 0)
            {
                model.VerifyAll();
            }
        }

        model.FreeEverything();
        FreeBlocksOf(machine).Should().Be(start, $"seed {seed}");
        model.Failures.Should().BePositive("the machine ran out of memory now and then, or the test was too tame");
    }

    [Fact]
    public void The_same_calls_give_the_same_frames_on_every_machine()
    {
        static List<long> Frames()
        {
            using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
            Model model = new(machine) { Record = [] };
            uint random = 4711;
            for (int i = 0; i < 20_000; i++)
            {
                random = Next(random);
                model.Step(random);
            }

            machine.Verify();
            return model.Record;
        }

        Frames().Should().Equal(Frames());
    }

    [Fact]
    public void Hostile_arguments_never_do_more_than_throw_what_is_documented()
    {
        Machine machine = Boot(MachineSpec.X86_32("1G", cpus: 2));
        Machine other = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        List<(Page Page, int Order)> mine = [.. Enumerable.Range(0, 200).Select(i => (cpu.AllocPages(Gfp.Kernel, i % 5), i % 5))];
        HashSet<Page> live = [.. mine.Select(m => m.Page)];
        uint random = 99;
        uint Random() => random = Next(random);
        for (int i = 0; i < 100_000; i++)
        {
            int order = (Random() % 4) switch { 0 => (int)Random(), 1 => (int)(Random() % 14) - 2, _ => (int)(Random() % 11) };
            machine.TryGetPage(new Pfn(Random() % 300_000), out Page page);
            page = Random() % 20 == 0 ? other.GetPage(new Pfn(2000 + (Random() % 1000))) : page;
            VirtualAddress address = new((Random() % 3) switch { 0 => Random() | ((ulong)Random() << 32), 1 => 0xc000_0000ul + (Random() % 0x4000_0000), _ => Random() });
            Gfp gfp = (Gfp)Random() & ~Gfp.NoFail;
            try
            {
                switch (Random() % 9)
                {
                    case 0:
                        Forget(machine, live, page, order);
                        cpu.FreePages(page, order);
                        break;
                    case 1:
                        if (machine.TryGetPage(address, out Page at))
                        {
                            Forget(machine, live, at, order);
                        }

                        cpu.FreePages(address, order);
                        break;
                    case 2:
                        Page got = cpu.AllocPages(gfp, order);
                        if (!got.IsNull)
                        {
                            cpu.FreePages(got, order);
                        }

                        break;
                    case 3:
                        cpu.Pages.GetPage(page);
                        cpu.Pages.PutPage(page);
                        break;
                    case 4:
                        cpu.Pages.FreePagesBulk([page, page]);
                        break;
                    case 5:
                        _ = page.IsNull ? 0 : page.Count + page.Order + page.MapCount + (int)page.Flags + page.CompoundOrder + (page.Lru.Next.IsNull ? 1 : 0);
                        break;
                    case 6:
                        VirtualAddress exact = cpu.Pages.AllocPagesExact((long)Random() * (int)Random(), gfp);
                        exact.IsNull.Should().BeTrue("no such size fits");
                        break;
                    case 7:
                        cpu.Pages.FreePagesExact(address, -(long)Random());
                        break;
                    default:
                        _ = cpu.Pages.AllocPagesNode((int)Random(), gfp, order);
                        break;
                }
            }
            catch (Exception e) when (e is KernelBugException { Kind: not KernelBugKind.Corruption } or ArgumentException)
            {
            }
        }

        machine.Verify();
    }

    private static void Forget(Machine machine, HashSet<Page> live, Page page, int order)
    {
        // A lucky hit on a real block is a good free.
        if (machine.Frames.MayFree(page, order))
        {
            live.Remove(page);
        }
    }

    internal static MachineBuilder SmallMachine(bool parallel, int cpus)
    {
        MachineBuilder builder = TestMachines.With()
            .Zone(ZoneType.Dma, 2048).LowmemReserve(1, 20).LowmemReserve(2, 60).FreeBlocks(10, 1)
            .Zone(ZoneType.Dma32, 8192).LowmemReserve(2, 30).FreeBlocks(10, 4, MigrateType.Movable).FreeBlocks(10, 1, MigrateType.Unmovable)
            .Zone(ZoneType.Normal, 16384).FreeBlocks(10, 10, MigrateType.Movable).FreeBlocks(9, 3, MigrateType.Reclaimable).FreeBlocks(4, 20, MigrateType.Unmovable)
            .Watermarks(60, 80, 100).Pcp(high: 90, batch: 15).StatThreshold(12).CpusOnNodes([.. Enumerable.Repeat(0, cpus)]);
        return parallel ? builder.ParallelCpus() : builder;
    }

    /// <summary>Free blocks of each zone. Page blocks reserved for atomic requests merge with no others, so that two whole page blocks stand for one block of order 10 where there are such.</summary>
    internal static string FreeBlocksOf(Machine machine) => string.Join(" | ", machine.Zones.Where(z => z.IsPopulated).Select(z =>
    {
        string small = string.Join(' ', Enumerable.Range(0, 9).Where(o => z.FreeBlocks(o) != 0).Select(o => $"{o}:{z.FreeBlocks(o)}"));
        (z.ReservedHighAtomicPages != 0 || z.FreeBlocks(9) <= 3).Should().BeTrue("without such a reserve all but the three single page blocks merge");
        return $"{small} 9:{z.FreeBlocks(9) + (2 * z.FreeBlocks(10))}";
    }));

    internal static uint Next(uint x)
    {
        x ^= x << 13;
        x ^= x >> 17;
        return x ^ (x << 5);
    }

    /// <summary>Frames in use, and who holds them.</summary>
    private sealed class Model(Machine machine)
    {
        private readonly List<(Page Page, int Order)> _live = [];
        private readonly bool[] _used = new bool[machine.Frames.Count];
        private readonly long _free = FreePagesOf(machine);
        private long _usedPages;

        public int Failures { get; private set; }

        public List<long>? Record { get; init; }

        public void Step(uint random)
        {
            Cpu cpu = machine.Cpus[(int)(random >> 3) % machine.Cpus.Count];
            uint what = (random >> 8) % 64;
            if (what == 0)
            {
                cpu.Pages.DrainLocalPages();
            }
            else if (what == 1)
            {
                Bulk(cpu, random);
            }
            else if (_live.Count == 0 || (what & 1) == 0)
            {
                Alloc(cpu, Requests[(random >> 20) % Requests.Length] | Gfp.NoWarn, Math.Min(10, System.Numerics.BitOperations.TrailingZeroCount(random >> 14 | 1 << 12)));
            }
            else
            {
                Free(cpu, (int)(random >> 4) % _live.Count);
            }
        }

        public void VerifyAll()
        {
            machine.Verify();
            FreePagesOf(machine).Should().Be(_free - _usedPages, "no page is lost or gained");
        }

        public void FreeEverything()
        {
            while (_live.Count != 0)
            {
                Free(machine.Cpus[_live.Count % machine.Cpus.Count], _live.Count - 1);
            }

            machine.Memory.DrainAllPages();
            VerifyAll();
        }

        private static long FreePagesOf(Machine machine) => machine.Zones.Sum(z => z.TrueFreePages + z.Pcp.Sum(p => p.Count));

        private void Alloc(Cpu cpu, Gfp gfp, int order)
        {
            Page page = cpu.AllocPages(gfp, order);
            Record?.Add(page.IsNull ? -1 : page.Pfn.Value);
            if (page.IsNull)
            {
                Failures++;
                return;
            }

            Take(page, order);
            Check(page.Order == order && page.Count == 1, page, "order or count is wrong");
            Check(page.Zone.Index <= GfpZones.HighestZoneIndex(gfp, machine.Architecture), page, "lies in a zone the request may not use");
            Check(page.IsHead == ((gfp & Gfp.Comp) != 0 && order > 0), page, "is a head or not");
        }

        private void Bulk(Cpu cpu, uint random)
        {
            Page[] pages = new Page[(random >> 16) % 40];
            int got = cpu.Pages.AllocPagesBulk(Requests[(random >> 21) % Requests.Length] | Gfp.NoWarn, pages);
            for (int i = 0; i < pages.Length; i++)
            {
                Check(pages[i].IsNull == i >= got, pages[i], "bulk filled another number than it said");
                if (!pages[i].IsNull)
                {
                    Take(pages[i], 0);
                }
            }
        }

        private void Take(Page page, int order)
        {
            long pfn = page.Pfn.Value;
            Check((pfn & ((1L << order) - 1)) == 0, page, "is misaligned");
            for (long i = pfn; i < pfn + (1L << order); i++)
            {
                Check(!_used[i], page, "overlaps a block in use");
                _used[i] = true;
            }

            _usedPages += 1L << order;
            _live.Add((page, order));
        }

        private void Free(Cpu cpu, int index)
        {
            (Page page, int order) = _live[index];
            _live[index] = _live[^1];
            _live.RemoveAt(_live.Count - 1);
            cpu.FreePages(page, order);
            Array.Clear(_used, (int)page.Pfn.Value, 1 << order);
            _usedPages -= 1L << order;
        }

        private static void Check(bool good, Page page, string what)
        {
            if (!good)
            {
                throw new InvalidOperationException($"{page} {what}");
            }
        }
    }
}
