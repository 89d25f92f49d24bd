using System.Text;
using MemSim.Lru;

namespace MemSim;

/// <content>Files in memory without a name, and seals.</content>
public sealed partial class CpuFiles
{
    private const int MaxMemfdNameBytes = 249;

    /// <summary>Makes an empty file in memory that nobody else can open (<c>memfd_create()</c>); it lives while it is open or mapped.</summary>
    /// <param name="name">What <c>/proc/pid/maps</c> shows after <c>memfd:</c>, at most 249 bytes.</param>
    /// <param name="flags">How it is made.</param>
    /// <returns>The open file; EINVAL, ENOMEM.</returns>
    public Result<OpenFile> MemfdCreate(string name, MemfdFlags flags = MemfdFlags.None)
    {
        ArgumentNullException.ThrowIfNull(name);
        _cpu.Machine.ThrowIfDisposed();
        _cpu.Context.MightSleep("memfd_create");
        const MemfdFlags exec = MemfdFlags.NoExecSeal | MemfdFlags.Exec;
        MemfdFlags known = MemfdFlags.CloseOnExec | MemfdFlags.AllowSealing | (_cpu.Machine.Personality.Areas.SealsExecution ? exec : 0);
        if ((flags & ~known) != 0 || (flags & exec) == exec || Encoding.UTF8.GetByteCount(name) > MaxMemfdNameBytes)
        {
            return Errno.EINVAL;
        }

        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Result<OpenFile> opened = _cpu.Machine.Files.SharedMemory.CreateUnnamed(_cpu, "memfd:" + name, 0);
        if (opened.Succeeded)
        {
            SimFile file = opened.Value.File;
            file.IsExecutable = (flags & MemfdFlags.NoExecSeal) == 0;
            file.Seals = (flags & MemfdFlags.NoExecSeal) != 0 ? FileSeals.Exec : (flags & MemfdFlags.AllowSealing) != 0 ? FileSeals.None : FileSeals.Seal;
        }

        return opened;
    }

    /// <summary>Adds seals to a file in memory (<c>fcntl(F_ADD_SEALS)</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <param name="seals">The seals.</param>
    /// <returns>EBADF; EPERM for a file not open for writing, or sealed against more seals; EINVAL for seals that the kernel does not know and for files of disks; EBUSY for <see cref="FileSeals.Write"/> while a shared mapping or a pin could write.</returns>
    public Errno AddSeals(OpenFile file, FileSeals seals)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.None, "memfd_fcntl");
        if (error != Errno.None)
        {
            return error;
        }

        const FileSeals first = FileSeals.Seal | FileSeals.Shrink | FileSeals.Grow | FileSeals.Write | FileSeals.FutureWrite;
        bool knowsExec = _cpu.Machine.Personality.Areas.SealsExecution;
        if ((file.Mode & OpenMode.Write) == 0)
        {
            return Errno.EPERM;
        }

        SimFile inode = file.File;
        if ((seals & ~(knowsExec ? first | FileSeals.Exec : first)) != 0 || !inode.IsSharedMemory)
        {
            return Errno.EINVAL;
        }

        if ((inode.Seals & FileSeals.Seal) != 0)
        {
            return Errno.EPERM;
        }

        if ((seals & ~inode.Seals & FileSeals.Write) != 0 && (inode.Mapping.IsMappedForWriting || inode.Mapping.HasHeldPages(_cpu)))
        {
            return Errno.EBUSY;
        }

        if ((seals & FileSeals.Exec) != 0 && inode.IsExecutable)
        {
            // Nobody shall write what can be executed.
            seals |= FileSeals.Shrink | FileSeals.Grow | FileSeals.Write | FileSeals.FutureWrite;
        }

        inode.Seals |= seals;
        return Errno.None;
    }

    /// <summary>The seals of a file in memory (<c>fcntl(F_GET_SEALS)</c>).</summary>
    /// <param name="file">The open file.</param>
    /// <returns>The seals; EBADF; EINVAL for files of disks.</returns>
    public Result<FileSeals> GetSeals(OpenFile file)
    {
        using OwnersLock.Scope scope = _cpu.Machine.EnterOwners();
        Errno error = CheckFile(file, OpenMode.None, "memfd_fcntl");
        return error != Errno.None ? error : file.File.IsSharedMemory ? file.File.Seals : Errno.EINVAL;
    }
}
