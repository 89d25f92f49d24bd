using System.Diagnostics.CodeAnalysis;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Slab;

namespace MemSim;

/// <summary>A simulated file system: files by name, without directories.</summary>
public abstract class SimFileSystem
{
    private const int MaxNameLength = 255;
    private readonly Dictionary<string, SimFile> _files = new(StringComparer.Ordinal);

    private long _nextInode;

    private protected SimFileSystem(Machine machine, int deviceNumber, long firstInode)
    {
        Machine = machine;
        DeviceNumber = deviceNumber;
        _nextInode = firstInode;
    }

    /// <summary>The machine it is mounted on.</summary>
    public Machine Machine { get; }

    /// <summary>The names of its files, in their ordinal order: that of a table would be another one in a copy of the machine.</summary>
    public IEnumerable<string> Names => _files.Keys.Order(StringComparer.Ordinal);

    /// <summary>Pages that files can still take.</summary>
    public abstract long FreePages { get; }

    /// <summary>The device number that <c>/proc/pid/maps</c> shows for its files: major in the upper bits, minor in the lower 20.</summary>
    internal int DeviceNumber { get; }

    /// <summary>Whether nothing can be written.</summary>
    public abstract bool IsReadOnly { get; }

    /// <summary>Creates an empty file and opens it (<c>O_CREAT | O_EXCL</c>).</summary>
    /// <param name="name">Its name, at most 255 characters.</param>
    /// <param name="mode">What it is opened for.</param>
    /// <param name="cpu">The CPU that does it; null for the first.</param>
    /// <returns>The open file; EEXIST, EROFS, EINVAL, ENAMETOOLONG, ENOMEM.</returns>
    public Result<OpenFile> Create(string name, OpenMode mode = OpenMode.ReadWrite, Cpu? cpu = null)
    {
        cpu = Machine.CpuTable.Own(cpu);
        using OwnersLock.Scope scope = Machine.EnterOwners();
        Errno error = CheckName(name);
        if (error != Errno.None)
        {
            return error;
        }

        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        Result<OpenFile> opened = OpenNew(cpu, name, 0, mode);
        if (opened.Succeeded)
        {
            AddFile(opened.Value.File);
        }

        return opened;
    }

    /// <summary>Which cache the inodes are objects of.</summary>
    internal abstract KernelObject InodeKind { get; }

    /// <summary>A number for a new file; each file system counts its own.</summary>
    private protected long TakeInode()
    {
        Machine.Files.UsePageCache();
        return _nextInode++;
    }

    /// <summary>Opens a file.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="mode">What it is opened for.</param>
    /// <param name="cpu">The CPU that does it; null for the first.</param>
    /// <returns>The open file; ENOENT, EROFS, or ENOMEM.</returns>
    public Result<OpenFile> Open(string name, OpenMode mode = OpenMode.Read, Cpu? cpu = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        Machine.ThrowIfDisposed();
        _ = Machine.CpuTable.Own(cpu);
        using OwnersLock.Scope scope = Machine.EnterOwners();
        if (!_files.TryGetValue(name, out SimFile? file))
        {
            return Errno.ENOENT;
        }

        return IsReadOnly && (mode & OpenMode.Write) != 0 ? Errno.EROFS : Open(Machine.CpuTable.Own(cpu), file, mode);
    }

    /// <summary>Removes a file's name; the file goes when nobody has it open or mapped (<c>unlink()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="name">The name.</param>
    /// <returns><see cref="Errno.None"/>, ENOENT, or EROFS.</returns>
    public Errno Delete(Cpu cpu, string name)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(name);
        Machine.ThrowIfDisposed();
        _ = Machine.CpuTable.Own(cpu);
        using OwnersLock.Scope scope = Machine.EnterOwners();
        if (!_files.TryGetValue(name, out SimFile? file))
        {
            return Errno.ENOENT;
        }

        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        _files.Remove(name);
        file.Links = 0;
        EvictIfUnused(cpu, file);
        return Errno.None;
    }

    /// <summary>The file with a name, if there is one.</summary>
    /// <param name="name">The name.</param>
    /// <param name="file">The file.</param>
    public bool TryFind(string name, [NotNullWhen(true)] out SimFile? file)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _files.TryGetValue(name, out file);
    }

    /// <summary>A file that nobody names or uses is gone, with its pages and its room (<c>evict_inode()</c>).</summary>
    internal static void EvictIfUnused(Cpu cpu, SimFile file)
    {
        if (file.Links == 0 && file.Openings == 0)
        {
            file.Mapping.Retire(cpu);
            KernelObjects objects = file.FileSystem.Machine.Slab.KernelObjects;
            objects.Give(cpu, KernelObject.Dentry, file.Dentry);
            objects.Give(cpu, file.FileSystem.InodeKind, file.Inode);
        }
    }

    /// <summary>Makes what fsync wrote durable.</summary>
    internal abstract Errno Flush();

    private protected abstract FileMapping MakeMapping(SimFile file);

    /// <summary>Makes a file that has no pages yet; null without memory for its inode and its name.</summary>
    private protected SimFile? NewFile(Cpu cpu, string name, long bytes)
    {
        KernelObjects objects = Machine.Slab.KernelObjects;
        VirtualAddress inode = objects.Take(cpu, InodeKind);
        VirtualAddress dentry = inode.IsNull ? default : objects.Take(cpu, KernelObject.Dentry);
        if (dentry.IsNull)
        {
            objects.Give(cpu, InodeKind, inode);
            return null;
        }

        return new SimFile(this, name, TakeInode(), inode, dentry) { Size = bytes };
    }

    /// <summary>Makes a file and opens it.</summary>
    private protected Result<OpenFile> OpenNew(Cpu cpu, string name, long bytes, OpenMode mode)
    {
        SimFile? file = NewFile(cpu, name, bytes);
        if (file is null)
        {
            return Errno.ENOMEM;
        }

        file.Mapping = MakeMapping(file);
        file.Seals = file.IsSharedMemory ? FileSeals.Seal : FileSeals.None;
        return OpenOrEvict(cpu, file, mode);
    }

    /// <summary>Opens a file that nobody knows yet; without memory it is gone.</summary>
    private protected static Result<OpenFile> OpenOrEvict(Cpu cpu, SimFile file, OpenMode mode)
    {
        Result<OpenFile> opened = Open(cpu, file, mode);
        if (!opened.Succeeded)
        {
            file.Links = 0;
            EvictIfUnused(cpu, file);
        }

        return opened;
    }

    /// <summary>Makes an open file description (<c>alloc_empty_file()</c>).</summary>
    private protected static Result<OpenFile> Open(Cpu cpu, SimFile file, OpenMode mode)
    {
        VirtualAddress memory = cpu.Machine.Slab.KernelObjects.Take(cpu, KernelObject.File);
        return memory.IsNull ? Errno.ENOMEM : new OpenFile(file, mode, memory);
    }

    private protected void AddFile(SimFile file) => _files.Add(file.Name, file);

    private protected Errno CheckName(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        Machine.ThrowIfDisposed();
        if (name.Length == 0 || name.Contains('/', StringComparison.Ordinal) || name.Contains('\0', StringComparison.Ordinal))
        {
            return Errno.EINVAL;
        }

        if (name.Length > MaxNameLength)
        {
            return Errno.ENAMETOOLONG;
        }

        return _files.ContainsKey(name) ? Errno.EEXIST : Errno.None;
    }
}
