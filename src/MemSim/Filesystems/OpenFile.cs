using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Slab;

namespace MemSim;

/// <summary>An open file description (<c>struct file</c>): a file, what it may be used for, and how it was read so far.</summary>
public sealed class OpenFile
{
    private int _references = 1;

    internal OpenFile(SimFile file, OpenMode mode, VirtualAddress memory)
    {
        File = file;
        Memory = memory;
        Mode = mode;
        ErrorsSeen = file.Mapping.SampleErrors();
        ReadAhead = new ReadAheadState();
        file.AddOpening();
    }

    /// <summary>The file.</summary>
    public SimFile File { get; }

    /// <summary>What it may be used for.</summary>
    public OpenMode Mode { get; }

    /// <summary>Whether it was closed by all its users.</summary>
    public bool IsClosed => _references == 0;

    /// <summary>The object of <c>filp</c> that it is.</summary>
    internal VirtualAddress Memory { get; }

    internal FileMapping Mapping => File.Mapping;

    /// <summary>What was read before, to guess what will be read next (<c>f_ra</c>).</summary>
    internal ReadAheadState ReadAhead { get; }

    /// <summary>The write-back errors already reported here (<c>f_wb_err</c>).</summary>
    internal uint ErrorsSeen { get; set; }

    /// <summary>Closes the file: drops one reference; a deleted file that nobody else uses is gone.</summary>
    /// <param name="cpu">The CPU it is closed on.</param>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    public void Close(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = File.FileSystem.Machine.CpuTable.Own(cpu);
        cpu.Machine.ThrowIfDisposed();
        using OwnersLock.Scope scope = cpu.Machine.EnterOwners();
        if (_references != 0)
        {
            Put(cpu);
        }
    }

    /// <summary>Takes another reference, as an area that maps the file does (<c>get_file()</c>).</summary>
    internal OpenFile Get()
    {
        _references++;
        return this;
    }

    /// <summary>Drops a reference (<c>fput()</c>).</summary>
    internal void Put(Cpu cpu)
    {
        if (--_references == 0)
        {
            cpu.Machine.Slab.KernelObjects.Give(cpu, KernelObject.File, Memory);
            File.DropOpening(cpu);
        }
    }
}
