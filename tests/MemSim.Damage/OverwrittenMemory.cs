using System.Globalization;
using MemSim.Hardware;
using MemSim.Observability;
using MemSim.Swap;

namespace MemSim.Damage;

/// <summary>What a run of <see cref="OverwrittenMemory"/> did.</summary>
internal sealed class DamageTally
{
    public long Cases { get; set; }

    public long Machines { get; set; }

    /// <summary>Times the kernel said that it found its data overwritten.</summary>
    public long Reported { get; set; }

    /// <summary>Machines whose <see cref="Machine.Verify"/> named the damage.</summary>
    public long Named { get; set; }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Cases} cases on {Machines} machines, {Reported} reports of damage, {Named} named by Verify");
}

/// <summary>Writes at random into page tables and other memory of a machine, as a stray pointer or a device might, and makes all calls afterwards.</summary>
/// <remarks>Only the kernel's own answers are allowed: an error number, a signal, an oops, a report. The page allocator must stay consistent through all of it.</remarks>
internal static class OverwrittenMemory
{
    /// <summary>Runs cases on one machine.</summary>
    /// <returns>What went wrong; null when nothing did.</returns>
    public static string? Run(Architecture architecture, ulong seed, int cases, DamageTally tally)
    {
        using Rig rig = new(architecture, seed);
        tally.Machines++;
        for (int i = 0; i < cases; i++)
        {
            tally.Cases++;
            string? wrong = rig.Case();
            if (wrong is not null)
            {
                return $"case {i}: {wrong}";
            }
        }

        string? atEnd = rig.Finish(out bool named);
        tally.Reported += rig.Machine.Bugs.DamageFound;
        tally.Named += named ? 1 : 0;
        return atEnd;
    }

    private sealed class Rig : IDisposable
    {
        private const ulong MiB = 1 << 20;
        private static readonly MemoryAdvice[] Advices =
        [
            MemoryAdvice.DontNeed, MemoryAdvice.Free, MemoryAdvice.Cold, MemoryAdvice.PageOut, MemoryAdvice.WillNeed, MemoryAdvice.PopulateRead, MemoryAdvice.PopulateWrite,
            MemoryAdvice.HugePage, MemoryAdvice.NoHugePage, MemoryAdvice.WipeOnFork,
        ];

        private readonly Cpu _cpu;
        private readonly OpenFile _file;
        private readonly List<Process> _processes = [];
        private readonly List<long> _tables = [];
        private readonly List<VirtualAddress> _objects = [];
        private SwapArea? _swap;
        private ulong _random;

        public Rig(Architecture architecture, ulong seed)
        {
            _random = (seed * 0x9e37_79b9_7f4a_7c15) | 1;
            string huge = (seed >> 2) % 2 == 0 ? "always" : "never";
            Machine = Machine.Boot(MachineSpec.Preset(architecture, "96M", 1).WithCommandLine($"transparent_hugepage={huge} hugepages=4"));
            _cpu = Machine.Cpus[0];
            _swap = Machine.Swap.SwapOn(new MemorySwapBacking("swap", 2048));
            _file = Machine.Files.Mount(new BlockDevice("sda", "8M")).Create("file").Value;
            _ = _cpu.Files.Write(_file, 0, new byte[256 << 10]);
            for (int i = 0; i < 2; i++)
            {
                Start();
            }
        }

        public Machine Machine { get; }

        public void Dispose() => Machine.Dispose();

        public string? Case()
        {
            int what = -1;
            try
            {
                Overwrite();
                what = Next(26);
                Call(what);
            }
            catch (Exception e) when (e is KernelBugException or PageFaultException or SignalException)
            {
                // The kernel's own words.
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                return $"call {what}: {e}";
            }

            return null;
        }

        /// <summary>Ends everything and looks at the page allocator, which must be whole.</summary>
        public string? Finish(out bool named)
        {
            named = false;
            try
            {
                try
                {
                    Machine.Verify();
                }
                catch (KernelBugException e) when (e.Kind == KernelBugKind.Corruption)
                {
                    named = true;
                }

                while (_processes.Count != 0)
                {
                    try
                    {
                        Leave(_processes.Count - 1);
                    }
                    catch (Exception e) when (e is KernelBugException or PageFaultException)
                    {
                    }
                }

                new StateVerifier(Machine).Verify();
                return null;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                return $"at the end: {e}";
            }
        }

        private void Start()
        {
            Process process = Machine.CreateProcess("victim");
            _processes.Add(process);
            MemoryDescriptor mm = process.Mm;
            const Prot both = Prot.Read | Prot.Write;
            _ = mm.Mmap((long)(4 * MiB), both);
            _ = mm.Mmap(default, 128 << 10, both, MapFlags.Shared, _file);
            _ = mm.Mmap(default, (long)(4 * MiB), both, MapFlags.Private | MapFlags.Anonymous | MapFlags.HugeTlb);
            _ = mm.Mmap(default, 128 << 10, both, MapFlags.Private, _file);
            foreach (Vma vma in mm.Areas.ToList())
            {
                Touch(process, vma, 24);
            }
        }

        private void Touch(Process process, Vma vma, int pages)
        {
            using ContextScope run = _cpu.Run(process);
            for (int i = 0; i < pages && i < vma.Pages; i++)
            {
                VirtualAddress at = vma.Start + ((long)i << 12);
                if ((vma.Flags & VmaFlags.Write) != 0)
                {
                    _cpu.Write(at, i);
                }
                else if ((vma.Flags & VmaFlags.Read) != 0)
                {
                    _ = _cpu.Read<int>(at);
                }
            }
        }

        /// <summary>Writes one word into a page table, now and then anywhere.</summary>
        private void Overwrite()
        {
            PhysicalMemory memory = Machine.Ram;
            bool wide = Machine.Architecture.Architecture != Architecture.X86_32;
            int bytes = wide ? 8 : 4;
            if (Next(16) == 0)
            {
                memory.Write(Next(memory.Bytes >> 3) << 3, NextWord());
                return;
            }

            FindTables();
            ulong table = (ulong)_tables[Next(_tables.Count)] << 12;
            ulong slot = table + ((ulong)Next(4096 / bytes) * (ulong)bytes);
            for (int i = 0; i < 64 && Read(memory, slot, wide) == 0; i++)
            {
                slot = table + ((ulong)Next(4096 / bytes) * (ulong)bytes);
            }

            ulong before = Read(memory, slot, wide);
            ulong after = Next(9) switch
            {
                0 => NextWord(),
                1 => before ^ (1UL << Next(bytes * 8)),
                2 => Read(memory, ((ulong)_tables[Next(_tables.Count)] << 12) + ((ulong)Next(4096 / bytes) * (ulong)bytes), wide),
                3 => (before & 0xfff) | (Next(memory.Bytes >> 12) << 12),
                4 => (before & 0xfff) | (((memory.Bytes >> 12) + (ulong)Next(1 << 20)) << 12),
                5 => (before & 0xfff) | ((ulong)_tables[Next(_tables.Count)] << 12),
                6 => Machine.Mm!.Layout.MakeSwapEntry(Next(32), Next(1 << Next(30))),
                7 => before ^ (1 << 7),
                _ => 0,
            };
            if (wide)
            {
                memory.Write(slot, after);
            }
            else
            {
                memory.Write(slot, (uint)after);
            }
        }

        private static ulong Read(PhysicalMemory memory, ulong slot, bool wide) => wide ? memory.Read<ulong>(slot) : memory.Read<uint>(slot);

        private void FindTables()
        {
            _tables.Clear();
            foreach (Process process in _processes)
            {
                process.MmOrNull?.Tables.VisitTables(AddTable);
            }

            if (_tables.Count == 0 || Next(20) == 0)
            {
                Machine.Mmu.Kernel.VisitTables(AddTable);
            }
        }

        private void AddTable(long pfn)
        {
            if ((ulong)pfn < Machine.Ram.Bytes >> 12)
            {
                _tables.Add(pfn);
            }
        }

        private void Call(int what)
        {
            if (_processes.Count == 0)
            {
                Start();
            }

            int index = Next(_processes.Count);
            Process process = _processes[index];
            if (process.MmOrNull is not { } mm)
            {
                Leave(index);
                return;
            }

            List<Vma> areas = [.. mm.Areas];
            Vma? vma = areas.Count == 0 ? null : areas[Next(areas.Count)];
            VirtualAddress at = vma is null ? default : vma.Start + (Next((int)Math.Min(vma.Pages, 1 << 20)) * 4096L);
            ulong length = (ulong)(1 + Next(64)) << 12;
            switch (what)
            {
                case 0 or 1 or 2 or 3:
                    using (_cpu.Run(process))
                    {
                        _cpu.Write(at, 7);
                    }

                    break;
                case 4 or 5:
                    using (_cpu.Run(process))
                    {
                        _ = _cpu.Read<long>(at + Next(4088));
                    }

                    break;
                case 6:
                    _ = mm.Mmap((long)length * (Next(8) == 0 ? 32 : 1), Prot.Read | Prot.Write);
                    break;
                case 7:
                    _ = mm.Munmap(at, (long)length);
                    break;
                case 8 or 9:
                    _ = mm.Mprotect(at, (long)length, (Prot)Next(8));
                    break;
                case 10:
                    _ = mm.Mremap(at, (long)length, (long)((ulong)(1 + Next(64)) << 12), Next(3) == 0 ? RemapFlags.MayMove | RemapFlags.DontUnmap : RemapFlags.MayMove);
                    break;
                case 11 or 12 or 13:
                    _ = mm.Madvise(at, (long)length, Advices[Next(Advices.Length)]);
                    break;
                case 14:
                    _ = Next(2) == 0 ? mm.Mlock(at, (long)length) : mm.Munlock(at, (long)length);
                    break;
                case 15:
                    if (_processes.Count < 4 && process.Fork() is { Error: Errno.None } child)
                    {
                        _processes.Add(child.Value);
                    }

                    break;
                case 16:
                    Leave(index);
                    break;
                case 17:
                    _ = process.Smaps.Length + process.Maps.Length + process.SmapsRollup.Length + process.Status.Length;
                    break;
                case 18:
                    _ = process.PageMap(at, 16);
                    break;
                case 19:
                    Swap();
                    break;
                case 20:
                    Span<VirtualAddress> pages = [at, at + 4096];
                    Span<int> status = stackalloc int[2];
                    _ = process.QueryPages(pages, status);
                    _ = process.MovePages(_cpu, pages, [0, 0], status);
                    break;
                case 21:
                    if (Next(20) == 0)
                    {
                        Press();
                    }

                    break;
                case 22:
                    Machine.HugePages.Khugepaged.Run(_cpu);
                    break;
                case 23:
                    Kernel();
                    break;
                case 24:
                    _ = mm.Msync(at, (long)length, SyncFlags.Sync);
                    _ = _cpu.Files.Fsync(_file);
                    break;
                default:
                    if (Next(20) == 0)
                    {
                        Machine.Verify();
                    }

                    break;
            }
        }

        private void Leave(int index)
        {
            Process process = _processes[index];
            _processes.RemoveAt(index);
            if (process.State == ProcessState.Running)
            {
                process.Exit(0, _cpu);
            }
        }

        private void Swap()
        {
            if (_swap is null)
            {
                _swap = Machine.Swap.SwapOn(new MemorySwapBacking("swap", 2048));
            }
            else if (Machine.Swap.SwapOff(_cpu, _swap) == Errno.None)
            {
                _swap = null;
            }
        }

        /// <summary>Takes all memory, so that reclaim has to find some, and gives it back.</summary>
        private void Press()
        {
            List<Page> pages = [];
            try
            {
                for (int i = 0; i < 20_000 && _cpu.AllocPage(Gfp.HighUserMovable | Gfp.NoWarn | Gfp.NoRetry) is { IsNull: false } page; i++)
                {
                    pages.Add(page);
                }
            }
            finally
            {
                foreach (Page page in pages)
                {
                    _cpu.FreePages(page, 0);
                }
            }
        }

        private void Kernel()
        {
            if (_objects.Count > 16)
            {
                VirtualAddress old = _objects[0];
                _objects.RemoveAt(0);
                _cpu.Vfree(old);
            }
            else if (_cpu.Vmalloc(5 << 12) is { IsNull: false } made)
            {
                _objects.Add(made);
                _cpu.Write(made, 1);
            }
        }

        private ulong NextWord()
        {
            _random ^= _random << 13;
            _random ^= _random >> 7;
            _random ^= _random << 17;
            return _random;
        }

        private int Next(int below) => (int)((NextWord() >> 20) % (uint)below);

        private ulong Next(ulong below) => (NextWord() >> 8) % below;
    }
}
