using MemSim.PageCache;

namespace MemSim.Hugetlb;

/// <summary>The pages of a file on hugetlbfs: in no LRU list and never written back, so they are kept apart from the page cache's trees.</summary>
internal sealed class HugetlbMapping : FileMapping
{
    public HugetlbMapping(SimFile host, HugetlbFileSystem fileSystem)
        : base(host, fileSystem.Machine, Gfp.HighUser, tracksShadows: false)
    {
        Content = new HugetlbFile(fileSystem.Pool, isShared: true, owner: null) { Host = host };
        fileSystem.Machine.Hugetlb.Files.Add(Content);
    }

    /// <summary>The pages and promises, of all shared mappings.</summary>
    public HugetlbFile Content { get; }

    private long Bytes => (long)Content.Bytes;

    public override Errno GetPage(Cpu cpu, uint index, Gfp gfp, bool waits, out int pfn)
    {
        pfn = -1;
        return Errno.EINVAL;
    }

    /// <summary>Reads what is there; holes are zero (<c>hugetlbfs_read_iter()</c>).</summary>
    public override Result<int> Read(Cpu cpu, OpenFile file, long offset, Span<byte> buffer)
    {
        int done = 0;
        int wanted = (int)Math.Min(buffer.Length, Math.Max(0, Host.Size - offset));
        while (done < wanted)
        {
            long at = offset + done;
            int part = (int)Math.Min(wanted - done, PageGeometry.PageSize - (at & (PageGeometry.PageSize - 1)));
            Span<byte> into = buffer.Slice(done, part);
            if (!Content.Pages.TryGetValue((ulong)(at / Bytes), out int head))
            {
                into.Clear();
            }
            else if (Machine.Ram.HasContents)
            {
                Machine.Ram.Range(((ulong)head << PageGeometry.PageShift) + (ulong)(at % Bytes), part).CopyTo(into);
            }

            done += part;
        }

        return done;
    }

    /// <summary>There is no <c>write()</c> on hugetlbfs.</summary>
    public override Result<int> Write(Cpu cpu, long offset, ReadOnlySpan<byte> buffer) => Errno.EINVAL;

    /// <summary>Sizes are multiples of the huge page; what lies behind a new end goes back to the pool (<c>hugetlb_vmtruncate()</c>).</summary>
    public override Errno Truncate(Cpu cpu, long bytes)
    {
        if (bytes % Bytes != 0)
        {
            return Errno.EINVAL;
        }

        bool shrinks = bytes < Host.Size;
        Host.Size = bytes;
        if (shrinks)
        {
            Remove(cpu, (ulong)(bytes / Bytes), ulong.MaxValue);
        }

        return Errno.None;
    }

    /// <summary>Whole huge pages of the range go, parts of others are zeroed (<c>hugetlbfs_punch_hole()</c>).</summary>
    public override Errno PunchHole(Cpu cpu, long offset, long bytes)
    {
        long end = offset + bytes;
        long first = (offset + Bytes - 1) / Bytes;
        long behind = end / Bytes;
        if (first > behind)
        {
            Zero(offset, end);
            return Errno.None;
        }

        Zero(offset, first * Bytes);
        Zero(behind * Bytes, end);
        if (first < behind)
        {
            Remove(cpu, (ulong)first, (ulong)behind);
        }

        return Errno.None;
    }

    public override void Retire(Cpu cpu)
    {
        base.Retire(cpu);
        Machine.Mm!.Hugetlb.Leave(cpu, Content);
        Machine.Hugetlb.Files.Remove(Content);
    }

    private void Remove(Cpu cpu, ulong first, ulong end)
    {
        ulong pages = 1UL << Content.Pool.Order;
        uint last = end > uint.MaxValue / pages ? uint.MaxValue : (uint)((end * pages) - 1);
        if (first <= uint.MaxValue / pages)
        {
            UnmapRange(cpu, (uint)(first * pages), last, evenCopies: true);
        }

        Machine.Mm!.Hugetlb.Remove(cpu, Content, first, end);
    }

    private void Zero(long from, long end)
    {
        if (from < end && Machine.Ram.HasContents && Content.Pages.TryGetValue((ulong)(from / Bytes), out int head))
        {
            for (long at = from; at < end; at = (at | (PageGeometry.PageSize - 1)) + 1)
            {
                long part = Math.Min(end, (at | (PageGeometry.PageSize - 1)) + 1) - at;
                Machine.Ram.Range(((ulong)head << PageGeometry.PageShift) + (ulong)(at % Bytes), (int)part).Clear();
            }
        }
    }
}
