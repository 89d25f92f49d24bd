using MemSim.Collections;
using MemSim.Diagnostics;

namespace MemSim.CompressedMemory;

/// <summary>At most two objects in a frame, one from each end, in units of 64 bytes (<c>mm/zbud.c</c>): what zswap used before zsmalloc could write back.</summary>
/// <remarks>Frames are not movable and count nowhere. The frame that was taken or filled least recently is written back first.</remarks>
internal sealed class Zbud : ICompressedPool
{
    public const string KernelName = "zbud";

    private const int ChunkShift = 6;
    private const int ChunkBytes = 1 << ChunkShift;

    /// <summary>One is for the header.</summary>
    private const int Chunks = (PageGeometry.PageSize >> ChunkShift) - 1;

    private readonly Machine _machine;
    private readonly Dictionary<int, Buddies> _frames = [];
    private readonly Chain<Buddies, Buddies.RoomLinks>[] _unbuddied = [.. Enumerable.Range(0, Chunks + 1).Select(_ => new Chain<Buddies, Buddies.RoomLinks>())];
    private readonly Chain<Buddies, Buddies.UseLinks> _used = new();
    private readonly List<(Buddies? Buddies, bool Last)> _handles = [(null, false)];
    private readonly Stack<int> _freeHandles = [];

    public Zbud(Machine machine)
    {
        _machine = machine;
        machine.Swap.CompressedPools.Add(this);
    }

    public string Name => KernelName;

    public long Pages => _frames.Count;

    public int LongestObject => PageGeometry.PageSize - (2 * ChunkBytes);

    public Errno Allocate(Cpu cpu, int bytes, Gfp gfp, out int handle)
    {
        handle = 0;
        if (bytes <= 0 || bytes > LongestObject)
        {
            return Errno.ENOSPC;
        }

        int chunks = (bytes + ChunkBytes - 1) >> ChunkShift;
        Buddies? found = null;
        for (int free = chunks; free <= Chunks && found is null; free++)
        {
            found = _unbuddied[free].First;
        }

        if (found is null)
        {
            int pfn = _machine.Pages.Allocate(cpu, gfp & ~(Gfp.HighMem | Gfp.Movable), 0);
            if (pfn < 0)
            {
                return Errno.ENOMEM;
            }

            found = new Buddies(pfn);
            _frames.Add(pfn, found);
        }
        else
        {
            _unbuddied[found.Free].Remove(found);
            _used.Remove(found);
        }

        if (!_freeHandles.TryPop(out handle))
        {
            handle = _handles.Count;
            _handles.Add(default);
        }

        bool last = found.First != 0;
        _handles[handle] = (found, last);
        found.Set(last, chunks, handle);
        if (found.First == 0 || found.Last == 0)
        {
            _unbuddied[found.Free].AddFirst(found);
        }

        _used.AddFirst(found);
        return Errno.None;
    }

    public void Free(Cpu cpu, int handle)
    {
        (Buddies? buddies, bool last) = _handles[handle];
        _handles[handle] = default;
        _freeHandles.Push(handle);
        Chain<Buddies, Buddies.RoomLinks>.Of(buddies!)?.Remove(buddies!);
        buddies!.Set(last, 0, 0);
        if (buddies.First != 0 || buddies.Last != 0)
        {
            _unbuddied[buddies.Free].AddFirst(buddies);
            return;
        }

        _used.Remove(buddies);
        _ = _frames.Remove(buddies.Pfn);
        _machine.Pages.FreeBlock(cpu, buddies.Pfn, 0);
    }

    public void Write(int handle, ReadOnlySpan<byte> bytes)
    {
        if (_machine.Ram.HasContents)
        {
            bytes.CopyTo(_machine.Ram.Range(AddressOf(handle), bytes.Length));
        }
    }

    public void Read(int handle, Span<byte> into)
    {
        if (_machine.Ram.HasContents)
        {
            _machine.Ram.ReadOnly(AddressOf(handle), into.Length).CopyTo(into);
        }
        else
        {
            into.Clear();
        }
    }

    /// <summary>The objects of the frame that was used least recently (<c>zbud_reclaim_page()</c>); it counts as used now.</summary>
    /// <returns>False when there is none.</returns>
    public bool TryOldest(out int first, out int last)
    {
        (first, last) = (0, 0);
        if (_used.Last is not { } oldest)
        {
            return false;
        }

        _used.Remove(oldest);
        _used.AddFirst(oldest);
        (first, last) = (oldest.FirstHandle, oldest.LastHandle);
        return true;
    }

    public void AddFrames(ICollection<int> frames)
    {
        foreach (int pfn in _frames.Keys)
        {
            frames.Add(pfn);
        }
    }

    public void Verify()
    {
        long unbuddied = _unbuddied.Sum(list => (long)list.Count);
        long single = _frames.Values.Count(b => b.First == 0 || b.Last == 0);
        if (unbuddied != single || _used.Count != _frames.Count)
        {
            BugReporter.Corrupt($"zbud: {unbuddied} frames with room and {_used.Count} in all are listed, but there are {single} and {_frames.Count}");
        }

        foreach ((int pfn, Buddies buddies) in _frames)
        {
            if (_machine.Frames.Array[pfn].RefCount != 1 || buddies.First + buddies.Last is 0 or > Chunks)
            {
                BugReporter.Corrupt($"zbud: pfn 0x{pfn:x} has {_machine.Frames.Array[pfn].RefCount} references and objects of {buddies.First} and {buddies.Last} chunks");
            }
        }
    }

    private ulong AddressOf(int handle)
    {
        (Buddies? buddies, bool last) = _handles[handle];
        int offset = last ? PageGeometry.PageSize - (buddies!.Last << ChunkShift) : ChunkBytes;
        return ((ulong)(uint)buddies!.Pfn << PageGeometry.PageShift) + (uint)offset;
    }

    /// <summary>A frame with up to two objects.</summary>
    private sealed class Buddies(int pfn)
    {
        private Links<Buddies, RoomLinks> _roomLinks;
        private Links<Buddies, UseLinks> _useLinks;

        public int Pfn => pfn;

        public int First { get; private set; }

        public int Last { get; private set; }

        public int FirstHandle { get; private set; }

        public int LastHandle { get; private set; }

        public int Free => Chunks - First - Last;

        /// <summary>Its place among those with as much room.</summary>
        internal readonly struct RoomLinks : IChainLinks<Buddies, RoomLinks>
        {
            public static ref Links<Buddies, RoomLinks> Of(Buddies member) => ref member._roomLinks;
        }

        /// <summary>Its place among all, by the time of their use.</summary>
        internal readonly struct UseLinks : IChainLinks<Buddies, UseLinks>
        {
            public static ref Links<Buddies, UseLinks> Of(Buddies member) => ref member._useLinks;
        }

        public void Set(bool last, int chunks, int handle)
        {
            if (last)
            {
                (Last, LastHandle) = (chunks, handle);
            }
            else
            {
                (First, FirstHandle) = (chunks, handle);
            }
        }
    }
}
