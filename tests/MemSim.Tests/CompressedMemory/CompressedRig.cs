using FluentAssertions;

namespace MemSim.Tests.CompressedMemory;

internal enum PageContent
{
    HalfRandom,
    OneWord,
    Random,
    Zero,
}

/// <summary>A process in a cgroup, whose pages are filled, swapped out on demand and compared.</summary>
internal sealed class CompressedRig : IDisposable
{
    private readonly Cgroup _cgroup;
    private Process? _process;
    private VirtualAddress _memory;
    private long _length;
    private PageContent _content;

    public CompressedRig(string kernel, string memory = "256M", string path = "/a")
    {
        Machine = Machine.Boot(MachineSpec.X86_64(memory).WithKernel(kernel).WithCommandLine("transparent_hugepage=never"));
        _cgroup = Machine.Cgroups.Create(path);
    }

    public Machine Machine { get; }

    public Cgroup Cgroup => _cgroup;

    public Process Process => _process!;

    private Cpu Cpu => Machine.Cpus[0];

    public void Dispose() => Machine.Dispose();

    public void Fill(long bytes, PageContent content = PageContent.HalfRandom)
    {
        _process = Machine.CreateProcess("hog");
        _process.Cgroup = _cgroup;
        (_length, _content) = (bytes, content);
        using (Cpu.Run(_process))
        {
            _memory = _process.Mm.Mmap(bytes, Prot.Read | Prot.Write).Value;
            Write(1);
        }
    }

    /// <summary>Writes every so manyth page anew.</summary>
    public void Write(int every)
    {
        byte[] page = new byte[4096];
        using ContextScope scope = Cpu.Run(_process!);
        for (long at = 0; at < _length; at += 4096L * every)
        {
            ContentOf(at, page);
            Cpu.Write<byte>(_memory + at, page);
        }
    }

    /// <summary>Asks for memory of the cgroup; what cannot be had is not had.</summary>
    public void Reclaim(long bytes)
    {
        string text = Machine.Personality.Cgroups.ReclaimTakesOnlyAnon ? $"{bytes} swappiness=max" : $"{bytes}";
        _cgroup.Write("memory.reclaim", text).Should().BeOneOf(Errno.None, Errno.EAGAIN);
    }

    public void Check(int every = 1)
    {
        byte[] page = new byte[4096];
        byte[] read = new byte[4096];
        using ContextScope scope = Cpu.Run(_process!);
        for (long at = 0; at < _length; at += 4096L * every)
        {
            ContentOf(at, page);
            Cpu.Read<byte>(_memory + at, read);
            read.AsSpan().SequenceEqual(page).Should().BeTrue($"the page at {at} comes back");
        }
    }

    public int ReadAll()
    {
        using ContextScope scope = Cpu.Run(_process!);
        int sum = 0;
        for (long at = 0; at < _length; at += 4096)
        {
            sum += Cpu.Read<byte>(_memory + at);
        }

        return sum;
    }

    public void Exit() => _process!.Exit();

    private void ContentOf(long at, Span<byte> page)
    {
        page.Clear();
        if (_content == PageContent.OneWord)
        {
            page.Fill((byte)(1 + (at >> 12)));
        }
        else if (_content != PageContent.Zero)
        {
            new Random((int)(at >> 12)).NextBytes(_content == PageContent.Random ? page : page[..2048]);
        }
    }
}
