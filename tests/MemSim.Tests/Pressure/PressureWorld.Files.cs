using System.Runtime.InteropServices;
using FluentAssertions;

namespace MemSim.Tests.Pressure;

/// <content>Files.</content>
internal sealed partial class PressureWorld
{
    private void FileAccess()
    {
        PressureFile file = _files[_random.Next(_files.Count)];
        int page = PickPage(file.Stamps.Length);
        int count = Math.Min(_random.Next(1, 17), file.Stamps.Length - page);
        Cpu cpu = AnyCpu;
        bool write = _random.Next(4) == 0;
        for (int i = page; i < page + count; i++)
        {
            if (!write)
            {
                CheckFile(cpu, file, i);
                continue;
            }

            int stamp = ++_stamp;
            MemoryMarshal.Cast<byte, int>(_buffer.AsSpan()).Fill(stamp);
            Result<int> written = cpu.WriteFile(file.File, (long)i * PageSize, _buffer);
            if (written.Succeeded)
            {
                written.Value.Should().Be(PageSize);
                file.Stamps[i] = stamp;
            }
            else
            {
                Failed(written.Error);
            }
        }

        ForgetDead();
    }

    private void CheckFile(Cpu cpu, PressureFile file, int page)
    {
        Result<int> read = cpu.ReadFile(file.File, (long)page * PageSize, _buffer);
        if (!read.Succeeded)
        {
            Failed(read.Error);
            return;
        }

        int found = read.Value < 12 ? 0 : MemoryMarshal.Cast<byte, int>(_buffer)[2];
        if (found != file.Stamps[page])
        {
            throw new InvalidOperationException($"page {page} of file {file.File.File.Name} holds {found} instead of {file.Stamps[page]}");
        }

        Checked++;
    }

    private void Failed(Errno error)
    {
        if ((error == Errno.EIO && DevicesFail && !_isOver) || (error == Errno.ENOMEM && _mayKill))
        {
            InputErrors++;
            return;
        }

        throw new InvalidOperationException($"a file could not be used: {error}\n{Machine.Proc.MemInfo}");
    }

    private void Sync()
    {
        PressureFile file = _files[_random.Next(_files.Count)];
        Errno error = AnyCpu.Fsync(file.File);
        if (error != Errno.None)
        {
            Failed(error);
        }
    }
}

/// <summary>A file and the stamp that each of its pages begins with.</summary>
internal sealed class PressureFile
{
    public PressureFile(OpenFile file, int pages)
    {
        File = file;
        Stamps = new int[pages];

        // As large as it gets, without a block: mappings never reach beyond its end.
        file.File.FileSystem.Machine.Cpus[0].TruncateFile(file, (long)pages * PageGeometry.PageSize).Should().Be(Errno.None);
    }

    public OpenFile File { get; }

    public int[] Stamps { get; }
}
