using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;
using MemSim.Reclaim;

namespace MemSim.Benchmarks.Operations;

/// <summary>Reclaim of whole gigabytes through the real page cache and the real swap, and what a page costs once memory is full.</summary>
/// <remarks>The figures of <c>reclaim_*_1g</c> are nanoseconds a page and include bringing the pages in; the remark says what reclaim alone takes.</remarks>
internal static class Pressure
{
    private const int GigabytePages = 1 << (30 - PageGeometry.PageShift);

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "reclaim_clean_1g", _ => Prepare(new CleanCache())),
        new("MemSim", "reclaim_anon_1g", _ => Prepare(new AnonymousMemory())),
        new("MemSim", "alloc_at_low_watermark", _ => FullMachine()),
    ];

    private static Workload Prepare(Reclaimed state) => new(state.Run, GigabytePages, state) { Remark = () => state.Remark };

    /// <summary>A file larger than memory is read on and on: each page that comes in makes another one go.</summary>
    private static Workload FullMachine()
    {
        CleanCache cache = new();
        long page = 0;
        Step((int)(cache.Machine.Zones.Sum(z => z.ManagedPages) * 2));
        return new Workload(Step, 1, cache);

        void Step(int turns)
        {
            for (int i = 0; i < turns; i++)
            {
                cache.Read(page);
                page = page == CleanCache.FilePages - 1 ? 0 : page + 1;
            }
        }
    }

    private abstract class Reclaimed : IDisposable
    {
        private readonly ScanControl _control = new();
        private TimeSpan _best = TimeSpan.MaxValue;

        protected Reclaimed(MachineSpec spec)
        {
            Machine = Machine.Boot(spec);
            Cpu = Machine.Cpus[0];
        }

        public Machine Machine { get; }

        public string Remark => string.Create(CultureInfo.InvariantCulture, $"reclaim alone {_best.TotalNanoseconds / GigabytePages:F1} ns a page");

        protected Cpu Cpu { get; }

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Run(int turns)
        {
            for (int i = 0; i < turns; i++)
            {
                Fill();
                Machine.Lru.Drain(Cpu);
                long start = Stopwatch.GetTimestamp();
                long reclaimed = 0;
                for (int round = 0; round < 8 && reclaimed < GigabytePages; round++)
                {
                    _control.Start(Gfp.Kernel, 0, Machine.Architecture.ZoneTypes.Count - 1, GigabytePages - reclaimed, isKswapd: false);
                    _control.Priority = 0;
                    _control.ForceDeactivate = true;
                    Machine.Vmscan.ShrinkNode(Cpu, Machine.Vmscan.StateOf(Machine.Nodes[0]), _control);
                    reclaimed += _control.Reclaimed;
                }

                TimeSpan took = Stopwatch.GetElapsedTime(start);
                _best = took < _best ? took : _best;
                if (reclaimed < GigabytePages * 99 / 100)
                {
                    throw new InvalidOperationException($"{reclaimed} of {GigabytePages} pages were reclaimed");
                }
            }
        }

        public virtual void Dispose() => Machine.Dispose();

        protected abstract void Fill();
    }

    private sealed class CleanCache : Reclaimed
    {
        public const long FilePages = GigabytePages * 4L;
        private readonly BlockDevice _disk = new("sda", "1M");
        private readonly OpenFile _file;
        private readonly byte[] _buffer = new byte[8];

        public CleanCache()
            : base(MachineSpec.X86_64("1500M").WithoutContents())
        {
            // A hole: what is read of it is zeroes, and the disk has nothing to do.
            _file = Machine.Mount(_disk).Create("large").Value;
            if (Cpu.TruncateFile(_file, FilePages << PageGeometry.PageShift) != Errno.None)
            {
                throw new InvalidOperationException("truncate failed");
            }
        }

        public void Read(long page) => _ = Cpu.ReadFile(_file, page << PageGeometry.PageShift, _buffer);

        public override void Dispose()
        {
            base.Dispose();
            _disk.Dispose();
        }

        protected override void Fill()
        {
            for (long page = 0; page < GigabytePages; page++)
            {
                Read(page);
            }
        }
    }

    private sealed class AnonymousMemory : Reclaimed
    {
        private readonly BlockDevice _device = new("swap", "1100M", BlockDeviceCosts.Memory);
        private readonly Process _process;
        private readonly VirtualAddress _data;

        public AnonymousMemory()
            : base(MachineSpec.X86_64("1500M"))
        {
            if (!Machine.Swap.SwapOn(_device).Succeeded)
            {
                throw new InvalidOperationException("swapon failed");
            }

            _process = Machine.CreateProcess("bench");
            _ = Cpu.Run(_process);
            _data = _process.Mm.Mmap((long)GigabytePages << PageGeometry.PageShift, Prot.Read | Prot.Write);
        }

        public override void Dispose()
        {
            base.Dispose();
            _device.Dispose();
        }

        protected override void Fill()
        {
            for (long page = 0; page < GigabytePages; page++)
            {
                Cpu.Write(_data + (page << PageGeometry.PageShift), page);
            }
        }
    }
}
