using MemSim.Hardware;
using System.Diagnostics.CodeAnalysis;
using MemSim.AddressSpaces.Files;

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

    /// <summary>The names of its files, in no particular order.</summary>
    public IEnumerable<string> Names => _files.Keys;

    /// <summary>Pages that files can still take.</summary>
    public abstract long FreePages { get; }

    /// <summary>The device number that <c>/proc/pid/maps</c> shows for its files: major in the upper bits, minor in the lower 20.</summary>
    internal int DeviceNumber { get; }

    /// <summary>Whether nothing can be written.</summary>
    public abstract bool IsReadOnly { get; }

    /// <summary>Creates an empty file and opens it (<c>O_CREAT | O_EXCL</c>).</summary>
    /// <param name="name">Its name, at most 255 characters.</param>
    /// <param name="mode">What it is opened for.</param>
    /// <returns>The open file; EEXIST, EROFS, EINVAL, ENAMETOOLONG.</returns>
    public Result<OpenFile> Create(string name, OpenMode mode = OpenMode.ReadWrite)
    {
        using LockScope scope = Machine.EnterOwners();
        Errno error = CheckName(name);
        if (error != Errno.None)
        {
            return error;
        }

        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        SimFile file = new(this, name, TakeInode());
        file.Mapping = MakeMapping(file);
        _files.Add(name, file);
        return new OpenFile(file, mode);
    }

    /// <summary>A number for a new file; each file system counts its own.</summary>
    private protected long TakeInode()
    {
        _ = Machine.PageCache;
        return _nextInode++;
    }

    /// <summary>Opens a file.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="mode">What it is opened for.</param>
    /// <returns>The open file; ENOENT, or EROFS.</returns>
    public Result<OpenFile> Open(string name, OpenMode mode = OpenMode.Read)
    {
        ArgumentNullException.ThrowIfNull(name);
        Machine.ThrowIfDisposed();
        using LockScope scope = Machine.EnterOwners();
        if (!_files.TryGetValue(name, out SimFile? file))
        {
            return Errno.ENOENT;
        }

        return IsReadOnly && (mode & OpenMode.Write) != 0 ? Errno.EROFS : new OpenFile(file, mode);
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
        using LockScope scope = Machine.EnterOwners();
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
        }
    }

    /// <summary>Makes what fsync wrote durable.</summary>
    internal abstract Errno Flush();

    private protected abstract FileMapping MakeMapping(SimFile file);

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
