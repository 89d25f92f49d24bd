using System.Numerics;
using MemSim.Collections;

namespace MemSim.CompressedMemory;

/// <summary>Objects of up to some size, in blocks of so many frames that little is wasted: a class of zsmalloc.</summary>
internal sealed class SizeClass
{
    public const int Step = PageGeometry.PageSize >> 8;
    public const int Smallest = 32;

    private readonly Chain<Zspage, Zspage.GroupLinks>[] _groups;

    private SizeClass(int size, int pages, int groups)
    {
        Size = size;
        PagesPerZspage = pages;
        ObjectsPerZspage = pages * PageGeometry.PageSize / size;
        _groups = [.. Enumerable.Range(0, groups).Select(_ => new Chain<Zspage, Zspage.GroupLinks>())];
    }

    /// <summary>The longest object, handle included, in bytes.</summary>
    public int Size { get; }

    /// <summary>Frames of a block.</summary>
    public int PagesPerZspage { get; }

    public int ObjectsPerZspage { get; }

    /// <summary>Blocks there are.</summary>
    public long Zspages { get; set; }

    /// <summary>Objects in use.</summary>
    public long InUse { get; set; }

    /// <summary>Groups of blocks by how full they are.</summary>
    public int Groups => _groups.Length;

    /// <summary>Whether an object fills its block alone: it then needs no room for its handle.</summary>
    public bool IsHuge => PagesPerZspage == 1 && ObjectsPerZspage == 1;

    /// <summary>Frames that compaction could free (<c>zs_can_compact()</c>).</summary>
    public long PagesToSpare
    {
        get
        {
            long wasted = (Zspages * ObjectsPerZspage) - InUse;
            return wasted <= 0 ? 0 : wasted / ObjectsPerZspage * PagesPerZspage;
        }
    }

    /// <summary>Makes the classes, by size in steps of 16 bytes; neighbours of the same geometry are one.</summary>
    /// <param name="chains">Whether blocks have up to eight frames and are grouped by tenths (since 6.3); else up to four frames and four groups.</param>
    /// <param name="smallestHuge">The size from which on an object is stored as it is.</param>
    public static SizeClass[] Make(bool chains, out int smallestHuge)
    {
        const int groupsByTenths = 12;
        const int groupsByQuarters = 4;
        SizeClass[] classes = new SizeClass[((PageGeometry.PageSize - Smallest) / Step) + 1];
        SizeClass? larger = null;
        smallestHuge = 0;
        for (int i = classes.Length - 1; i >= 0; i--)
        {
            int size = Smallest + (i * Step);
            int pages = chains ? PagesWithLeastWaste(size) : PagesBestUsed(size);
            SizeClass one = new(size, pages, chains ? groupsByTenths : groupsByQuarters);
            if (smallestHuge == 0 && one.PagesPerZspage != 1 && one.ObjectsPerZspage != 1)
            {
                smallestHuge = size - (Zsmalloc.HandleBytes - 1);
            }

            larger = larger is not null && larger.PagesPerZspage == pages && larger.ObjectsPerZspage == one.ObjectsPerZspage ? larger : one;
            classes[i] = larger;
        }

        return classes;
    }

    /// <summary>The group of a block with so many objects in use.</summary>
    public int GroupOf(int inUse)
    {
        if (inUse == 0 || inUse == ObjectsPerZspage)
        {
            return inUse == 0 ? 0 : Groups - 1;
        }

        return Groups == 4 ? inUse <= 3 * ObjectsPerZspage / 4 ? 1 : 2 : (100 * inUse / ObjectsPerZspage / 10) + 1;
    }

    /// <summary>Blocks in all groups, counted one by one.</summary>
    public long Listed
    {
        get
        {
            long count = 0;
            foreach (Chain<Zspage, Zspage.GroupLinks> group in _groups)
            {
                for (Zspage? zspage = group.First; zspage is not null; zspage = Chain<Zspage, Zspage.GroupLinks>.Next(zspage))
                {
                    count++;
                }
            }

            return count;
        }
    }

    /// <summary>The first block of a group.</summary>
    public Zspage? First(int group) => _groups[group].First;

    /// <summary>The fullest block with room.</summary>
    public Zspage? FindWithRoom()
    {
        for (int group = Groups - 2; group >= 0; group--)
        {
            if (_groups[group].First is { } found)
            {
                return found;
            }
        }

        return null;
    }

    /// <summary>Puts a block into its group: at the front, or by quarters behind a first one that is fuller.</summary>
    public void Insert(Zspage zspage)
    {
        int group = GroupOf(zspage.InUse);
        zspage.Group = group;
        if (Groups == 4 && _groups[group].First is { } head && zspage.InUse < head.InUse)
        {
            _groups[group].AddAfter(zspage, head);
        }
        else
        {
            _groups[group].AddFirst(zspage);
        }
    }

    public void Remove(Zspage zspage) => _groups[zspage.Group].Remove(zspage);

    /// <summary>A block's use has changed: it may belong to another group now.</summary>
    public void Regroup(Zspage zspage)
    {
        if (GroupOf(zspage.InUse) != zspage.Group)
        {
            Remove(zspage);
            Insert(zspage);
        }
    }

    private static int PagesWithLeastWaste(int size)
    {
        const int longest = 8;
        if (BitOperations.IsPow2(size))
        {
            return 1;
        }

        int best = 1;
        for (int pages = 1; pages <= longest; pages++)
        {
            if (pages * PageGeometry.PageSize % size < best * PageGeometry.PageSize % size)
            {
                best = pages;
            }
        }

        return best;
    }

    private static int PagesBestUsed(int size)
    {
        const int longest = 4;
        int best = 1;
        int bestPercent = 0;
        for (int pages = 1; pages <= longest; pages++)
        {
            int bytes = pages * PageGeometry.PageSize;
            int percent = (bytes - (bytes % size)) * 100 / bytes;
            if (percent > bestPercent)
            {
                (best, bestPercent) = (pages, percent);
            }
        }

        return best;
    }
}
