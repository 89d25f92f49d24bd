using MemSim.PageCache;

namespace MemSim.Filesystems;

/// <summary>Shared memory without a name: what shared anonymous mappings and <c>memfd_create()</c> map (<c>shmem_file_setup()</c>).</summary>
internal static class ShmemFile
{
    /// <summary>Creates a file of a size, all zeroes, gone when its last user lets go of it.</summary>
    /// <returns>The open file with one reference; EINVAL for a negative size, EFBIG for more than 16 TiB, ENOMEM.</returns>
    public static Result<OpenFile> Create(Cpu cpu, long bytes, string name = "dev/zero")
    {
        if (bytes is < 0 or > FileMapping.MaxBytes)
        {
            return bytes < 0 ? Errno.EINVAL : Errno.EFBIG;
        }

        return cpu.Machine.Files.SharedMemory.CreateUnnamed(cpu, name, bytes);
    }
}
