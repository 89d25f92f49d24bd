using MemSim.Lru;
using MemSim.PageCache;

namespace MemSim;

/// <summary>Calls on files, made on a CPU. <see cref="Cpu.Files"/>.</summary>
public sealed partial class CpuFiles
{
    private readonly Cpu _cpu;

    internal CpuFiles(Cpu cpu) => _cpu = cpu;

    /// <summary>Reads from a file through the page cache (<c>pread()</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="buffer">Receives the bytes; on a machine without contents of RAM it is left as it is.</param>
    /// <returns>How many were read: 0 at the end of the file, fewer than asked for before it or before an error. EBADF, EINVAL, EIO, ENOMEM.</returns>
    public Result<int> Read(OpenFile file, long offset, Span<byte> buffer)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Read, "vfs_read");
        if (error != Errno.None || offset < 0)
        {
            return error != Errno.None ? error : Errno.EINVAL;
        }

        Result<int> read = file.Mapping.Read(_cpu, file, offset, buffer);
        LeaveKernel();
        return read;
    }

    /// <summary>Writes to a file through the page cache (<c>pwrite()</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes; ignored in files opened with <see cref="OpenMode.Append"/>.</param>
    /// <param name="buffer">The bytes.</param>
    /// <returns>How many were written: fewer than given before an error. EBADF, EINVAL, EFBIG, EPERM where a seal forbids it, ENOSPC, EIO, ENOMEM.</returns>
    public Result<int> Write(OpenFile file, long offset, ReadOnlySpan<byte> buffer)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Write, "vfs_write");
        if (error != Errno.None || offset < 0)
        {
            return error != Errno.None ? error : Errno.EINVAL;
        }

        offset = (file.Mode & OpenMode.Append) != 0 ? file.File.Size : offset;
        Result<int> written = file.Mapping.Write(_cpu, offset, buffer);
        LeaveKernel();
        if (written.Succeeded && written.Value != 0 && (file.Mode & OpenMode.Sync) != 0)
        {
            error = SyncRange(file, offset, written.Value);
            return error != Errno.None ? error : written;
        }

        return written;
    }

    /// <summary>The end of a system call: who charged above <c>memory.high</c> pays for it now.</summary>
    private void LeaveKernel()
    {
        if (_cpu.Current.PagesOverHigh != 0)
        {
            _cpu.Machine.Cgroups.HandleOverHigh(_cpu);
        }
    }

    /// <summary>Writes a file's dirty pages to its device and waits (<c>fsync()</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <returns><see cref="Errno.None"/>, or an error of this or an earlier write of which this open file was not told yet: EIO, ENOSPC; EBADF.</returns>
    public Errno Fsync(OpenFile file)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.None, "vfs_fsync");
        return error != Errno.None ? error : SyncRange(file, 0, FileMapping.MaxBytes);
    }

    /// <summary>Writes all dirty pages of all files and waits (<c>sync()</c>). Errors are told to whoever calls <see cref="Fsync"/>.</summary>
    public void Sync()
    {
        _cpu.Machine.ThrowIfDisposed();
        _cpu.Context.MightSleep("sync");
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        FileCache cache = _cpu.Machine.Files.PageCache;
        for (int i = 0; i < cache.Devices.Count; i++)
        {
            cache.Devices[i].WriteAll(_cpu);
            _ = cache.Devices[i].Device.Flush();
        }
    }

    /// <summary>Changes the size of a file (<c>ftruncate()</c>): pages behind the end are unmapped and freed, what is added is a hole.</summary>
    /// <param name="file">The open file.</param>
    /// <param name="size">The new size in bytes.</param>
    /// <returns><see cref="Errno.None"/>, EBADF, EINVAL, EFBIG, EPERM where a seal forbids it; EIO or ENOMEM when the last page cannot be zeroed, in which case nothing is changed.</returns>
    public Errno Truncate(OpenFile file, long size)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Write, "vfs_truncate");
        if (error != Errno.None)
        {
            return error == Errno.EBADF && !file.IsClosed ? Errno.EINVAL : error;
        }

        if (size is < 0 or > FileMapping.MaxBytes)
        {
            return size < 0 ? Errno.EINVAL : Errno.EFBIG;
        }

        FileSeals against = size < file.File.Size ? FileSeals.Shrink : size > file.File.Size ? FileSeals.Grow : FileSeals.None;
        return (file.File.Seals & against) != 0 ? Errno.EPERM : file.Mapping.Truncate(_cpu, size);
    }

    /// <summary>Makes a hole in a file, whose size stays (<c>fallocate(FALLOC_FL_PUNCH_HOLE)</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much.</param>
    /// <returns><see cref="Errno.None"/>, EBADF, EINVAL, EPERM where a seal forbids it, EIO, ENOMEM.</returns>
    public Errno PunchHole(OpenFile file, long offset, long length)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Write, "vfs_fallocate");
        if (error != Errno.None)
        {
            return error;
        }

        if (offset < 0 || length <= 0 || length > FileMapping.MaxBytes)
        {
            return Errno.EINVAL;
        }

        return (file.File.Seals & (FileSeals.Write | FileSeals.FutureWrite)) != 0 ? Errno.EPERM : file.Mapping.PunchHole(_cpu, offset, length);
    }

    /// <summary>Brings part of a file into memory without waiting for it (<c>readahead()</c>, <c>POSIX_FADV_WILLNEED</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much.</param>
    /// <returns><see cref="Errno.None"/>, EBADF, EINVAL.</returns>
    public Errno ReadAhead(OpenFile file, long offset, long length)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Read, "readahead");
        if (error != Errno.None || offset < 0 || length < 0)
        {
            return error != Errno.None ? error : Errno.EINVAL;
        }

        if (length != 0 && offset < file.File.Size && !file.File.IsSharedMemory)
        {
            long end = Math.Min(file.File.Size, length > long.MaxValue - offset ? long.MaxValue : offset + length);
            uint first = (uint)(offset >> PageGeometry.PageShift);
            MemSim.PageCache.ReadAhead.Force(_cpu, file.Mapping, first, (uint)(((end - 1) >> PageGeometry.PageShift) - first + 1));
        }

        return Errno.None;
    }

    private Errno SyncRange(OpenFile file, long offset, long bytes)
    {
        long last = Math.Min(FileMapping.MaxBytes, offset + bytes) - 1;
        return file.Mapping.Sync(_cpu, file, (uint)(offset >> PageGeometry.PageShift), (uint)(last >> PageGeometry.PageShift));
    }

    private Errno CheckFile(OpenFile file, OpenMode need, string what)
    {
        ArgumentNullException.ThrowIfNull(file);
        _cpu.Machine.ThrowIfDisposed();
        if (file.File.FileSystem.Machine != _cpu.Machine)
        {
            throw new ArgumentException($"{file.File} belongs to another machine", nameof(file));
        }

        _cpu.Context.MightSleep(what);
        return file.IsClosed || (file.Mode & need) != need ? Errno.EBADF : Errno.None;
    }
}

/// <content>Calls on files: read, write, truncate, sync.</content>
public sealed partial class Cpu
{
    /// <summary>Calls on files: read, write, truncate, sync.</summary>
    public CpuFiles Files { get; internal set; } = null!;
}
