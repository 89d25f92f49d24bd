using MemSim.Background;
using MemSim.Cgroups;
using MemSim.Lru;
using MemSim.Statistics;
using EntryList = MemSim.Collections.Chain<MemSim.CompressedMemory.ZswapEntry, MemSim.CompressedMemory.ZswapEntry.AgeLinks>;

namespace MemSim.CompressedMemory;

/// <content>Write-back: what is oldest goes to its area.</content>
internal sealed partial class ZswapPages
{
    /// <summary>Frames of zbud that are tried before a round fails.</summary>
    private const int FramesPerRound = 8;

    private readonly Dictionary<(int Cgroup, int Node), EntryList> _lists = [];
    private int _lastShrunk = -1;

    private int LargestFailures => _rules.ZswapByCgroup ? 16 : 14;

    /// <summary>Pages on a node's lists.</summary>
    public long Listed(int node)
    {
        long count = 0;
        foreach (((int cgroup, int at), EntryList list) in _lists)
        {
            count += at == node && MayShrink(cgroup) ? list.Count : 0;
        }

        return count;
    }

    private bool MayShrink(int cgroup) => cgroup == 0 || CgroupTree.MayWriteBack(_machine.Cgroups.OfOrNull(cgroup));

    private void Enlist(ZswapEntry entry, int node)
    {
        if (!_lists.TryGetValue((entry.Owner, node), out EntryList? list))
        {
            _lists.Add((entry.Owner, node), list = new());
        }

        list.AddLast(entry);
    }

    /// <summary>Looks at so many pages of a node's lists and writes back those not used since the last look.</summary>
    /// <returns>Pages written back.</returns>
    public long WriteBackFrom(Cpu cpu, int node, long toScan)
    {
        long written = 0;
        foreach (((int cgroup, int at), EntryList list) in _lists.ToList())
        {
            for (long left = Math.Min(list.Count, toScan); at == node && MayShrink(cgroup) && left > 0 && list.First is { } oldest; left--, toScan--)
            {
                written += WriteBackIfOld(cpu, oldest) ? 1 : 0;
            }
        }

        return written;
    }

    /// <summary>Looks at the oldest page of a cgroup on each node (<c>shrink_memcg()</c>).</summary>
    /// <returns>ENOENT: it has none; EAGAIN: none was written.</returns>
    private Errno WriteBackOneOf(Cpu cpu, Cgroup cgroup)
    {
        if (!CgroupTree.MayWriteBack(cgroup))
        {
            return Errno.ENOENT;
        }

        bool looked = false;
        bool written = false;
        foreach (Node node in _machine.Nodes)
        {
            if (_lists.GetValueOrDefault((cgroup.Id, node.Id))?.First is { } oldest)
            {
                looked = true;
                written |= WriteBackIfOld(cpu, oldest);
            }
        }

        return !looked ? Errno.ENOENT : written ? Errno.None : Errno.EAGAIN;
    }

    /// <summary>Writes a page back unless it gets a second chance; either way it is the youngest then.</summary>
    private bool WriteBackIfOld(Cpu cpu, ZswapEntry entry)
    {
        EntryList list = EntryList.Of(entry)!;
        list.Remove(entry);
        list.AddLast(entry);
        if (entry.IsReferenced)
        {
            entry.IsReferenced = false;
            return false;
        }

        bool written = WriteBack(cpu, entry) == Errno.None;
        Counts.FailedWritebacks += written ? 0 : 1;
        return written;
    }

    /// <summary>Sends a page to its area: through the swap cache, where it stays until it is written (<c>zswap_writeback_entry()</c>).</summary>
    private Errno WriteBack(Cpu cpu, ZswapEntry entry)
    {
        Errno error = _machine.Swap.BeginWriteback(cpu, entry.Slot, out int pfn);
        if (error != Errno.None)
        {
            return error;
        }

        // The memory for that page may have been found here, or its slot was freed and used anew.
        bool isSame = ReferenceEquals(_entries.GetValueOrDefault(entry.Slot.Word), entry);
        bool expanded = isSame && Expand(entry, pfn);
        int owner = entry.Owner;
        if (expanded)
        {
            Remove(cpu, entry);
        }

        _machine.Swap.EndWriteback(cpu, pfn, expanded);
        if (!expanded)
        {
            return isSame ? Errno.EIO : Errno.ENOENT;
        }

        Counts.WrittenBack++;
        _machine.Events.Count(VmEvent.Zswpwb);
        if (owner != 0)
        {
            _machine.Cgroups.OfOrNull(owner)?.Count(CgroupStat.ZswapWriteback, 1);
        }

        return Errno.None;
    }

    /// <summary>Shrinks the pool until it takes pages again, or too much goes wrong; on 6.1 by one frame (<c>shrink_worker()</c>).</summary>
    private void Shrink(Cpu cpu)
    {
        int failures = 0;
        bool tried = true;
        do
        {
            Errno error;
            if (_rules.ZswapByCgroup)
            {
                Cgroup? cgroup = NextToShrink();
                if (cgroup is null)
                {
                    // All were asked: if none of them has anything, that counts as a failure.
                    if (!tried && ++failures == LargestFailures)
                    {
                        break;
                    }

                    tried = false;
                    continue;
                }

                error = WriteBackOneOf(cpu, cgroup);
                if (error == Errno.ENOENT)
                {
                    continue;
                }

                tried = true;
            }
            else
            {
                error = WriteBackFrame(cpu);
                Counts.FailedWritebacks += error == Errno.None ? 0 : 1;
                if (error is not (Errno.None or Errno.EAGAIN))
                {
                    break;
                }
            }

            if (error != Errno.None && ++failures == LargestFailures)
            {
                break;
            }
        }
        while (_rules.ZswapShrinksUntilItAccepts && (_rules.ZswapByCgroup ? PoolPages > AcceptPages : PoolPages >= AcceptPages));
    }

    /// <summary>The cgroup after the one that was shrunk last; null behind the last one.</summary>
    private Cgroup? NextToShrink()
    {
        bool take = _lastShrunk < 0;
        foreach (Cgroup cgroup in _machine.Cgroups.All())
        {
            if (take)
            {
                _lastShrunk = cgroup.Id;
                return cgroup;
            }

            take = cgroup.Id == _lastShrunk;
        }

        _lastShrunk = -1;
        return null;
    }

    /// <summary>Writes back what is in the frame that was used least recently (<c>zbud_reclaim_page()</c>).</summary>
    private Errno WriteBackFrame(Cpu cpu)
    {
        for (int round = 0; round < FramesPerRound; round++)
        {
            // Pools that cannot say what is oldest do not write back.
            if (_pools.FindLast(p => p.Memory is Zbud { Pages: > 0 }) is not { Memory: Zbud zbud } pool || !zbud.TryOldest(out int first, out int last))
            {
                return Errno.EINVAL;
            }

            long before = zbud.Pages;
            _ = Evict(cpu, pool, first) && Evict(cpu, pool, last);
            if (zbud.Pages < before)
            {
                return Errno.None;
            }
        }

        return Errno.EAGAIN;
    }

    private bool Evict(Cpu cpu, ZswapPool pool, int handle) => handle == 0 || !pool.ByHandle.TryGetValue(handle, out ZswapEntry? entry) || WriteBack(cpu, entry) == Errno.None;

    /// <summary>The work queue that writes back.</summary>
    private sealed class ZswapShrinkWorker(ZswapPages pages) : BackgroundTask("zswap-shrink", 97, null)
    {
        public override void Run(Cpu cpu)
        {
            using OwnersLock.Scope owners = pages._machine.OwnersLock.Enter();
            pages.Shrink(cpu);
        }
    }
}
