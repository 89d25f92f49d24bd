using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Migration;

/// <summary>Everything that moves pages, in random order: no page's contents may be lost or mixed up, and the allocator must stay consistent.</summary>
public class MovingPagesPropertyTests : MachineTests
{
    [Fact]
    public void Any_short_sequence_keeps_contents_and_lists_in_order()
    {
        Gen<int[]> sequences = Gen.Choose(0, int.MaxValue).ArrayOf();
        Prop.ForAll(sequences.ToArbitrary(), sequence =>
        {
            using Machine machine = Machine.Boot(Spec);
            World world = new(machine, 1);
            world.Fill(2000);
            foreach (int step in sequence)
            {
                world.Step((uint)step * 2654435761u);
            }

            world.Check();
            return true;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(12).WithEndSize(60));
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(4711u)]
    public void A_long_run_in_full_memory_ends_with_all_memory_free(uint seed)
    {
        Machine machine = Boot(Spec);
        World world = new(machine, seed);
        world.Fill(int.MaxValue);
        uint random = seed;
        for (int i = 0; i < 20_000; i++)
        {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            world.Step(random);
            if (i % 4000 == 0)
            {
                world.Check();
            }
        }

        world.Check();
        world.Moves.Should().BeGreaterThan(10_000, "seed {0}", seed);
        world.CmaSuccesses.Should().BePositive();
        world.Ranges.Should().BePositive();
        world.FreeEverything();
        machine.Memory.DrainAllPages();
        machine.Zones.Sum(zone => zone.TrueFreePages).Should().Be(world.FreeAtStart);
        machine.Cma.Areas.Should().OnlyContain(area => area.UsedPages == 0);
        machine.Verify();
    }

    private static MachineSpec Spec => MachineSpec.X86_64("96M", cpus: 2).WithCma("a", ByteSize.FromMiB(16)).WithCma("b", ByteSize.FromMiB(4));

    private sealed class World
    {
        private readonly Machine _machine;
        private readonly MovablePool _pool;
        private readonly List<int> _movable = [];
        private readonly List<(Page Page, int Order)> _fixed = [];
        private readonly List<(CmaArea? Area, Page First, long Pages)> _contiguous = [];
        private readonly Random _random;

        public World(Machine machine, uint seed)
        {
            _machine = machine;
            machine.Reclaim.Policy = new OnlyCompaction(machine);
            machine.Memory.DrainAllPages();
            FreeAtStart = machine.Zones.Sum(zone => zone.TrueFreePages);
            _pool = machine.Migration.CreateMovablePool();
            _random = new Random((int)seed);
        }

        public long FreeAtStart { get; }

        public long Moves => _pool.Moves;

        public int CmaSuccesses { get; private set; }

        public int Ranges { get; private set; }

        public void Fill(int most)
        {
            for (int i = 0; i < most && Allocate(_machine.Cpus[i & 1], Gfp.HighUser & ~Gfp.Reclaim); i++)
            {
            }

            for (int i = _movable.Count / 3; i > 0; i--)
            {
                Free(_machine.Cpus[0]);
            }
        }

        public void Step(uint random)
        {
            Cpu cpu = _machine.Cpus[(int)(random >> 31)];
            switch (random % 64)
            {
                case < 20:
                    Allocate(cpu, Gfp.HighUser);
                    break;
                case < 40:
                    Free(cpu);
                    break;
                case < 46:
                    int order = _random.Next(0, 4) == 0 ? 0 : _random.Next(0, 10);
                    Page page = cpu.AllocPages((_random.Next(8) == 0 ? Gfp.Kernel : Gfp.HighUser | Gfp.Movable) | Gfp.NoWarn | Gfp.NoRetry, order);
                    if (!page.IsNull)
                    {
                        _fixed.Add((page, order));
                    }

                    break;
                case < 56:
                    if (_fixed.Count != 0)
                    {
                        int at = _random.Next(_fixed.Count);
                        cpu.FreePages(_fixed[at].Page, _fixed[at].Order);
                        _fixed.RemoveAt(at);
                    }

                    break;
                case < 59:
                    CmaArea area = _machine.Cma.Areas[_random.Next(2)];
                    long pages = 1L << _random.Next(0, 9);
                    Page first = _machine.Cma.Alloc(cpu, area, pages, _random.Next(0, 6));
                    if (!first.IsNull)
                    {
                        CmaSuccesses++;
                        _contiguous.Add((area, first, pages));
                    }

                    break;
                case < 61:
                    Zone zone = _machine.Zones[1];
                    long start = zone.StartPfn.Value + _random.NextInt64(zone.SpannedPages - 300);
                    long length = _random.Next(1, 300);
                    if (_machine.Cma.AllocContigRange(cpu, new Pfn(start), length))
                    {
                        Ranges++;
                        _contiguous.Add((null, _machine.GetPage(new Pfn(start)), length));
                    }

                    break;
                case < 63:
                    if (_contiguous.Count != 0)
                    {
                        Release(cpu, _random.Next(_contiguous.Count));
                    }

                    break;
                default:
                    if (_random.Next(8) == 0)
                    {
                        _machine.Compaction.CompactMemory();
                    }

                    break;
            }
        }

        public void Check()
        {
            foreach (int number in _movable)
            {
                _pool.IsIntact(_machine.Cpus[0], number).Should().BeTrue("page {0} at {1}", number, _pool[number].Pfn);
            }

            _machine.Verify();
        }

        public void FreeEverything()
        {
            Cpu cpu = _machine.Cpus[0];
            _pool.FreeAll(cpu);
            _fixed.ForEach(block => cpu.FreePages(block.Page, block.Order));
            while (_contiguous.Count != 0)
            {
                Release(cpu, 0);
            }
        }

        private bool Allocate(Cpu cpu, Gfp gfp)
        {
            int number = _pool.Allocate(cpu, gfp | Gfp.NoWarn | Gfp.NoRetry);
            if (number >= 0)
            {
                _pool.Stamp(cpu, number);
                _movable.Add(number);
            }

            return number >= 0;
        }

        private void Free(Cpu cpu)
        {
            if (_movable.Count != 0)
            {
                int at = _random.Next(_movable.Count);
                _pool.Free(cpu, _movable[at]);
                _movable[at] = _movable[^1];
                _movable.RemoveAt(_movable.Count - 1);
            }
        }

        private void Release(Cpu cpu, int at)
        {
            (CmaArea? area, Page first, long pages) = _contiguous[at];
            if (area is null)
            {
                _machine.Cma.FreeContigRange(cpu, first, pages);
            }
            else
            {
                _machine.Cma.Free(cpu, area, first, pages).Should().BeTrue();
            }

            _contiguous.RemoveAt(at);
        }
    }
}
