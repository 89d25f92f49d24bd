using System.Buffers.Binary;
using System.Runtime.InteropServices;
using MemSim.Cgroups;
using MemSim.Collections;
using MemSim.Diagnostics;
using MemSim.Kernels;
using MemSim.Statistics;
using MemSim.Swap;
using MemSim.Zones;

namespace MemSim.CompressedMemory;

/// <summary>The pages that zswap keeps: taken in and given back as its settings say.</summary>
internal sealed partial class ZswapPages : ISwapFront
{
    /// <summary>What a page is taken to compress to where contents are not simulated.</summary>
    private const int AssumedBytes = PageGeometry.PageSize / 2;

    // Guarded by the lock of those who own pages: reclaim, faults and whoever frees slots hold it.
    private readonly Dictionary<int, ZswapEntry> _entries = [];
    private readonly List<ZswapPool> _pools = [];
    private readonly Machine _machine;
    private readonly CompressedMemoryRules _rules;
    private readonly Zswap _settings;
    private readonly ZswapShrinkWorker _worker;
    private KmemCache? _entryCache;
    private ZswapPool? _pool;
    private bool _wasFull;

    public ZswapPages(Machine machine, Zswap settings)
    {
        _machine = machine;
        _rules = machine.Personality.CompressedMemory;
        _settings = settings;
        _worker = new ZswapShrinkWorker(this);
    }

    /// <summary>Pages that are kept.</summary>
    public long Stored { get; private set; }

    /// <summary>What happened so far.</summary>
    public ZswapCounts Counts { get; } = new();

    /// <summary>Frames of all pools.</summary>
    public long PoolPages
    {
        get
        {
            long pages = 0;
            foreach (ZswapPool pool in _pools)
            {
                pages += pool.Memory.Pages;
            }

            return pages;
        }
    }

    private long LimitPages => MemoryTotals.ManagedPages(_machine) * _settings.MaxPoolPercent / 100;

    private long AcceptPages => LimitPages * _settings.AcceptThresholdPercent / 100;

    bool ISwapFront.Store(Cpu cpu, SwapEntry entry, int pfn)
    {
        ZswapEntry? before = _entries.GetValueOrDefault(entry.Word);
        if (before is not null)
        {
            Counts.Duplicates++;
            Remove(cpu, before);
        }

        if (!_settings.Enabled)
        {
            return false;
        }

        Cgroup? payer = _machine.Hooks.Charges is null ? null : _machine.Cgroups.PayerOfCompressed(pfn);
        long hits = Counts.LimitHits;
        if (!HasRoom(cpu, payer))
        {
            // Before 6.8 only who met a limit asks for room, not who comes while the pool is on its way down.
            if (_rules.ZswapByCgroup ? _wasFull : Counts.LimitHits != hits || !_wasFull)
            {
                _machine.Background.Tasks.Wake(cpu, _worker);
            }

            return false;
        }

        if (!TryKeep(cpu, entry, pfn, payer))
        {
            if (_wasFull)
            {
                _machine.Background.Tasks.Wake(cpu, _worker);
            }

            return false;
        }

        _machine.Events.Count(VmEvent.Zswpout);
        payer?.Count(CgroupStat.ZswapOut, 1);
        return true;
    }

    SwapFrontRead ISwapFront.Load(Cpu cpu, SwapEntry slot, int pfn)
    {
        if (!_entries.TryGetValue(slot.Word, out ZswapEntry? entry))
        {
            return SwapFrontRead.NotKept;
        }

        if (!Expand(entry, pfn))
        {
            Counts.NotDecompressed++;
            return SwapFrontRead.Failed;
        }

        _machine.Events.Count(VmEvent.Zswpin);
        if (entry.Owner != 0)
        {
            _machine.Cgroups.OfOrNull(entry.Owner)?.Count(CgroupStat.ZswapIn, 1);
        }

        if (!_rules.ZswapByCgroup || !_machine.Swap.IsCached(pfn))
        {
            return SwapFrontRead.Read;
        }

        Remove(cpu, entry);
        return SwapFrontRead.TakenOut;
    }

    void ISwapFront.Invalidate(Cpu cpu, SwapEntry slot)
    {
        if (_entries.TryGetValue(slot.Word, out ZswapEntry? entry))
        {
            Remove(cpu, entry);
        }
    }

    bool ISwapFront.MayWriteBack(Cgroup? payer) => !_settings.Enabled || CgroupTree.MayWriteBack(payer);

    void ISwapFront.MoveCharges(int from, int to)
    {
        foreach (ZswapEntry entry in _entries.Values.Where(e => e.Owner == from))
        {
            entry.Owner = to;
        }

        // Behind those of the other, in the order in which they were (memcg_reparent_list_lrus()).
        foreach (Node node in _machine.Nodes)
        {
            while (_lists.GetValueOrDefault((from, node.Id)) is { First: { } oldest } list)
            {
                list.Remove(oldest);
                Enlist(oldest, node.Id);
            }
        }
    }

    /// <summary>Checks what is kept against slots, pools and charges.</summary>
    public void Verify()
    {
        long listed = _lists.Values.Sum(list => (long)list.Count);
        long incompressible = 0;
        long same = 0;
        Dictionary<int, (long Pages, long Bytes)> charged = [];
        foreach ((int word, ZswapEntry entry) in _entries)
        {
            SwapArea? area = _machine.Swap.AreaOrNull(entry.Slot.Type);
            if (entry.Slot.Word != word || area is null || area.UseOf(entry.Slot.Offset) == 0)
            {
                BugReporter.Corrupt($"zswap: a page is kept for {entry.Slot}, whose slot is not in use");
            }

            same += entry.Length == 0 ? 1 : 0;
            incompressible += entry.Length == PageGeometry.PageSize ? 1 : 0;
            (long pages, long bytes) = charged.GetValueOrDefault(entry.Owner);
            charged[entry.Owner] = (pages + 1, bytes + entry.Length);
        }

        long inPools = _pools.Sum(pool => pool.Entries);
        if (_entries.Count != Stored || inPools != Stored - same || same != Counts.SameFilled || incompressible != Counts.Incompressible || (_rules.ZswapByCgroup && listed != Stored))
        {
            BugReporter.Corrupt($"zswap: counts {Stored} pages, {Counts.SameFilled} of one word, {Counts.Incompressible} whole, but has {_entries.Count}, {same}, {incompressible}; {inPools} in pools, {listed} listed");
        }

        foreach ((int owner, (long pages, long bytes)) in charged)
        {
            if (owner != 0 && (_machine.Cgroups.OfOrNull(owner) is not { } cgroup || cgroup.CompressedPages != pages || cgroup.CompressedBytes != bytes))
            {
                BugReporter.Corrupt($"zswap: {pages} pages of {bytes} bytes are charged to cgroup {owner}, which counts {_machine.Cgroups.OfOrNull(owner)?.CompressedPages} of {_machine.Cgroups.OfOrNull(owner)?.CompressedBytes}");
            }
        }
    }

    /// <summary>Whether limits allow another page.</summary>
    private bool HasRoom(Cpu cpu, Cgroup? payer)
    {
        if (payer is not null && !CgroupTree.MayCompress(payer) && (!_rules.ZswapByCgroup || WriteBackOneOf(cpu, payer) != Errno.None))
        {
            return false;
        }

        long pages = PoolPages;
        if (_rules.ZswapByCgroup ? pages >= LimitPages : pages > LimitPages)
        {
            Counts.LimitHits++;
            _wasFull = true;
        }
        else if (_wasFull && (_rules.ZswapByCgroup ? pages <= AcceptPages : pages < AcceptPages))
        {
            _wasFull = false;
        }

        return !_wasFull;
    }

    private bool TryKeep(Cpu cpu, SwapEntry slot, int pfn, Cgroup? payer)
    {
        VirtualAddress obj = cpu.Alloc(_entryCache ??= MakeCache(), Gfp.Kernel);
        if (obj.IsNull)
        {
            Counts.RefusedObjects++;
            return false;
        }

        ZswapEntry? entry = !_rules.ZswapByCgroup && _settings.KeepsSameFilled && IsOneWord(pfn, out ulong word)
            ? new ZswapEntry { Slot = slot, Length = 0, Word = word, Object = obj }
            : _rules.ZswapByCgroup || _settings.KeepsOthers ? Compress(cpu, slot, pfn, obj, payer) : null;
        if (entry is not null && payer is not null)
        {
            if (_machine.Cgroups.TryChargeCompressed(cpu, payer, entry.Length))
            {
                entry.Owner = payer.Id;
            }
            else
            {
                entry.Pool?.Memory.Free(cpu, entry.Handle);
                entry = null;
            }
        }

        if (entry is null)
        {
            cpu.Free(_entryCache!, obj);
            return false;
        }

        _entries[slot.Word] = entry;
        Stored++;
        Counts.SameFilled += entry.Length == 0 ? 1 : 0;
        Counts.Incompressible += entry.Length == PageGeometry.PageSize ? 1 : 0;
        if (entry.Pool is { } pool)
        {
            pool.Entries++;
            if (!_rules.ZswapByCgroup)
            {
                pool.ByHandle[entry.Handle] = entry;
            }
        }

        if (_rules.ZswapByCgroup)
        {
            Enlist(entry, _machine.Zones[_machine.Frames.Array[pfn].ZoneId].Node.Id);
        }

        CountForMeminfo();
        return true;
    }

    private ZswapEntry? Compress(Cpu cpu, SwapEntry slot, int pfn, VirtualAddress obj, Cgroup? payer)
    {
        Span<byte> buffer = stackalloc byte[PageCompressor.LargestOutput];
        ZswapPool pool = CurrentPool();
        ReadOnlySpan<byte> bytes = buffer[..AssumedBytes];
        if (_machine.Ram.HasContents)
        {
            ReadOnlySpan<byte> page = _machine.Ram.ReadOnly((ulong)(uint)pfn << PageGeometry.PageShift, PageGeometry.PageSize);
            bytes = buffer[..pool.Compressor.Compress(page, buffer)];
            if (bytes.Length >= PageGeometry.PageSize && _rules.ZswapByCgroup)
            {
                if (!_rules.ZswapKeepsIncompressible || !CgroupTree.MayWriteBack(payer))
                {
                    Counts.NotCompressed++;
                    return null;
                }

                bytes = page;
            }
        }

        // Pools that write back keep the slot's name in front of the page.
        const int header = 8;
        bool isZbud = pool.Memory is Zbud;
        Gfp gfp = Gfp.NoRetry | Gfp.NoWarn | Gfp.KswapdReclaim | (isZbud ? Gfp.None : Gfp.HighMem | Gfp.Movable);
        Errno error = pool.Memory.Allocate(cpu, bytes.Length + (isZbud ? header : 0), gfp, out int handle);
        if (error != Errno.None)
        {
            Counts.PoorlyCompressed += error == Errno.ENOSPC ? 1 : 0;
            Counts.RefusedAllocations += error == Errno.ENOSPC ? 0 : 1;
            return null;
        }

        pool.Memory.Write(handle, bytes);
        return new ZswapEntry { Slot = slot, Length = bytes.Length, Handle = handle, Pool = pool, Object = obj };
    }

    private bool Expand(ZswapEntry entry, int pfn)
    {
        if (!_machine.Ram.HasContents)
        {
            return true;
        }

        Span<byte> page = _machine.Ram.Frame(pfn);
        if (entry.Pool is not { } pool)
        {
            MemoryMarshal.Cast<byte, ulong>(page).Fill(entry.Word);
            return true;
        }

        if (entry.Length == PageGeometry.PageSize)
        {
            pool.Memory.Read(entry.Handle, page);
            return true;
        }

        Span<byte> bytes = stackalloc byte[entry.Length];
        pool.Memory.Read(entry.Handle, bytes);
        return pool.Compressor.TryDecompress(bytes, page);
    }

    private void Remove(Cpu cpu, ZswapEntry entry)
    {
        _ = _entries.Remove(entry.Slot.Word);
        Chain<ZswapEntry, ZswapEntry.AgeLinks>.Of(entry)?.Remove(entry);
        Stored--;
        Counts.SameFilled -= entry.Length == 0 ? 1 : 0;
        Counts.Incompressible -= entry.Length == PageGeometry.PageSize ? 1 : 0;
        if (entry.Pool is { } pool)
        {
            pool.Memory.Free(cpu, entry.Handle);
            _ = pool.ByHandle.Remove(entry.Handle);
            pool.Entries--;
            DropIfRetired(pool);
        }

        if (entry.Owner != 0)
        {
            _machine.Cgroups.UnchargeCompressed(cpu, entry.Owner, entry.Length);
        }

        cpu.Free(_entryCache!, entry.Object);
        CountForMeminfo();
    }

    private ZswapPool CurrentPool()
    {
        if (_pool is null)
        {
            ICompressedPool memory = _settings.PoolName == Zbud.KernelName ? new Zbud(_machine) : new Zsmalloc(_machine, "zswap");
            _pool = new ZswapPool(memory, PageCompressor.Find(_settings.Compressor)!);
            _pools.Add(_pool);
        }

        return _pool;
    }

    private KmemCache MakeCache() =>
        _machine.Slab.Find("zswap_entry") ?? _machine.Slab.CreateBootCache("zswap_entry", _rules.ZswapByCgroup ? 56 : 64, new KmemCacheArgs(), SlabFlags.None);

    /// <summary>The pool takes no more pages: another compressor or allocator was chosen.</summary>
    public void Retire()
    {
        if (_pool is { } old)
        {
            _pool = null;
            DropIfRetired(old);
        }
    }

    private void DropIfRetired(ZswapPool pool)
    {
        if (ReferenceEquals(pool, _pool) || pool.Entries != 0)
        {
            return;
        }

        _ = _pools.Remove(pool);
        if (pool.Memory is Zsmalloc zsmalloc)
        {
            zsmalloc.Dispose();
        }
        else
        {
            _machine.Swap.CompressedPools.Remove(pool.Memory);
        }
    }

    private bool IsOneWord(int pfn, out ulong word)
    {
        word = 0;
        if (!_machine.Ram.HasContents)
        {
            return false;
        }

        ReadOnlySpan<byte> page = _machine.Ram.ReadOnly((ulong)(uint)pfn << PageGeometry.PageShift, PageGeometry.PageSize);
        word = BinaryPrimitives.ReadUInt64LittleEndian(page);
        return !MemoryMarshal.Cast<byte, ulong>(page).ContainsAnyExcept(word);
    }

    private void CountForMeminfo()
    {
        const int toKiB = PageGeometry.PageShift - 10;
        _machine.SystemFigures.ZswapKiB = PoolPages << toKiB;
        _machine.SystemFigures.ZswappedKiB = Stored << toKiB;
    }
}
