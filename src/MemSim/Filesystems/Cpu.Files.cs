using MemSim.Hardware;
using MemSim.PageCache;

namespace MemSim;

/// <content>Calls on files.</content>
public sealed partial class Cpu
{
    /// <summary>Reads from a file through the page cache (<c>pread()</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="buffer">Receives the bytes; on a machine without contents of RAM it is left as it is.</param>
    /// <returns>How many were read: 0 at the end of the file, fewer than asked for before it or before an error. EBADF, EINVAL, EIO, ENOMEM.</returns>
    public Result<int> ReadFile(OpenFile file, long offset, Span<byte> buffer)
    {
        using LockScope scope = Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Read, "vfs_read");
        if (error != Errno.None || offset < 0)
        {
            return error != Errno.None ? error : Errno.EINVAL;
        }

        return file.Mapping.Read(this, file, offset, buffer);
    }

    /// <summary>Writes to a file through the page cache (<c>pwrite()</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes; ignored in files opened with <see cref="OpenMode.Append"/>.</param>
    /// <param name="buffer">The bytes.</param>
    /// <returns>How many were written: fewer than given before an error. EBADF, EINVAL, EFBIG, ENOSPC, EIO, ENOMEM.</returns>
    public Result<int> WriteFile(OpenFile file, long offset, ReadOnlySpan<byte> buffer)
    {
        using LockScope scope = Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Write, "vfs_write");
        if (error != Errno.None || offset < 0)
        {
            return error != Errno.None ? error : Errno.EINVAL;
        }

        offset = (file.Mode & OpenMode.Append) != 0 ? file.File.Size : offset;
        Result<int> written = file.Mapping.Write(this, offset, buffer);
        if (written.Succeeded && written.Value != 0 && (file.Mode & OpenMode.Sync) != 0)
        {
            error = Sync(file, offset, written.Value);
            return error != Errno.None ? error : written;
        }

        return written;
    }

    /// <summary>Writes a file's dirty pages to its device and waits (<c>fsync()</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <returns><see cref="Errno.None"/>, or an error of this or an earlier write of which this open file was not told yet: EIO, ENOSPC; EBADF.</returns>
    public Errno Fsync(OpenFile file)
    {
        using LockScope scope = Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.None, "vfs_fsync");
        return error != Errno.None ? error : Sync(file, 0, FileMapping.MaxBytes);
    }

    /// <summary>As <see cref="Fsync"/>, without what is not needed to read the data again; the simulated file systems keep nothing of that kind on the device (<c>fdatasync()</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <returns>As <see cref="Fsync"/>.</returns>
    public Errno Fdatasync(OpenFile file) => Fsync(file);

    /// <summary>Writes all dirty pages of all files and waits (<c>sync()</c>). Errors are told to whoever calls <see cref="Fsync"/>.</summary>
    public void SyncFiles()
    {
        Machine.ThrowIfDisposed();
        MightSleep("sync");
        using LockScope scope = Machine.EnterOwners();
        FileCache cache = Machine.PageCache;
        for (int i = 0; i < cache.Devices.Count; i++)
        {
            cache.Devices[i].WriteAll(this);
            _ = cache.Devices[i].Device.Flush();
        }
    }

    /// <summary>Changes the size of a file (<c>ftruncate()</c>): pages behind the end are unmapped and freed, what is added is a hole.</summary>
    /// <param name="file">The open file.</param>
    /// <param name="size">The new size in bytes.</param>
    /// <returns><see cref="Errno.None"/>, EBADF, EINVAL, EFBIG; EIO or ENOMEM when the last page cannot be zeroed, in which case nothing is changed.</returns>
    public Errno TruncateFile(OpenFile file, long size)
    {
        using LockScope scope = Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Write, "vfs_truncate");
        if (error != Errno.None)
        {
            return error == Errno.EBADF && !file.IsClosed ? Errno.EINVAL : error;
        }

        return size < 0 ? Errno.EINVAL : size > FileMapping.MaxBytes ? Errno.EFBIG : file.Mapping.Truncate(this, size);
    }

    /// <summary>Makes a hole in a file, whose size stays (<c>fallocate(FALLOC_FL_PUNCH_HOLE)</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much.</param>
    /// <returns><see cref="Errno.None"/>, EBADF, EINVAL, EIO, ENOMEM.</returns>
    public Errno PunchHole(OpenFile file, long offset, long length)
    {
        using LockScope scope = Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Write, "vfs_fallocate");
        if (error != Errno.None)
        {
            return error;
        }

        return offset < 0 || length <= 0 || length > FileMapping.MaxBytes ? Errno.EINVAL : file.Mapping.PunchHole(this, offset, length);
    }

    /// <summary>Brings part of a file into memory without waiting for it (<c>readahead()</c>, <c>POSIX_FADV_WILLNEED</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much.</param>
    /// <returns><see cref="Errno.None"/>, EBADF, EINVAL.</returns>
    public Errno ReadAheadFile(OpenFile file, long offset, long length)
    {
        using LockScope scope = Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.Read, "readahead");
        if (error != Errno.None || offset < 0 || length < 0)
        {
            return error != Errno.None ? error : Errno.EINVAL;
        }

        if (length != 0 && offset < file.File.Size && !file.File.IsSharedMemory)
        {
            long end = Math.Min(file.File.Size, length > long.MaxValue - offset ? long.MaxValue : offset + length);
            uint first = (uint)(offset >> PageGeometry.PageShift);
            ReadAhead.Force(this, file.Mapping, first, (uint)(((end - 1) >> PageGeometry.PageShift) - first + 1));
        }

        return Errno.None;
    }

    private Errno Sync(OpenFile file, long offset, long bytes)
    {
        long last = Math.Min(FileMapping.MaxBytes, offset + bytes) - 1;
        return file.Mapping.Sync(this, file, (uint)(offset >> PageGeometry.PageShift), (uint)(last >> PageGeometry.PageShift));
    }

    private Errno CheckFile(OpenFile file, OpenMode need, string what)
    {
        ArgumentNullException.ThrowIfNull(file);
        Machine.ThrowIfDisposed();
        if (file.File.FileSystem.Machine != Machine)
        {
            throw new ArgumentException($"{file.File} belongs to another machine", nameof(file));
        }

        MightSleep(what);
        return file.IsClosed || (file.Mode & need) != need ? Errno.EBADF : Errno.None;
    }
}
