using FluentAssertions;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Swap;
using Xunit;

namespace MemSim.Tests.Swap;

/// <summary>The smallest kernel that swap can serve: "processes" that are arrays of pages or entries, and a reclaim that takes the page it is told.</summary>
internal sealed class SwapRig : ISwapUser, IDisposable
{
    private readonly List<SwapRigProcess> _processes = [];
    private readonly uint _anonymous;

    public SwapRig(MachineSpec? spec = null)
    {
        Machine = Machine.Boot(spec ?? MachineSpec.X86_64("128M", cpus: 2));
        _anonymous = MappingTable.Value(Machine.Frames.Mappings.Add(new object()), MappingTable.Anonymous);
        Machine.Swap.Users.Add(this);
    }

    public Machine Machine { get; }

    public SwapSpace Swap => Machine.Swap;

    public Cpu Cpu => Machine.Cpus[0];

    public IReadOnlyList<SwapRigProcess> Processes => _processes;

    public void Dispose() => Machine.Dispose();

    public SwapArea AddArea(long pages = 4096, int? priority = null, bool solidState = true, bool synchronous = false, SwapDiscard discard = SwapDiscard.None, string name = "sdb1") =>
        Swap.SwapOn(new MemorySwapBacking(name, pages, solidState, synchronous), priority, discard);

    public SwapRigProcess NewProcess(int pages)
    {
        SwapRigProcess process = new(this, pages);
        _processes.Add(process);
        return process;
    }

    /// <summary>A copy of a process that shares all its pages and entries.</summary>
    public SwapRigProcess Fork(SwapRigProcess parent)
    {
        SwapRigProcess child = NewProcess(parent.Length);
        for (int i = 0; i < parent.Length; i++)
        {
            child.Share(parent, i);
        }

        return child;
    }

    public void Exit(SwapRigProcess process)
    {
        for (int i = 0; i < process.Length; i++)
        {
            process.Drop(i);
        }

        _processes.Remove(process);
    }

    public int NewAnonymousPage()
    {
        int pfn = Machine.Pages.Allocate(Cpu, Gfp.HighUserMovable | Gfp.Zero | Gfp.NoWarn, 0);
        if (pfn >= 0)
        {
            Machine.Frames.Array[pfn].Set(PageFlags.SwapBacked | PageFlags.UpToDate);
            Machine.Frames.Array[pfn].Mapping = _anonymous;
            Machine.Lru.Add(Cpu, pfn);
        }

        return pfn;
    }

    public void Adopt(int pfn) => Machine.Frames.Array[pfn].Mapping = _anonymous;

    /// <summary>Reclaims a page as <c>shrink_folio_list()</c> would.</summary>
    /// <returns>Whether it is gone from memory.</returns>
    public bool Reclaim(int pfn)
    {
        Machine.Lru.DrainAll();
        if (!Machine.Lru.Isolate(pfn))
        {
            return false;
        }

        ref PageFrame frame = ref Machine.Frames.Array[pfn];
        Lock(pfn);
        bool ready = !frame.IsUnderWriteback && (Swap.IsCached(pfn) || Swap.AddToSwap(Cpu, pfn));
        if (ready)
        {
            foreach (SwapRigProcess process in _processes)
            {
                process.Unmap(pfn, Swap.EntryOf(pfn));
            }

            ready = Swap.PageOut(Cpu, pfn) is PageOutOutcome.Clean or PageOutOutcome.Success && Swap.RemoveFromCache(Cpu, pfn);
        }

        Unlock(pfn);
        if (ready)
        {
            frame.RefCount.Should().Be(1, "only reclaim holds a page that left the swap cache");
            Machine.Lru.Put(Cpu, pfn);
        }
        else
        {
            Machine.Lru.PutBack(Cpu, pfn);
        }

        return ready;
    }

    /// <summary>Checks everything, and every page of every process against what was written.</summary>
    public void Verify()
    {
        Machine.Verify();
        foreach (SwapRigProcess process in _processes)
        {
            process.VerifyResident();
        }
    }

    public void CountEntries(SwapCensus census)
    {
        foreach (SwapRigProcess process in _processes)
        {
            for (int i = 0; i < process.Length; i++)
            {
                if (!process.EntryOf(i).IsNone)
                {
                    census.Add(process.EntryOf(i));
                }
            }
        }
    }

    public Errno Unuse(Cpu cpu, SwapArea area)
    {
        foreach (SwapRigProcess process in _processes)
        {
            for (int i = 0; i < process.Length; i++)
            {
                if (process.EntryOf(i) is { IsNone: false } entry && entry.Type == area.Type)
                {
                    SwapInOutcome outcome = process.Touch(i, write: false);
                    if (outcome is SwapInOutcome.NoMemory or SwapInOutcome.Failed)
                    {
                        return outcome == SwapInOutcome.NoMemory ? Errno.ENOMEM : Errno.EIO;
                    }
                }
            }
        }

        return Errno.None;
    }

    private void Lock(int pfn) => Machine.Frames.Array[pfn].Set(PageFlags.Locked);

    private void Unlock(int pfn) => Machine.Frames.Array[pfn].Clear(PageFlags.Locked);
}

/// <summary>An array of pages, each with what was last written to it.</summary>
internal sealed class SwapRigProcess(SwapRig rig, int length) : ISwapNeighbours
{
    private readonly int[] _pages = [.. Enumerable.Repeat(-1, length)];
    private readonly SwapEntry[] _entries = new SwapEntry[length];
    private readonly int[] _written = new int[length];

    public int Length => _pages.Length;

    public ulong ReadAhead { get; set; }

    public bool HasAddresses => true;

    public int PageOf(int index) => _pages[index];

    public SwapEntry EntryOf(int index) => _entries[index];

    public int WrittenTo(int index) => _written[index];

    public (ulong Start, ulong End) Around(ulong address) => (0, (ulong)Length << 12);

    public SwapEntry EntryAt(ulong address) => _entries[address >> 12];

    public int AllocatePage(Cpu cpu, ulong address) => rig.Machine.Pages.Allocate(cpu, Gfp.HighUserMovable | Gfp.NoWarn, 0);

    /// <summary>Writes a page: fresh, shared or swapped out.</summary>
    public bool Write(int index, int content)
    {
        if (_pages[index] < 0 && _entries[index].IsNone)
        {
            int fresh = rig.NewAnonymousPage();
            if (fresh < 0)
            {
                return false;
            }

            Map(index, fresh);
        }
        else if (_pages[index] < 0 && Touch(index, write: true) is not (SwapInOutcome.Found or SwapInOutcome.Read))
        {
            return false;
        }

        int pfn = _pages[index];
        if (rig.Machine.Frames.Array[pfn].MapCount > 1 || (rig.Swap.IsCached(pfn) && rig.Swap.CountOf(rig.Swap.EntryOf(pfn)) != 0))
        {
            int copy = rig.NewAnonymousPage();
            if (copy < 0)
            {
                return false;
            }

            Drop(index);
            Map(index, copy);
        }

        _written[index] = content;
        Fill(rig.Machine.Ram.Frame(_pages[index]), content);
        rig.Machine.Frames.Array[_pages[index]].Set(PageFlags.Dirty);
        return true;
    }

    /// <summary>Brings a page in.</summary>
    public SwapInOutcome Touch(int index, bool write)
    {
        SwapEntry entry = _entries[index];
        SwapInOutcome outcome = rig.Swap.SwapIn(rig.Cpu, entry, this, (ulong)index << 12, out int pfn);
        if (pfn >= 0)
        {
            _ = rig.Swap.GiveUpEntry(rig.Cpu, entry, pfn, write, keepInMemory: false);
            rig.Adopt(pfn);
            _entries[index] = default;
            Map(index, pfn);
            CheckContent(index);
        }

        return outcome;
    }

    /// <summary>The page leaves memory: the entry takes its place.</summary>
    public void Unmap(int pfn, SwapEntry entry)
    {
        for (int i = 0; i < Length; i++)
        {
            if (_pages[i] == pfn)
            {
                rig.Swap.Duplicate(entry);
                _entries[i] = entry;
                _pages[i] = -1;
                rig.Machine.Frames.Array[pfn].InvertedMapCount++;
                rig.Machine.Lru.Put(rig.Cpu, pfn);
            }
        }
    }

    public void Share(SwapRigProcess parent, int index)
    {
        _written[index] = parent._written[index];
        _entries[index] = parent._entries[index];
        if (!_entries[index].IsNone)
        {
            rig.Swap.Duplicate(_entries[index]);
        }
        else if (parent._pages[index] >= 0)
        {
            rig.Machine.Frames.AddReferences(parent._pages[index], 1);
            Map(index, parent._pages[index]);
        }
    }

    public void Drop(int index)
    {
        if (!_entries[index].IsNone)
        {
            rig.Swap.FreeWithCache(rig.Cpu, _entries[index]);
            _entries[index] = default;
        }
        else if (_pages[index] >= 0)
        {
            rig.Machine.Frames.Array[_pages[index]].InvertedMapCount++;
            rig.Machine.Lru.Put(rig.Cpu, _pages[index]);
            _pages[index] = -1;
        }
    }

    public void VerifyResident()
    {
        for (int i = 0; i < Length; i++)
        {
            if (_pages[i] >= 0)
            {
                CheckContent(i);
            }
        }
    }

    public void CheckContent(int index)
    {
        Span<byte> expected = stackalloc byte[PageGeometry.PageSize];
        Fill(expected, _written[index]);
        if (!rig.Machine.Ram.ReadOnly((ulong)_pages[index] << 12, PageGeometry.PageSize).SequenceEqual(expected))
        {
            Assert.Fail($"page {index} must hold what was written to it ({_written[index]})");
        }
    }

    private static void Fill(Span<byte> page, int content)
    {
        uint state = ((uint)content * 2654435761) | 1;
        Span<uint> words = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, uint>(page);
        for (int i = 0; i < words.Length; i++)
        {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            words[i] = state;
        }
    }

    private void Map(int index, int pfn)
    {
        _pages[index] = pfn;
        rig.Machine.Frames.Array[pfn].InvertedMapCount--;
    }
}
