using System.Diagnostics;

namespace MemSim.CompressedMemory;

/// <summary>The allocator of zram and zswap: objects of 32 bytes to a page, in classes by size, packed across frames that lie anywhere and can be moved (<c>mm/zsmalloc.c</c>).</summary>
internal sealed partial class Zsmalloc : ICompressedPool, IMovableOwner
{
    public const string KernelName = "zsmalloc";

    /// <summary>Each object begins with the name of its handle, unless it fills its block alone.</summary>
    public const int HandleBytes = 8;

    private readonly Machine _machine;
    private readonly SizeClass[] _classes;
    private readonly bool _chains;
    private readonly KmemCache _handleCache;
    private readonly KmemCache _zspageCache;
    private readonly MovableOwner _owner;
    private readonly PoolShrinker _shrinker;
    private readonly List<Handle> _handles = [default];
    private readonly Stack<int> _freeHandles = [];
    private readonly List<Zspage?> _zspages = [];
    private readonly Stack<int> _freeZspages = [];
    private readonly List<Zspage> _deferred = [];

    public Zsmalloc(Machine machine, string user)
    {
        _machine = machine;
        _chains = machine.Personality.CompressedMemory.ZspagesChain;
        _classes = SizeClass.Make(_chains, out int smallestHuge);
        SmallestHuge = smallestHuge;
        _handleCache = machine.Slab.Find("zs_handle") ?? machine.Slab.CreateBootCache("zs_handle", HandleBytes, new KmemCacheArgs(), SlabFlags.None);
        _zspageCache = machine.Slab.Find("zspage") ?? machine.Slab.CreateBootCache("zspage", 56, new KmemCacheArgs(), SlabFlags.None);
        _owner = machine.Migration.RegisterMovableOwner(this);
        _shrinker = new PoolShrinker(this, "mm-zspool:" + user);
        machine.Shrinkers.Register(_shrinker);
        machine.Swap.CompressedPools.Add(this);
    }

    public string Name => KernelName;

    public long Pages { get; private set; }

    public int LongestObject => PageGeometry.PageSize;

    /// <summary>From so many bytes on a page is better stored as it is (<c>zs_huge_class_size()</c>).</summary>
    public int SmallestHuge { get; }

    /// <summary>Frames that compaction freed (<c>pages_compacted</c>).</summary>
    public long PagesCompacted { get; private set; }

    public Errno Allocate(Cpu cpu, int bytes, Gfp gfp, out int handle)
    {
        handle = 0;
        if (bytes is <= 0 or > PageGeometry.PageSize)
        {
            return Errno.ENOSPC;
        }

        FreeDeferred(cpu);
        VirtualAddress name = cpu.Alloc(_handleCache, gfp & ~(Gfp.HighMem | Gfp.Movable));
        if (name.IsNull)
        {
            return Errno.ENOMEM;
        }

        SizeClass sizeClass = ClassOf(bytes + HandleBytes);
        Zspage? zspage = sizeClass.FindWithRoom();
        bool isNew = zspage is null;
        zspage ??= NewZspage(cpu, sizeClass, gfp);
        if (zspage is null)
        {
            cpu.Free(_handleCache, name);
            return Errno.ENOMEM;
        }

        if (!_freeHandles.TryPop(out handle))
        {
            handle = _handles.Count;
            _handles.Add(default);
        }

        _handles[handle] = new Handle(zspage, zspage.Take(handle), bytes, name);
        sizeClass.InUse++;
        if (isNew)
        {
            sizeClass.Insert(zspage);
        }
        else
        {
            sizeClass.Regroup(zspage);
        }

        return Errno.None;
    }

    public void Free(Cpu cpu, int handle)
    {
        FreeDeferred(cpu);
        Handle freed = _handles[handle];
        Debug.Assert(freed.Zspage is not null && freed.Zspage.Handles[freed.Index] == handle, "handle and object name each other");
        _handles[handle] = default;
        _freeHandles.Push(handle);
        cpu.Free(_handleCache, freed.Name);
        Zspage zspage = freed.Zspage!;
        zspage.Give(freed.Index);
        zspage.Class.InUse--;
        Debug.Assert(zspage.Class.InUse >= 0, "no more objects go than came");
        if (zspage.InUse == 0)
        {
            zspage.Class.Remove(zspage);
            FreeZspage(cpu, zspage);
        }
        else
        {
            zspage.Class.Regroup(zspage);
        }
    }

    public void Write(int handle, ReadOnlySpan<byte> bytes)
    {
        if (!_machine.Ram.HasContents)
        {
            return;
        }

        Handle to = _handles[handle];
        int offset = OffsetOf(to);
        while (!bytes.IsEmpty)
        {
            int part = Math.Min(bytes.Length, PageGeometry.PageSize - (offset & (PageGeometry.PageSize - 1)));
            bytes[..part].CopyTo(_machine.Ram.Range(AddressOf(to.Zspage!, offset), part));
            bytes = bytes[part..];
            offset += part;
        }
    }

    public void Read(int handle, Span<byte> into)
    {
        if (!_machine.Ram.HasContents)
        {
            into.Clear();
            return;
        }

        Handle from = _handles[handle];
        int offset = OffsetOf(from);
        while (!into.IsEmpty)
        {
            int part = Math.Min(into.Length, PageGeometry.PageSize - (offset & (PageGeometry.PageSize - 1)));
            _machine.Ram.ReadOnly(AddressOf(from.Zspage!, offset), part).CopyTo(into);
            into = into[part..];
            offset += part;
        }
    }

    /// <summary>The pool goes; it has no objects any more.</summary>
    public void Dispose()
    {
        _machine.Swap.CompressedPools.Remove(this);
        _ = _machine.Shrinkers.Remove(_shrinker);
        _owner.Unregister();
    }

    public void AddFrames(ICollection<int> frames)
    {
        foreach (Zspage? zspage in _zspages)
        {
            foreach (int pfn in zspage?.Pfns ?? [])
            {
                frames.Add(pfn);
            }
        }
    }

    bool IMovableOwner.Isolate(Page page)
    {
        using Lru.OwnersLock.Scope owners = _machine.OwnersLock.Enter();
        return ZspageOf(page) is not null;
    }

    bool IMovableOwner.Migrate(Page from, Page to, MigrationMode mode)
    {
        using Lru.OwnersLock.Scope owners = _machine.OwnersLock.Enter();
        if (ZspageOf(from) is not { } zspage)
        {
            return false;
        }

        Debug.Assert(Array.IndexOf(zspage.Pfns, to.FrameIndex) < 0, "the new frame is none of the block's");
        zspage.Pfns[Array.IndexOf(zspage.Pfns, from.FrameIndex)] = to.FrameIndex;
        Count(from.FrameIndex, -1);
        Count(to.FrameIndex, 1);
        return true;
    }

    void IMovableOwner.PutBack(Page page)
    {
    }

    private SizeClass ClassOf(int bytes) => _classes[Math.Min(Math.Max(bytes - SizeClass.Smallest + SizeClass.Step - 1, 0) / SizeClass.Step, _classes.Length - 1)];

    private static int OffsetOf(in Handle handle) => (handle.Index * handle.Zspage!.Class.Size) + (handle.Zspage.Class.IsHuge ? 0 : HandleBytes);

    private static ulong AddressOf(Zspage zspage, int offset) =>
        ((ulong)(uint)zspage.Pfns[offset >> PageGeometry.PageShift] << PageGeometry.PageShift) + (uint)(offset & (PageGeometry.PageSize - 1));

    private Zspage? ZspageOf(Page page)
    {
        uint number = _machine.Frames.Array[page.FrameIndex].Index;
        return number < (uint)_zspages.Count && _zspages[(int)number] is { } zspage && Array.IndexOf(zspage.Pfns, page.FrameIndex) >= 0 ? zspage : null;
    }

    /// <summary>Takes the frames of a block, one by one, and its descriptor (<c>alloc_zspage()</c>).</summary>
    private Zspage? NewZspage(Cpu cpu, SizeClass sizeClass, Gfp gfp)
    {
        VirtualAddress descriptor = cpu.Alloc(_zspageCache, gfp & ~(Gfp.HighMem | Gfp.Movable));
        if (descriptor.IsNull)
        {
            return null;
        }

        // Its number is taken before its frames: asking for memory may wake kswapd, who stores pages, too.
        if (!_freeZspages.TryPop(out int number))
        {
            number = _zspages.Count;
            _zspages.Add(null);
        }

        Zspage zspage = new(sizeClass, number) { Descriptor = descriptor };
        for (int i = 0; i < zspage.Pfns.Length; i++)
        {
            int pfn = _machine.Pages.Allocate(cpu, gfp, 0);
            if (pfn < 0)
            {
                ReleaseFrames(cpu, zspage.Pfns.AsSpan(0, i));
                cpu.Free(_zspageCache, descriptor);
                _freeZspages.Push(number);
                return null;
            }

            zspage.Pfns[i] = pfn;
            Count(pfn, 1);
            _owner.Adopt(new Page(_machine, pfn), (uint)zspage.Number);
        }

        _zspages[number] = zspage;
        sizeClass.Zspages++;
        Pages += zspage.Pfns.Length;
        return zspage;
    }

    /// <summary>Frees an empty block; while one of its frames is being moved it waits (<c>async_free_zspage()</c>).</summary>
    private void FreeZspage(Cpu cpu, Zspage zspage)
    {
        foreach (int pfn in zspage.Pfns)
        {
            if (_machine.Frames.Array[pfn].IsToBeReclaimed)
            {
                _deferred.Add(zspage);
                return;
            }
        }

        zspage.Class.Zspages--;
        Pages -= zspage.Pfns.Length;
        Debug.Assert(zspage.InUse == 0 && zspage.Class.Zspages >= 0 && Pages >= 0 && _zspages[zspage.Number] == zspage, "an empty block of the pool goes");
        _zspages[zspage.Number] = null;
        _freeZspages.Push(zspage.Number);
        ReleaseFrames(cpu, zspage.Pfns);
        cpu.Free(_zspageCache, zspage.Descriptor);
    }

    private void FreeDeferred(Cpu cpu)
    {
        if (_deferred.Count == 0)
        {
            return;
        }

        Zspage[] waiting = [.. _deferred];
        _deferred.Clear();
        foreach (Zspage zspage in waiting)
        {
            FreeZspage(cpu, zspage);
        }
    }

    private void ReleaseFrames(Cpu cpu, ReadOnlySpan<int> pfns)
    {
        foreach (int pfn in pfns)
        {
            Count(pfn, -1);
            Page page = new(_machine, pfn);
            _owner.Disown(page);
            _machine.Pages.FreeBlock(cpu, pfn, 0);
        }
    }

    private void Count(int pfn, int change) => _machine.Zones[_machine.Frames.Array[pfn].ZoneId].Counters.ZsPages += change;

    /// <summary>Where an object is, how long it is, and the object of the slab cache that its user knows it by.</summary>
    private readonly record struct Handle(Zspage? Zspage, int Index, int Bytes, VirtualAddress Name);

    /// <summary>Makes room by compaction when memory is short.</summary>
    private sealed class PoolShrinker(Zsmalloc pool, string name) : Shrinker(name)
    {
        protected override long CountObjects(in ShrinkRequest request) => pool.PagesToSpare;

        protected override long ScanObjects(in ShrinkRequest request)
        {
            using Lru.OwnersLock.Scope owners = pool._machine.OwnersLock.Enter();
            return pool.Compact(request.Cpu);
        }
    }
}
