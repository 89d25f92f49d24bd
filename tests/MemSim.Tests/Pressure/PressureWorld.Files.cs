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
            Result<int> written = cpu.Files.Write(file.File, (long)i * PageSize, _buffer);
            if (written.Succeeded)
            {
                written.Value.Should().Be(PageSize);
                file.NoteWrite(i);
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
        Result<int> read = cpu.Files.Read(file.File, (long)page * PageSize, _buffer);
        if (!read.Succeeded)
        {
            Failed(read.Error);
            return;
        }

        int found = read.Value < 12 ? 0 : MemoryMarshal.Cast<byte, int>(_buffer)[2];
        if (found != file.Stamps[page] && !file.MayHaveLost(page, found))
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
        Errno error = AnyCpu.Files.Fsync(file.File);
        if (error != Errno.None)
        {
            Failed(error);
            file.ErrorsTold++;
            AnyCpu.Files.Fsync(file.File).Should().Be(Errno.None, "an error is told once, and nothing is dirty now");
        }
    }

    /// <summary>Every file tells what it has not told yet, and has something to tell if it lost anything.</summary>
    private void AskForErrors()
    {
        foreach (PressureFile file in _files)
        {
            Errno error = Machine.Cpus[0].Files.Fsync(file.File);
            error.Should().BeOneOf(Errno.None, Errno.EIO);
            file.ErrorsTold += error == Errno.EIO ? 1 : 0;
            Machine.Cpus[0].Files.Fsync(file.File).Should().Be(Errno.None, "the disk works again, and the error was told");
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
        file.File.FileSystem.Machine.Cpus[0].Files.Truncate(file, (long)pages * PageGeometry.PageSize).Should().Be(Errno.None);
    }

    public OpenFile File { get; }

    public int[] Stamps { get; }

    /// <summary>What pages held before, when a write to the disk can fail: that is what is found once the page has left memory. Null when it cannot.</summary>
    public HashSet<(int Page, int Stamp)>? Older { get; init; }

    /// <summary>Pages found to hold something older.</summary>
    public int Lost { get; private set; }

    /// <summary>How often fsync said that something could not be written.</summary>
    public int ErrorsTold { get; set; }

    public void NoteWrite(int page) => Older?.Add((page, Stamps[page]));

    /// <summary>Whether a page may hold this although something else was written later; it is what it should hold from now on.</summary>
    public bool MayHaveLost(int page, int found)
    {
        if (Older is null || (found != 0 && !Older.Contains((page, found))))
        {
            return false;
        }

        Stamps[page] = found;
        Lost++;
        return true;
    }
}
