using System.Diagnostics;
using MemSim.Background;
using MemSim.BlockDevices;
using MemSim.Lru;
using DirtyFiles = MemSim.Collections.Chain<MemSim.PageCache.FileMapping, MemSim.PageCache.FileMapping.DirtyLinks>;

namespace MemSim.PageCache;

/// <summary>Writes the dirty pages of a device's files: the flusher thread, and what holds writers up (<c>struct bdi_writeback</c>).</summary>
internal sealed class DeviceWriteback : BackgroundTask, IHeldWrites
{
    private const int ChunkPages = (4 << 20) / PageGeometry.PageSize;
    private const int FirstPid = 60;
    private const long MaxPauseNanoseconds = 200_000_000;

    /// <summary>A writer looks at the limits each time it has made so many pages dirty.</summary>
    private const int PagesBetweenLooks = 32;

    /// <summary>How often a writer waits for one page before it goes on whatever happens: the kernel would wait for ever.</summary>
    private const int MaxPauses = 10;

    private readonly List<(FileMapping Mapping, int Pfn, Errno Error)> _held = [];

    /// <summary>Files with dirty pages, the one first that became dirty first.</summary>
    private readonly DirtyFiles _dirty = new();
    private bool _isRunning;

    public DeviceWriteback(Machine machine, BlockDevice device, int number)
        : base($"kworker/u{machine.Cpus.Count}:{number}-flush-8:{number * 16}", FirstPid + number, null)
    {
        Machine = machine;
        Device = device;
        Number = $"08:{number * 16:x2}";
    }

    public Machine Machine { get; }

    public BlockDevice Device { get; }

    /// <summary>Major and minor number as <c>/proc/pid/maps</c> prints them.</summary>
    public string Number { get; }

    /// <summary>Whether a file has dirty pages.</summary>
    public bool HasDirty => _dirty.First is not null;

    /// <summary>When the file became dirty that did so last; 0 when none is.</summary>
    public long YoungestDirty => _dirty.Last?.DirtiedWhen ?? 0;

    /// <summary>Pages whose writes are under way.</summary>
    public int HeldWrites => _held.Count;

    /// <summary>Whether too old pages are to be written as well, not only too many.</summary>
    private bool _forOldPages;

    /// <summary>Whether everything is to be written.</summary>
    private bool _forReclaim;

    /// <summary>A file got its first dirty page.</summary>
    public void NoteDirty(FileMapping mapping)
    {
        if (mapping.IsListedDirty)
        {
            return;
        }

        mapping.DirtiedWhen = Machine.Files.PageCache.Nanoseconds;
        _dirty.AddLast(mapping);
    }

    /// <summary>A file has no dirty pages any more.</summary>
    public void NoteClean(FileMapping mapping)
    {
        if (mapping.IsListedDirty)
        {
            _dirty.Remove(mapping);
        }
    }

    /// <summary>Keeps a page's write under way until somebody waits.</summary>
    public void Hold(FileMapping mapping, int pfn, Errno error)
    {
        Debug.Assert(Machine.Frames.Array[pfn].IsUnderWriteback && Machine.Frames.Array[pfn].RefCount > 0, "a page whose write is under way says so, and is held");
        _held.Add((mapping, pfn, error));
    }

    /// <summary>Ends all writes that are under way.</summary>
    public int CompleteHeldWrites(Cpu cpu)
    {
        int count = _held.Count;
        for (int i = 0; i < count; i++)
        {
            (FileMapping mapping, int pfn, Errno error) = _held[i];
            mapping.EndWriteback(cpu, pfn, error);
        }

        Debug.Assert(_held.Count >= count, "writes that begin meanwhile come behind");
        _held.RemoveRange(0, count);
        return count;
    }

    /// <summary>The periodic look for pages that are dirty for too long.</summary>
    public void WakeForOldPages(Cpu cpu)
    {
        if (HasDirty)
        {
            _forOldPages = true;
            Machine.Background.Tasks.Wake(cpu, this);
        }
    }

    /// <summary>Reclaim found nothing but dirty pages: all of them are to be written (<c>WB_REASON_VMSCAN</c>).</summary>
    public void WakeForReclaim(Cpu cpu)
    {
        if (HasDirty)
        {
            _forReclaim = true;
            Machine.Background.Tasks.Wake(cpu, this);
        }
    }

    public override void Run(Cpu cpu)
    {
        using OwnersLock.Scope scope = Machine.EnterOwners();
        Debug.Assert(!_isRunning, "a flusher runs once");
        _isRunning = true;
        try
        {
            if (_forReclaim)
            {
                _forReclaim = false;
                WriteAllOnce(cpu);
            }

            if (_forOldPages)
            {
                _forOldPages = false;
                WriteOldPages(cpu);
            }

            WriteToBackgroundLimit(cpu);
        }
        finally
        {
            _isRunning = false;
        }
    }

    /// <summary>Writes everything that is dirty and waits (<c>sync_filesystem()</c>).</summary>
    public void WriteAll(Cpu cpu)
    {
        FileMapping? mapping = _dirty.First;
        while (mapping is not null)
        {
            FileMapping? next = DirtyFiles.Next(mapping);
            _ = mapping.WriteAndWait(cpu, 0, uint.MaxValue);
            mapping = next;
        }

        _ = CompleteHeldWrites(cpu);
    }

    /// <summary>As <see cref="BalanceDirty"/>, but only after some pages were made dirty on this CPU.</summary>
    public void BalanceDirtyNowAndThen(Cpu cpu)
    {
        if (Machine.Files.PageCache.Dirtied[cpu.Id] >= PagesBetweenLooks)
        {
            BalanceDirty(cpu);
        }
    }

    /// <summary>Starts background writing when too much is dirty, and holds the writer up when far too much is (<c>balance_dirty_pages()</c>).</summary>
    public void BalanceDirty(Cpu cpu)
    {
        FileCache cache = Machine.Files.PageCache;
        cache.Dirtied[cpu.Id] = 0;
        for (int pauses = 0; ; pauses++)
        {
            (long threshold, long background) = cache.DirtyLimits.Now();
            long dirty = cache.Sum(NodeFigure.Dirty);
            if (dirty > background && !_isRunning)
            {
                Machine.Background.Tasks.Wake(cpu, this);
                dirty = cache.Sum(NodeFigure.Dirty);
            }

            // Half-way between the limits writers start to be slowed down.
            if (dirty + cache.Sum(NodeFigure.Writeback) <= (threshold + background) / 2 || _isRunning || pauses == MaxPauses)
            {
                return;
            }

            // The writer sleeps; meanwhile the device works and so does the flusher.
            cache.Throttled++;
            Machine.DeviceWaits.Wait(cpu, cache.Nanoseconds + MaxPauseNanoseconds);
            _ = CompleteHeldWrites(cpu);
            if (Machine.Background.Mode == BackgroundWork.Manual)
            {
                Machine.Background.Tasks.RunPending(cpu);
            }
        }
    }

    /// <summary>Starts writing all that is dirty now, without waiting.</summary>
    private void WriteAllOnce(Cpu cpu)
    {
        FileMapping? mapping = _dirty.First;
        while (mapping is not null)
        {
            FileMapping? next = DirtyFiles.Next(mapping);
            _ = mapping.WriteSome(cpu, int.MaxValue);
            mapping = next;
        }
    }

    private void WriteOldPages(Cpu cpu)
    {
        long expire = Machine.Settings.Sysctls.Number("dirty_expire_centisecs") * 10_000_000;
        FileMapping? mapping = _dirty.First;
        while (mapping is not null)
        {
            FileMapping? next = DirtyFiles.Next(mapping);
            bool isOld = mapping.DirtiedWhen + expire <= Machine.Files.PageCache.Nanoseconds;
            while (isOld && mapping.IsListedDirty && mapping.WriteSome(cpu, ChunkPages) != 0)
            {
            }

            mapping = next;
        }
    }

    private void WriteToBackgroundLimit(Cpu cpu)
    {
        FileCache cache = Machine.Files.PageCache;
        while (_dirty.First is { } mapping && cache.Sum(NodeFigure.Dirty) > cache.DirtyLimits.Now().Background)
        {
            if (!WriteChunk(cpu, mapping))
            {
                return;
            }
        }
    }

    /// <summary>Writes some pages of a file; a file that has more goes to the end of the list.</summary>
    /// <returns>Whether anything was done.</returns>
    private bool WriteChunk(Cpu cpu, FileMapping mapping)
    {
        long since = mapping.DirtiedWhen;
        int written = mapping.WriteSome(cpu, ChunkPages);
        if (mapping.IsListedDirty && written != 0)
        {
            NoteClean(mapping);
            NoteDirty(mapping);
            mapping.DirtiedWhen = since;
        }

        return written != 0 || !mapping.IsListedDirty;
    }
}
