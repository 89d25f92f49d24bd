using System.Diagnostics;
using MemSim.BlockDevices;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Statistics;

namespace MemSim;

/// <content>Writing pages of the swap cache.</content>
public sealed partial class SwapSpace
{
    private const int KiBPerPage = PageGeometry.PageSize >> 10;

    // Writes of devices that hold them: pages with PG_writeback, to be ended in this order.
    private readonly Queue<(int Pfn, int Type, bool Failed)> _underWay = new();

    /// <summary>Writes that are under way.</summary>
    public int WritesUnderWay => _underWay.Count;

    /// <summary>Pages of a node that are being written to swap.</summary>
    /// <param name="node">The node's place in the machine's list.</param>
    internal long PagesUnderWay(int node)
    {
        long pages = 0;
        foreach (Zone zone in Machine.Nodes[node].Zones)
        {
            pages += _writebackByZone[zone.Id];
        }

        return pages;
    }

    /// <inheritdoc/>
    int IHeldWrites.CompleteHeldWrites(Cpu cpu) => CompleteWrites(cpu);

    /// <inheritdoc/>
    long ISwapWrites.PagesUnderWay(int node) => PagesUnderWay(node);

    /// <inheritdoc/>
    void ISwapWrites.EndBatch() => _writes.End();

    /// <summary>Ends all writes that are under way, as the devices' interrupts would.</summary>
    /// <param name="cpu">The CPU that gets them.</param>
    /// <returns>How many pages were concerned.</returns>
    public int CompleteWrites(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Machine.CpuTable.Own(cpu);
        int count = 0;
        while (TryNextUnderWay(out (int Pfn, int Type, bool Failed) write))
        {
            EndWrite(cpu, write.Pfn, write.Type, write.Failed);
            count++;
        }

        return count;
    }

    /// <summary>Ends the write that began first, if one is under way.</summary>
    internal void CompleteWrite(Cpu cpu)
    {
        if (TryNextUnderWay(out (int Pfn, int Type, bool Failed) write))
        {
            EndWrite(cpu, write.Pfn, write.Type, write.Failed);
        }
    }

    /// <summary>Writes a dirty, locked page of the swap cache to its slot for reclaim (<c>pageout()</c>). The page stays locked.</summary>
    /// <returns>
    /// <see cref="PageOutOutcome.Activate"/> when the device refused it: it is dirty again and keeps its slot. <see cref="PageOutOutcome.Success"/> with the
    /// page still dirty when no entry named the slot: then nothing was written, and the page left the swap cache.
    /// </returns>
    internal PageOutOutcome PageOut(Cpu cpu, int pfn)
    {
        const int cacheAndCaller = 2;
        if (_frames[pfn].RefCount != cacheAndCaller || HasFlag(pfn, PageFlags.Writeback))
        {
            return PageOutOutcome.Keep;
        }

        if ((ClearFlags(pfn, PageFlags.Dirty) & PageFlags.Dirty) == 0)
        {
            return PageOutOutcome.Clean;
        }

        if (TryFreeSlot(cpu, pfn))
        {
            return PageOutOutcome.Success;
        }

        if (StaysInMemory(cpu, pfn, out bool refused))
        {
            return refused ? PageOutOutcome.Activate : PageOutOutcome.Success;
        }

        SetFlags(pfn, PageFlags.Reclaim);
        bool failed = !Write(cpu, pfn, out bool ended);
        if (!ended)
        {
            return PageOutOutcome.Success;
        }

        // Done already: there is nothing to rotate the page for.
        ClearFlags(pfn, PageFlags.Reclaim);
        return failed ? PageOutOutcome.Activate : PageOutOutcome.Success;
    }

    /// <summary>Sends a page to its device (<c>swap_writepage()</c>).</summary>
    private bool Write(Cpu cpu, int pfn, out bool ended)
    {
        SwapEntry entry = EntryOf(pfn);
        SwapArea area = _areas[entry.Type]!;
        SetWriteback(pfn, 1);
        _events.Count(VmEvent.SwapOut);
        _events.Count(VmEvent.SwapWrites, _writes.Begins(entry, area.Backing.IsSynchronous) ? 1 : 0);
        CountForCgroup(pfn, Cgroups.CgroupStat.SwapOut);
        bool failed = area.Backing.Write(cpu, entry.Offset, pfn) != Errno.None;
        area.PagesWritten += failed ? 0 : 1;
        _events.Count(VmEvent.PagesOut, area.Backing.IsSynchronous ? 0 : KiBPerPage);
        ended = !area.Backing.HoldsWrites;
        if (ended)
        {
            SetFlags(pfn, failed ? PageFlags.Dirty | PageFlags.Error : PageFlags.None);
            area.WriteErrors += failed ? 1 : 0;
            SetWriteback(pfn, -1);
        }
        else
        {
            using LockScope scope = Enter();
            _underWay.Enqueue((pfn, entry.Type, failed));
        }

        return !failed;
    }

    /// <summary>A write is done (<c>end_swap_bio_write()</c>): a page that could not be written is dirty again and stays, others come to the end of the list at which reclaim looks.</summary>
    private void EndWrite(Cpu cpu, int pfn, int type, bool failed)
    {
        if (failed)
        {
            _areas[type]!.WriteErrors++;
            SetFlags(pfn, PageFlags.Dirty | PageFlags.Error);
            ClearFlags(pfn, PageFlags.Reclaim);
        }

        Machine.Frames.AddReferences(pfn, 1);
        bool rotate = (ClearFlags(pfn, PageFlags.Reclaim) & PageFlags.Reclaim) != 0;
        SetWriteback(pfn, -1);
        if (rotate)
        {
            Machine.Lru.RotateAfterWriteback(cpu, pfn);
        }

        Machine.Lru.Put(cpu, pfn);
    }

    private bool TryNextUnderWay(out (int Pfn, int Type, bool Failed) write)
    {
        using LockScope scope = Enter();
        return _underWay.TryDequeue(out write);
    }

    /// <summary>Waits until a page is written: devices that hold writes end those before it too (<c>folio_wait_writeback()</c>).</summary>
    internal void WaitForWrite(Cpu cpu, int pfn)
    {
        while (HasFlag(pfn, PageFlags.Writeback) && TryNextUnderWay(out (int Pfn, int Type, bool Failed) write))
        {
            EndWrite(cpu, write.Pfn, write.Type, write.Failed);
        }
    }

    private void SetWriteback(int pfn, int change)
    {
        Debug.Assert(HasFlag(pfn, PageFlags.Writeback) == change < 0, "a page is written once at a time");
        if (change > 0)
        {
            SetFlags(pfn, PageFlags.Writeback);
        }
        else
        {
            ClearFlags(pfn, PageFlags.Writeback);
        }

        Zone zone = Machine.Zones[_frames[pfn].ZoneId];
        zone.Counters.WritePending += change;
        zone.Node.Counters.Writeback += change;
        _writebackByZone[zone.Id] += change;
        Debug.Assert(_writebackByZone[zone.Id] >= 0 && zone.Node.Counters.Writeback >= 0, "no more writes end than began");
        zone.Node.Counters.Written += change < 0 ? 1 : 0;
    }
}
