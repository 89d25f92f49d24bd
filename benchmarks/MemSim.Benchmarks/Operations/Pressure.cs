using System.Globalization;
using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;
using MemSim.Reclaim;

namespace MemSim.Benchmarks.Operations;

/// <summary>Reclaim of whole gigabytes through the real page cache and the real swap, and what a page costs once memory is full.</summary>
/// <remarks>The figures of <c>reclaim_*</c> are nanoseconds a page and include bringing the pages in; the remark says what reclaim alone takes, and how that compares with an order-0 pair at the same time.</remarks>
internal static class Pressure
{
    private const int GigabytePages = 1 << (30 - PageGeometry.PageShift);

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "reclaim_clean_64m", _ => Prepare(new CleanCache(GigabytePages / 16))),
        new("MemSim", "reclaim_clean_1g", _ => Prepare(new CleanCache(GigabytePages))),
        new("MemSim", "reclaim_anon_1g", _ => Prepare(new AnonymousMemory())),
        new("MemSim", "alloc_at_low_watermark", _ => FullMachine()),
    ];

    private static Workload Prepare(Reclaimed state) => new(state.Run, state.Pages, state) { Remark = () => state.Remark };

    /// <summary>A file larger than memory is read on and on: each page that comes in makes another one go.</summary>
    private static Workload FullMachine()
    {
        CleanCache cache = new(GigabytePages);
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
        /// <summary>Pages reclaimed for each pair measured.</summary>
        private const int PagesAPair = 10;

        private readonly ScanControl _control = new();
        private double _best = double.MaxValue;
        private double _pair = double.MaxValue;

        protected Reclaimed(MachineSpec spec, int pages)
        {
            Pages = pages;
            Machine = Machine.Boot(spec);
            Cpu = Machine.Cpus[0];
        }

        public Machine Machine { get; }

        /// <summary>Pages brought in and reclaimed at a time.</summary>
        public int Pages { get; }

        public string Remark => string.Create(
            CultureInfo.InvariantCulture, $"reclaim alone {_best:F1} ns a page, {_best / _pair:F1} times an order-0 pair ({_pair:F1} ns, measured in between)");

        protected Cpu Cpu { get; }

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Run(int turns)
        {
            for (int i = 0; i < turns; i++)
            {
                Fill();
                Machine.Lru.Drain(Cpu);
                double start = ThreadClock.Milliseconds;
                long reclaimed = 0;
                for (int round = 0; round < 8 && reclaimed < Pages; round++)
                {
                    _control.Start(Gfp.Kernel, 0, Machine.Architecture.ZoneTypes.Count - 1, Pages - reclaimed, isKswapd: false);
                    _control.Priority = 0;
                    _control.ForceDeactivate = true;
                    Machine.Reclaim.Vmscan.ShrinkNode(Cpu, Machine.Reclaim.Vmscan.StateOf(Machine.Nodes[0]), _control);
                    reclaimed += _control.Reclaimed;
                }

                double end = ThreadClock.Milliseconds;
                _best = Math.Min(_best, (end - start) * 1e6 / Pages);
                if (reclaimed < Pages * 99L / 100)
                {
                    throw new InvalidOperationException($"{reclaimed} of {Pages} pages were reclaimed");
                }

                int pairs = Pages / PagesAPair;
                Pair(pairs);
                _pair = Math.Min(_pair, (ThreadClock.Milliseconds - end) * 1e6 / pairs);
            }
        }

        /// <summary>Allocates and frees a page again and again: a tenth of the pages, so that the figure above hardly changes.</summary>
        [MethodImpl(MethodImplOptions.NoInlining)]
        private void Pair(int turns)
        {
            for (int i = 0; i < turns; i++)
            {
                Cpu.FreePages(Cpu.AllocPages(Gfp.Kernel));
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

        public CleanCache(int pages)
            : base(MachineSpec.X86_64("1500M").WithoutContents(), pages)
        {
            // A hole: what is read of it is zeroes, and the disk has nothing to do.
            _file = Machine.Files.Mount(_disk).Create("large").Value;
            if (Cpu.Files.Truncate(_file, FilePages << PageGeometry.PageShift) != Errno.None)
            {
                throw new InvalidOperationException("truncate failed");
            }
        }

        public void Read(long page) => _ = Cpu.Files.Read(_file, page << PageGeometry.PageShift, _buffer);

        public override void Dispose()
        {
            base.Dispose();
            _disk.Dispose();
        }

        protected override void Fill()
        {
            for (long page = 0; page < Pages; page++)
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
            : base(MachineSpec.X86_64("1500M"), GigabytePages)
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
