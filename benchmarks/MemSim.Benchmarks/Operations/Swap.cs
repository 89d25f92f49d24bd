using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;
using MemSim.Reclaim;

namespace MemSim.Benchmarks.Operations;

/// <summary>A page of a process goes to swap and comes back: reclaim with unmapping and the copy to the device, then the fault with the copy back.</summary>
internal static class SwapOperations
{
    private const int PagesPerTurn = 1024;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "swap_out_in_4k", _ => OutAndIn(BlockDeviceCosts.SolidState)),
        new("MemSim", "swap_out_in_4k_zram", _ => OutAndIn(BlockDeviceCosts.Memory)),
    ];

    private static Workload OutAndIn(BlockDeviceCosts costs)
    {
        Swapper swapper = new(costs);
        return new Workload(swapper.Run, PagesPerTurn, swapper) { Remark = () => $"{swapper.MajorShare:0.00} major faults a page" };
    }

    private sealed class Swapper : IDisposable
    {
        private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M"));
        private readonly ScanControl _control = new();
        private readonly Process _process;
        private readonly BlockDevice _device;
        private readonly Cpu _cpu;
        private readonly VirtualAddress _data;
        private long _pages;

        public Swapper(BlockDeviceCosts costs)
        {
            // Small enough that all of its host memory is touched in the first rounds.
            _device = new BlockDevice("swap", "16M", costs);
            if (!_machine.Swap.SwapOn(_device).Succeeded)
            {
                throw new InvalidOperationException("swapon failed");
            }

            _cpu = _machine.Cpus[0];
            _process = _machine.CreateProcess("bench");
            _ = _cpu.Run(_process);
            _data = _process.Mm.Mmap(PagesPerTurn << PageGeometry.PageShift, Prot.Read | Prot.Write);
            Touch();
        }

        public double MajorShare => (double)_process.MajorFaults / Math.Max(_pages, 1);

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Run(int turns)
        {
            for (int i = 0; i < turns; i++)
            {
                _machine.Lru.Drain(_cpu);
                if (_process.Mm.Madvise(_data, PagesPerTurn << PageGeometry.PageShift, MemoryAdvice.Cold) != Errno.None)
                {
                    throw new InvalidOperationException("madvise failed");
                }

                _machine.Lru.Drain(_cpu);
                _control.Start(Gfp.Kernel, 0, _machine.Architecture.ZoneTypes.Count - 1, PagesPerTurn, isKswapd: false);
                _control.Priority = 0;
                _machine.Reclaim.Vmscan.ShrinkNode(_cpu, _machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]), _control);
                if (_process.Mm.SwapEntries < PagesPerTurn)
                {
                    throw new InvalidOperationException($"{_process.Mm.SwapEntries} of {PagesPerTurn} pages went to swap");
                }

                Touch();
                _pages += PagesPerTurn;
            }
        }

        public void Dispose()
        {
            _machine.Dispose();
            _device.Dispose();
        }

        private void Touch()
        {
            for (int i = 0; i < PagesPerTurn; i++)
            {
                _cpu.Write(_data + (i << PageGeometry.PageShift), i);
            }
        }
    }
}
