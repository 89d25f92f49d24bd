using MemSim.AddressSpaces.Files;

namespace MemSim.Tests.AddressSpaces.Files;

/// <summary>A machine with a disk, a file system and files, in few words.</summary>
internal sealed class FileMachine : IDisposable
{
    public const int PageSize = PageGeometry.PageSize;

    public FileMachine(string memory = "64M", string disk = "64M", bool contents = true)
    {
        MachineSpec spec = MachineSpec.X86_64(memory, cpus: 1);
        Machine = Machine.Boot(contents ? spec : spec.WithoutContents());
        Disk = new BlockDevice("sda", disk);
        Files = Machine.Mount(Disk);
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
            _ = Cpu.WriteFile(file, (long)i * PageSize, page).Value;
        }

        _ = Cpu.Fsync(file);
        Machine.DropCaches(1);
        file.Close(Cpu);
        return Files.Open(name, OpenMode.ReadWrite).Value;
    }

    /// <summary>Reads one byte of a page.</summary>
    public byte ReadPage(OpenFile file, int page, int bytes = PageSize)
    {
        byte[] buffer = new byte[bytes];
        int read = Cpu.ReadFile(file, (long)page * PageSize, buffer).Value;
        return read == 0 ? (byte)0 : buffer[read - 1];
    }

    public int PageOf(OpenFile file, uint index) => file.Mapping.Find(index);

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

    public List<(uint First, uint Last, bool EvenCopies)> Unmapped { get; } = [];

    public List<uint> Cleaned { get; } = [];

    public void UnmapFileRange(Cpu cpu, uint first, uint last, bool evenCopies) => Unmapped.Add((first, last, evenCopies));

    public bool CleanFilePage(Cpu cpu, uint index, int pfn)
    {
        Cleaned.Add(index);
        return true;
    }
}
