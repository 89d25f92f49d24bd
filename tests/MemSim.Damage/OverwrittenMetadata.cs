using MemSim.Hardware;

namespace MemSim.Damage;

/// <summary>Overwrites what the kernel keeps about pages and objects: owners' words, mappings, flags, types and counts of page frames, and every byte of slabs, free pointers among them.</summary>
/// <remarks>Only the kernel's own answers are allowed. Counts may be wrong afterwards, so nothing must be consistent at the end: the host must be.</remarks>
internal static class OverwrittenMetadata
{
    private static readonly string[] CommandLines = ["slab_allocator=slub", "slab_allocator=slab", "slab_allocator=slub slub_debug=FZPU", "slab_allocator=slub page_owner=on"];

    /// <summary>Runs cases on one machine.</summary>
    /// <returns>What went wrong; null when nothing did.</returns>
    public static string? Run(Architecture architecture, ulong seed, int cases, DamageTally tally)
    {
        using Rig rig = new(architecture, seed);
        tally.Machines++;
        for (int i = 0; i < cases; i++)
        {
            tally.Cases++;
            if (rig.Case() is { } wrong)
            {
                return $"case {i}: {wrong}";
            }
        }

        tally.Reported += rig.Refused;
        return null;
    }

    private sealed class Rig : IDisposable
    {
        private static readonly PageFlags[] Flags = [.. Enum.GetValues<PageFlags>().Where(f => System.Numerics.BitOperations.IsPow2((long)f) && (f & PageFlags.StoredMask) != 0 && f is not (PageFlags.Head or PageFlags.Reserved))];
        private static readonly PageType[] Types = [.. Enum.GetValues<PageType>().Where(t => t != PageType.Buddy)];

        private readonly Machine _machine;
        private readonly Cpu _cpu;
        private readonly OpenFile _file;
        private readonly Process _process;
        private readonly Zone[] _zones;
        private readonly VirtualAddress _buffer;
        private readonly KmemCache[] _caches;
        private readonly List<(KmemCache? Cache, VirtualAddress Address)> _objects = [];
        private readonly List<Page> _pages = [];
        private ulong _random;

        public Rig(Architecture architecture, ulong seed)
        {
            _random = (seed * 0x9e37_79b9_7f4a_7c15) | 1;
            _machine = Machine.Boot(MachineSpec.Preset(architecture, "96M", 2).WithCommandLine(CommandLines[(seed >> 2) % 4]).WithBugPolicy((seed >> 4) % 2 == 0 ? BugPolicy.Throw : BugPolicy.Log));
            _cpu = _machine.Cpus[0];
            _zones = [.. _machine.Zones.Where(z => z.IsPopulated)];
            _ = _machine.Swap.SwapOn(new Swap.MemorySwapBacking("swap", 2048));
            _file = _machine.Files.Mount(new BlockDevice("sda", "8M")).Create("file").Value;
            _ = _cpu.Files.Write(_file, 0, new byte[256 << 10]);
            _process = _machine.CreateProcess("victim");
            _buffer = _process.Mm.Mmap(64 << 12, Prot.Read | Prot.Write).Value;
            using (_cpu.Run(_process))
            {
                for (int i = 0; i < 64; i++)
                {
                    _cpu.Write(_buffer + (i << 12), i);
                }
            }

            _caches = [_machine.Slab.CreateCache("small", 24), _machine.Slab.CreateCache("odd", 712, 64), _machine.Slab.CreateCache("large", 6000, 0, SlabFlags.ReclaimAccount)];
        }

        public long Refused { get; private set; }

        public void Dispose() => _machine.Dispose();

        public string? Case()
        {
            int what = -1;
            try
            {
                Overwrite();
                what = Next(24);
                Call(what);
            }
            catch (Exception e) when (e is KernelBugException or PageFaultException or SignalException)
            {
                Refused++;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                return $"call {what}: {e}";
            }

            return null;
        }

        private void Overwrite()
        {
            if (Next(2) == 0 && _objects.Count != 0)
            {
                // Before, in and behind an object: its neighbours' free pointers and red zones.
                PhysicalMemory memory = _machine.Ram;
                ulong at = (_machine.Addresses.ToPhysical(_objects[Next(_objects.Count)].Address).Value + (ulong)Next(1024)) & ~7UL;
                memory.Write(Math.Min(at, memory.Bytes - 8), Next(3) == 0 ? memory.Read<ulong>(at & ~0xfffUL) : NextWord() >> Next(64));
                return;
            }

            Page page = AnyPage();
            for (int i = 0; i < 64 && (page.RefCount == 0 || (page.Flags & PageFlags.Reserved) != 0); i++)
            {
                page = AnyPage();
            }

            switch (Next(6))
            {
                case 0:
                    page.SetPrivate((int)NextWord() >> Next(32));
                    break;
                case 1:
                    page.SetMapping((uint)NextWord() >> Next(32), (uint)NextWord() >> Next(32));
                    break;
                case 2:
                    page.SetFlags(Flags[Next(Flags.Length)]);
                    break;
                case 3:
                    page.ClearFlags(Flags[Next(Flags.Length)]);
                    break;
                case 4:
                    page.AddMapCount(page.MapCount > 0 && Next(2) == 0 ? -1 : 1 + Next(3));
                    break;
                default:
                    if (page.MapCount == 0)
                    {
                        page.SetType(Types[Next(Types.Length)]);
                    }

                    break;
            }
        }

        private void Call(int what)
        {
            VirtualAddress at = _buffer + (Next(64) << 12);
            switch (what)
            {
                case 0 or 1 or 2:
                    Keep(null, _cpu.Kmalloc(1 + Next(6000), Gfp.Kernel));
                    break;
                case 3 or 4 or 5:
                    KmemCache cache = _caches[Next(_caches.Length)];
                    Keep(cache, _cpu.Alloc(cache, Gfp.Kernel));
                    break;
                case 6 or 7 or 8 or 9:
                    Free();
                    break;
                case 10:
                    _ = _machine.Slab.ShrinkCache(_caches[Next(_caches.Length)]);
                    break;
                case 11:
                    _ = _machine.Proc.SlabInfo.Length + _machine.Proc.BuddyInfo.Length + _machine.Proc.MemInfo.Length + _machine.Proc.VmStat.Length;
                    break;
                case 12 or 13:
                    using (_cpu.Run(_process))
                    {
                        _cpu.Write(at, 7);
                        _ = _cpu.Read<int>(at);
                    }

                    break;
                case 14:
                    _ = _process.Mm.Madvise(at, (1 + Next(8)) << 12, (MemoryAdvice)Next(24));
                    break;
                case 15:
                    _ = _cpu.Files.Write(_file, (long)Next(64) << 12, new byte[5000]);
                    _ = _cpu.Files.Fsync(_file);
                    break;
                case 16:
                    if (_process.Fork() is { Error: Errno.None } child)
                    {
                        child.Value.Exit(0, _cpu);
                    }

                    break;
                case 17:
                    _machine.Compaction.CompactMemory();
                    break;
                case 18:
                    _ = _process.PageMap(at, 16);
                    break;
                case 19:
                    Page page = _cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, Next(4));
                    if (!page.IsNull)
                    {
                        _pages.Add(page);
                    }

                    break;
                case 20 when _pages.Count != 0:
                    page = _pages[Next(_pages.Count)];
                    _pages.Remove(page);
                    _cpu.FreePages(page, page.Order);
                    break;
                case 21:
                    _ = AnyPage().ToString();
                    break;
                case 22 when Next(8) == 0:
                    _machine.Memory.DrainAllPages();
                    _machine.Verify();
                    break;
                default:
                    _ = _machine.Snapshot().NotCarried.Count;
                    break;
            }
        }

        private Page AnyPage()
        {
            Page page;
            do
            {
                Zone zone = _zones[Next(_zones.Length)];
                _ = _machine.TryGetPage(zone.StartPfn + Next((int)zone.SpannedPages), out page);
            }
            while (page.IsNull);
            return page;
        }

        private void Keep(KmemCache? cache, VirtualAddress address)
        {
            if (!address.IsNull && _objects.Count < 200)
            {
                _objects.Add((cache, address));
            }
        }

        private void Free()
        {
            if (_objects.Count != 0)
            {
                int index = Next(_objects.Count);
                (KmemCache? cache, VirtualAddress address) = _objects[index];
                _objects.RemoveAt(index);
                if (cache is null)
                {
                    _cpu.Kfree(address);
                }
                else
                {
                    _cpu.Free(cache, address);
                }
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
    }
}
