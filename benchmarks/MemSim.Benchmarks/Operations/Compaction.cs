using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;
using MemSim.Boot;

namespace MemSim.Benchmarks.Operations;

/// <summary>Moving pages: compaction of a zone half of whose pages are in use, at random, and a contiguous area cleared of movable memory. Only page frames are simulated.</summary>
/// <remarks>The figure is nanoseconds a page of the zone or area, and includes making the condition again; the remark says what the call of interest alone takes.</remarks>
internal static class CompactionOperations
{
    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "compact_4g", _ => Prepare(new FragmentedZone(MachineSpec.FromZones(Architecture.X86_64, [OneZone("4G")]).WithoutContents()))),
        new("MemSim", "compact_1g", _ => Prepare(new FragmentedZone(MachineSpec.FromZones(Architecture.X86_64, [OneZone("1G")]).WithoutContents()))),
        new("MemSim", "cma_alloc_64m", _ =>
        {
            LentArea state = new(MachineSpec.X86_64("1G").WithCma("bench", ByteSize.FromMiB(64)).WithoutContents());
            return new Workload(state.Run, state.Pages, state) { Remark = () => state.Remark };
        }),
    ];

    private static Workload Prepare(FragmentedZone state) => new(state.Run, state.Pages, state) { Remark = () => state.Remark };

    private static BootZone OneZone(string size)
    {
        long pages = ByteSize.Parse(size).Pages;
        return new BootZone(0, ZoneType.Normal, new Pfn(1 << 20), pages, pages, pages);
    }

    private sealed class FragmentedZone : IDisposable
    {
        private readonly Machine _machine;
        private readonly Cpu _cpu;
        private readonly List<int> _numbers = [];
        private MovablePool _pool;
        private TimeSpan _best = TimeSpan.MaxValue;
        private long _moved;

        public FragmentedZone(MachineSpec spec)
        {
            _machine = Machine.Boot(spec);
            _cpu = _machine.Cpus[0];
            _pool = _machine.Migration.CreateMovablePool();
        }

        public int Pages => (int)_machine.Zones.Sum(zone => zone.ManagedPages);

        public string Remark => string.Create(CultureInfo.InvariantCulture,
            $"compaction alone {_best.TotalMilliseconds:F1} ms for {_moved} pages moved ({_best.TotalNanoseconds / Math.Max(1, _moved):F0} ns each)");

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Run(int turns)
        {
            for (int i = 0; i < turns; i++)
            {
                Fragment();
                long before = _pool.Moves;
                long start = Stopwatch.GetTimestamp();
                _machine.Compaction.CompactMemory();
                TimeSpan taken = Stopwatch.GetElapsedTime(start);
                _best = taken < _best ? taken : _best;
                _moved = _pool.Moves - before;
            }
        }

        public void Dispose() => _machine.Dispose();

        private void Fragment()
        {
            _pool.FreeAll(_cpu);
            _pool = _machine.Migration.CreateMovablePool();
            _machine.Memory.DrainAllPages();
            _numbers.Clear();
            const Gfp gfp = (Gfp.HighUser | Gfp.NoWarn) & ~Gfp.Reclaim;
            for (int number = _pool.Allocate(_cpu, gfp); number >= 0; number = _pool.Allocate(_cpu, gfp))
            {
                _numbers.Add(number);
            }

            ulong random = 88172645463325252;
            foreach (int number in _numbers)
            {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                if ((random >> 32 & 1) != 0)
                {
                    _pool.Free(_cpu, number);
                }
            }

            _machine.Memory.DrainAllPages();
        }
    }

    private sealed class LentArea : IDisposable
    {
        private readonly Machine _machine;
        private readonly Cpu _cpu;
        private readonly CmaArea _area;
        private readonly MovablePool _pool;
        private readonly List<int> _inside = [];
        private TimeSpan _best = TimeSpan.MaxValue;
        private long _moved;

        public LentArea(MachineSpec spec)
        {
            _machine = Machine.Boot(spec);
            _cpu = _machine.Cpus[0];
            _area = _machine.Cma.Areas[0];
            _pool = _machine.Migration.CreateMovablePool();
            List<int> outside = [];
            const Gfp gfp = (Gfp.HighUser | Gfp.NoWarn) & ~Gfp.Reclaim;
            for (int number = _pool.Allocate(_cpu, gfp); number >= 0; number = _pool.Allocate(_cpu, gfp))
            {
                (IsInside(number) ? _inside : outside).Add(number);
            }

            // Room for what will be moved out, and a little more.
            for (int i = 0; i < _area.Pages + 8192; i++)
            {
                _pool.Free(_cpu, outside[i * 2]);
            }

            _machine.Memory.DrainAllPages();
        }

        public int Pages => (int)_area.Pages;

        public string Remark => string.Create(CultureInfo.InvariantCulture,
            $"CmaAlloc alone {_best.TotalMilliseconds:F1} ms for {_moved} pages moved ({_best.TotalNanoseconds / Math.Max(1, _moved):F0} ns each)");

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Run(int turns)
        {
            for (int i = 0; i < turns; i++)
            {
                long before = _pool.Moves;
                long start = Stopwatch.GetTimestamp();
                Page first = _machine.Cma.Alloc(_cpu, _area, _area.Pages);
                TimeSpan taken = Stopwatch.GetElapsedTime(start);
                if (first.IsNull)
                {
                    throw new InvalidOperationException("the area could not be cleared");
                }

                _best = taken < _best ? taken : _best;
                _moved = _pool.Moves - before;
                _machine.Cma.Free(_cpu, _area, first, _area.Pages);
                _machine.Memory.DrainAllPages();
                Refill();
            }
        }

        public void Dispose() => _machine.Dispose();

        private bool IsInside(int number) => _pool[number].Pfn.Value >= _area.Start.Value && _pool[number].Pfn.Value < _area.End.Value;

        /// <summary>Fills the area again, and frees what was moved out of it.</summary>
        private void Refill()
        {
            const Gfp gfp = (Gfp.HighUser | Gfp.NoWarn) & ~Gfp.Reclaim;
            List<int> moved = [.. _inside];
            _inside.Clear();
            for (int number = _pool.Allocate(_cpu, gfp); number >= 0 && _inside.Count < _area.Pages; number = _pool.Allocate(_cpu, gfp))
            {
                (IsInside(number) ? _inside : moved).Add(number);
            }

            moved.ForEach(number => _pool.Free(_cpu, number));
            _machine.Memory.DrainAllPages();
        }
    }
}
