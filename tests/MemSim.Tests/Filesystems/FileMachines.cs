using MemSim.Filesystems;
using MemSim.Lru;
using MemSim.PageCache;

namespace MemSim.Tests.Filesystems;

/// <summary>A machine with a disk, a file system and files, in few words.</summary>
internal sealed class FileMachine : IDisposable
{
    public const int PageSize = PageGeometry.PageSize;

    public FileMachine(string memory = "128M", string disk = "64M", bool contents = true)
    {
        MachineSpec spec = MachineSpec.X86_64(memory, cpus: 1);
        Machine = Machine.Boot(contents ? spec : spec.WithoutContents());
        Disk = new BlockDevice("sda", disk);
        Files = Machine.Files.Mount(Disk);
        Cpu = Machine.Cpus[0];
    }

    public Machine Machine { get; }

    public BlockDevice Disk { get; }

    public DiskFileSystem Files { get; }

    public Cpu Cpu { get; }

    public NodeCounters Counters => Machine.Nodes[0].Counters;

    /// <summary>A file of so many pages on the disk, none of them in memory; page n is full of n + 1.</summary>
    public OpenFile FileOnDisk(int pages, string name = "file")
    {
        OpenFile file = Files.Create(name).Value;
        byte[] page = new byte[PageSize];
        for (int i = 0; i < pages; i++)
        {
            Array.Fill(page, (byte)(i + 1));
            _ = Cpu.Files.Write(file, (long)i * PageSize, page).Value;
        }

        _ = Cpu.Files.Fsync(file);
        Machine.Files.DropCaches(1);
        file.Close(Cpu);
        return Files.Open(name, OpenMode.ReadWrite).Value;
    }

    /// <summary>Reads one byte of a page.</summary>
    public byte ReadPage(OpenFile file, int page, int bytes = PageSize)
    {
        byte[] buffer = new byte[bytes];
        int read = Cpu.Files.Read(file, (long)page * PageSize, buffer).Value;
        return read == 0 ? (byte)0 : buffer[read - 1];
    }

    public static int PageOf(OpenFile file, uint index) => file.Mapping.Find(index);

    public void Dispose()
    {
        Machine.Verify();
        Machine.Dispose();
        Disk.Dispose();
    }
}

/// <summary>An area that maps a file, without page tables: it remembers what it was told.</summary>
internal sealed class FakeArea : IMappedArea
{
    public uint StartIndex { get; init; }

    public long Pages { get; init; }

    public bool IsShared { get; init; } = true;

    public bool MayWriteFile => IsShared;

    public List<(uint First, uint Last, bool EvenCopies)> Unmapped { get; } = [];

    public List<uint> Cleaned { get; } = [];

    public void UnmapFileRange(Cpu cpu, uint first, uint last, bool evenCopies) => Unmapped.Add((first, last, evenCopies));

    public bool CleanFilePage(Cpu cpu, uint index, int pfn)
    {
        Cleaned.Add(index);
        return true;
    }
}

/// <summary>Swap space for shared memory in an array of pages; writes are done at once.</summary>
internal sealed class FakeShmemSwap : IShmemSwap
{
    private readonly Dictionary<long, byte[]> _slots = [];
    private long _next;

    public int Used => _slots.Count;

    public PageOutOutcome SwapOut(Cpu cpu, ShmemMapping mapping, int pfn)
    {
        _slots.Add(_next, cpu.Machine.Ram.ReadOnly((ulong)pfn << PageGeometry.PageShift, PageGeometry.PageSize).ToArray());
        mapping.ReplaceBySwapEntry(cpu, pfn, _next++);
        cpu.Machine.Frames.AddReferences(pfn, -1);
        cpu.Machine.GetPage(new Pfn(pfn)).ClearFlags(PageFlags.Dirty);
        return PageOutOutcome.Success;
    }

    public bool IsInCache(long entry) => false;

    public Errno SwapIn(Cpu cpu, ShmemMapping mapping, uint index, long entry, out int pfn)
    {
        pfn = cpu.AllocPage(Gfp.HighUserMovable).FrameIndex;
        _slots[entry].CopyTo(cpu.Machine.Ram.Frame(pfn));
        cpu.Machine.GetPage(new Pfn(pfn)).SetFlags(PageFlags.UpToDate);
        bool added = mapping.AddForSwapEntry(cpu, pfn, index, entry);
        cpu.Machine.Lru.Add(cpu, pfn);
        Free(cpu, entry);
        return added ? Errno.None : Errno.EIO;
    }

    public void Free(Cpu cpu, long entry) => _slots.Remove(entry);
}
