using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <summary>To which memory cgroup each frame is charged (<c>page->memcg_data</c>): beside the frames, so that a machine without cgroups has neither the room nor the work.</summary>
internal sealed class FrameCgroups
{
    private const int ChunkShift = 15;
    private readonly ushort[]?[] _chunks;

    public FrameCgroups(long frames)
    {
        _chunks = new ushort[((frames - 1) >> ChunkShift) + 1][];
    }

    /// <summary>The number of a frame's cgroup; 0 for those that no cgroup but the root pays for. Setting it may take host memory the first time.</summary>
    public int this[int pfn]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _chunks[pfn >> ChunkShift] is { } chunk ? chunk[pfn & ((1 << ChunkShift) - 1)] : 0;
        set
        {
            ref ushort[]? chunk = ref _chunks[pfn >> ChunkShift];
            if (chunk is null)
            {
                if (value == 0)
                {
                    return;
                }

                _ = Interlocked.CompareExchange(ref chunk, new ushort[1 << ChunkShift], null);
            }

            chunk[pfn & ((1 << ChunkShift) - 1)] = (ushort)value;
        }
    }
}
