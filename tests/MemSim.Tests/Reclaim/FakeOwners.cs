using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.Tests.Reclaim;

/// <summary>Owners of pages that tests can read like a list: one file, one process, a swap area of so many slots. Checks what reclaim promises them.</summary>
internal sealed class FakeOwners : IPageOwners
{
    private readonly Machine _machine;
    private readonly uint _file;
    private readonly uint _anon;
    private uint _nextIndex;

    public FakeOwners(Machine machine, long swapPages = 0)
    {
        _machine = machine;
        _file = MappingTable.Value(machine.Frames.Mappings.Add(this));
        _anon = MappingTable.Value(machine.Frames.Mappings.Add(new object()), MappingTable.Anonymous);
        machine.Lru.Owners = this;
        machine.SystemFigures.SwapTotalPages = machine.SystemFigures.SwapFreePages = swapPages;
        machine.Reclaim.Enable();
    }

    /// <summary>Pages in the file's cache.</summary>
    public HashSet<int> Cached { get; } = [];

    /// <summary>Pages that page tables map, with whether they were used lately.</summary>
    public Dictionary<int, int> Uses { get; } = [];

    public HashSet<int> Mapped { get; } = [];

    public List<int> Written { get; } = [];

    public int SwappedOut { get; private set; }

    /// <summary>Pages of the file that were reclaimed, in order.</summary>
    public List<int> Dropped { get; } = [];

    public bool Executable { get; set; }

    public PageOutOutcome WriteResult { get; set; } = PageOutOutcome.Success;

    public int ShadowsLeft { get; private set; }

    /// <summary>Reads a page into the cache.</summary>
    public int Read(Cpu cpu, PageFlags flags = PageFlags.None, Gfp gfp = Gfp.None) => ReadWith(cpu, Gfp.HighUserMovable | Gfp.NoWarn | gfp, flags);

    /// <summary>The same with memory of the caller's choice.</summary>
    public int ReadWith(Cpu cpu, Gfp gfp, PageFlags flags = PageFlags.None)
    {
        Page page = cpu.AllocPage(gfp);
        if (page.IsNull)
        {
            return -1;
        }

        int pfn = page.FrameIndex;
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        frame.Mapping = _file;
        frame.Index = _nextIndex++;
        frame.Set(flags | PageFlags.UpToDate);
        Cached.Add(pfn);
        _machine.Lru.Add(cpu, pfn);
        return pfn;
    }

    /// <summary>Maps a page of the file.</summary>
    public void Map(int pfn, int uses = 0)
    {
        _machine.Frames.AddReferences(pfn, 1);
        _machine.Frames.Array[pfn].InvertedMapCount--;
        Mapped.Add(pfn);
        Uses[pfn] = uses;
    }

    /// <summary>Touches new anonymous memory.</summary>
    public int Touch(Cpu cpu, Gfp gfp = Gfp.None)
    {
        Page page = cpu.AllocPage(Gfp.HighUserMovable | Gfp.NoWarn | gfp);
        if (page.IsNull)
        {
            return -1;
        }

        int pfn = page.FrameIndex;
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        frame.Mapping = _anon;
        frame.Set(PageFlags.SwapBacked | PageFlags.UpToDate);
        frame.InvertedMapCount--;
        Mapped.Add(pfn);
        _machine.Lru.Add(cpu, pfn);
        return pfn;
    }

    public PageReferences Referenced(Cpu cpu, int pfn)
    {
        Check(pfn);
        int uses = Uses.GetValueOrDefault(pfn);
        Uses[pfn] = 0;
        return new PageReferences(uses, Executable, false);
    }

    public bool TryToUnmap(Cpu cpu, int pfn)
    {
        Check(pfn);
        if (Mapped.Remove(pfn))
        {
            _machine.Frames.Array[pfn].InvertedMapCount++;
            _machine.Frames.AddReferences(pfn, -1);
        }

        return true;
    }

    public bool AddToSwap(Cpu cpu, int pfn)
    {
        Check(pfn);
        if (_machine.SystemFigures.SwapFreePages == 0)
        {
            return false;
        }

        _machine.SystemFigures.SwapFreePages--;
        _machine.Frames.AddReferences(pfn, 1);
        _machine.Frames.Array[pfn].Set(PageFlags.OwnerPrivate1 | PageFlags.Dirty);
        return true;
    }

    public PageOutOutcome PageOut(Cpu cpu, int pfn)
    {
        Check(pfn);
        if (WriteResult == PageOutOutcome.Success)
        {
            Written.Add(pfn);
            _machine.Frames.Array[pfn].Clear(PageFlags.Dirty);
        }

        return WriteResult;
    }

    public bool RemoveFromCache(Cpu cpu, int pfn)
    {
        Check(pfn);
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        if (frame.RefCount != 2 || frame.IsDirty)
        {
            return false;
        }

        if (frame.Mapping == _file && !Cached.Remove(pfn))
        {
            throw new InvalidOperationException("a page left the cache twice");
        }

        if (frame.Mapping == _file)
        {
            Dropped.Add(pfn);
        }

        SwappedOut += frame.Mapping == _file ? 0 : 1;
        ShadowsLeft += _machine.Lru.EvictionShadow(cpu, pfn) != 0 ? 1 : 0;
        frame.Mapping = 0;
        frame.Clear(PageFlags.OwnerPrivate1);
        _machine.Frames.AddReferences(pfn, -1);
        return true;
    }

    public bool UnmapForMigration(Cpu cpu, int pfn) => false;

    public bool MoveMapping(Cpu cpu, int from, int to) => false;

    public void RestoreMappings(Cpu cpu, int from, int to)
    {
    }

    private void Check(int pfn)
    {
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        if (!frame.IsLocked || frame.IsOnLru || frame.RefCount == 0)
        {
            throw new InvalidOperationException($"pfn 0x{pfn:x} was given without being locked and isolated: {frame.StoredFlags}, {frame.RefCount} references");
        }
    }
}
