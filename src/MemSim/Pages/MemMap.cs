using MemSim.Hardware;

namespace MemSim.Pages;

/// <summary>The memory map (<c>mem_map</c>, vmemmap): one <see cref="PageFrame"/> for each frame number from 0 to the machine's last, in host memory that is only taken when touched.</summary>
internal sealed class MemMap
{
    /// <summary>Up to this size the map is backed by huge host pages, which saves TLB misses; beyond it, a touched frame should cost no more than a small page.</summary>
    private const long HugePageLimitBytes = 64L << 20;

    private readonly long _bytes;
    private readonly HostRange _memory;
    private int _listHeads;
    private int _collectionsLeft = 2;

    /// <summary>Reserves the map.</summary>
    /// <param name="endPfn">The first frame number beyond the machine.</param>
    /// <param name="maxListHeads">How many list heads will be asked for.</param>
    /// <param name="host">How memory is taken from the host.</param>
    /// <exception cref="OutOfMemoryException">The host has not that much address space.</exception>
    /// <exception cref="InvalidOperationException">The host cannot address that much.</exception>
    public MemMap(long endPfn, int maxListHeads, HostMemory host)
    {
        long frames = (endPfn + (1 << PageGeometry.MaxOrder) - 1) & ~((1L << PageGeometry.MaxOrder) - 1);
        if (frames + maxListHeads > int.MaxValue)
        {
            throw new ArgumentOutOfRangeException(nameof(endPfn), endPfn, "frame numbers of 2^31 and more (8 TiB) are not supported");
        }

        Frames = frames;
        _listHeads = maxListHeads;
        NextListHead = (int)frames;
        long length = Length = frames + maxListHeads;
        _bytes = ((length * PageFrame.SizeInBytes) + 4095) & ~4095L;
        _memory = HostRange.Take(_bytes, host, "the page frames").Owned();
        _memory.PreferHugePages(_bytes <= HugePageLimitBytes);
        GC.AddMemoryPressure(PressureBytes);
        Array = new FrameArray(_memory.Table<PageFrame>(0, length), Untouched);
        Untouched.Frames = Array;
    }

    /// <summary>Gives the address space back once nothing can reach it any more.</summary>
    ~MemMap()
    {
        // Some collections later: an access whose last reference to the machine was its own is over then.
        if (_collectionsLeft-- > 0)
        {
            GC.ReRegisterForFinalize(this);
            return;
        }

        // The host may have had nothing to give.
        if (_memory is not null)
        {
            GC.RemoveMemoryPressure(PressureBytes);
            _memory.Release();
        }
    }

    /// <summary>The number of frames, rounded up to whole blocks of the largest order.</summary>
    public long Frames { get; }

    /// <summary>Frames and list heads together.</summary>
    public long Length { get; }

    /// <summary>The frames.</summary>
    public FrameArray Array { get; }

    /// <summary>The free blocks whose frames are not written yet.</summary>
    public UntouchedBlocks Untouched { get; } = new();

    /// <summary>Host address space reserved, in bytes.</summary>
    public long ReservedBytes => _bytes;

    private int NextListHead { get; set; }

    private long PressureBytes => Math.Min(_bytes, 1 << 20);

    /// <summary>Hands out list heads: indexes beyond the last frame.</summary>
    public int TakeListHeads(int count)
    {
        if (count > _listHeads)
        {
            throw new InvalidOperationException("more list heads taken than reserved");
        }

        int first = NextListHead;
        NextListHead += count;
        _listHeads -= count;
        for (int i = first; i < first + count; i++)
        {
            Array.InitList(i);
        }

        return first;
    }

    /// <summary>All frames and list heads.</summary>
    public Span<PageFrame> All => _memory.Table<PageFrame>(0, Length).Slice(0, checked((int)Length));

    /// <summary>The first list head that nobody has.</summary>
    public int FirstFreeHead => NextListHead;

    /// <summary>In the copy of a map: list heads up to this one are taken.</summary>
    public void TakenUpTo(int next)
    {
        _listHeads -= next - NextListHead;
        NextListHead = next;
    }

    /// <summary>Gives the host memory back but keeps the address space until the map is unreachable: a stale <see cref="Page"/> then reads zeroes instead of other memory.</summary>
    public void Discard() => _memory.Discard();
}
