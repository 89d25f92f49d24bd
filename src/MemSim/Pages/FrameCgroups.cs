using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <summary>To which memory cgroup each frame is charged (<c>page->memcg_data</c>): beside the frames, so that a machine without cgroups has neither the room nor the work.</summary>
internal sealed class FrameCgroups
{
    /// <summary>The largest number of a cgroup.</summary>
    public const int MaxId = (1 << KindShift) - 1;

    private const int KindShift = 13;
    private const int ChunkShift = 15;
    private readonly ushort[]?[] _chunks;

    public FrameCgroups(long frames)
    {
        _chunks = new ushort[((frames - 1) >> ChunkShift) + 1][];
    }

    /// <summary>The number of a frame's cgroup; 0 for those that no cgroup but the root pays for.</summary>
    public int this[int pfn]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => WordOf(pfn) & MaxId;
    }

    /// <summary>The first frame from one on that somebody but the root cgroup pays for; -1 when there is none.</summary>
    public int Next(int pfn)
    {
        for (int chunk = pfn >> ChunkShift, offset = pfn & ((1 << ChunkShift) - 1); chunk < _chunks.Length; chunk++, offset = 0)
        {
            int found = _chunks[chunk].AsSpan(_chunks[chunk] is null ? 0 : offset).IndexOfAnyExcept((ushort)0);
            if (found >= 0)
            {
                return (chunk << ChunkShift) + offset + found;
            }
        }

        return -1;
    }

    /// <summary>For what it is charged.</summary>
    public ChargeKind KindOf(int pfn) => (ChargeKind)(WordOf(pfn) >> KindShift);

    /// <summary>Says who pays for a frame. It may take host memory the first time.</summary>
    public void Set(int pfn, int id, ChargeKind kind)
    {
        ref ushort[]? chunk = ref _chunks[pfn >> ChunkShift];
        if (chunk is null)
        {
            _ = Interlocked.CompareExchange(ref chunk, new ushort[1 << ChunkShift], null);
        }

        chunk[pfn & ((1 << ChunkShift) - 1)] = (ushort)(id | ((int)kind << KindShift));
    }

    /// <summary>Nobody pays for it any more.</summary>
    public void Clear(int pfn)
    {
        if (_chunks[pfn >> ChunkShift] is { } chunk)
        {
            chunk[pfn & ((1 << ChunkShift) - 1)] = 0;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int WordOf(int pfn) => _chunks[pfn >> ChunkShift] is { } chunk ? chunk[pfn & ((1 << ChunkShift) - 1)] : 0;
}
