using FluentAssertions;

namespace MemSim.Tests.Processes.Programs;

/// <summary>A process, and what its pages must hold.</summary>
internal sealed class ProcessModel(ProgramRun run, Process process)
{
    // Null: not mapped. Otherwise the protection and what the page holds; shared pages have a cell in common.
    private (Prot Prot, int Value, Cell? Shared)?[] _pages = new (Prot, int, Cell?)?[run.Shape.Pages];

    public Process Process { get; } = process;

    /// <summary>Does a step; the process runs on the CPU.</summary>
    public void Do(ProgramStep step, Cpu on)
    {
        int first = step.First % _pages.Length;
        int count = Math.Min(step.Count, _pages.Length - first);
        VirtualAddress at = AddressOf(first);
        ulong bytes = (ulong)count << PageGeometry.PageShift;
        MemoryDescriptor mm = Process.Mm;
        switch (step.Op)
        {
            case Op.Map or Op.MapShared:
                Map(first, count, step.Prot, step.Op == Op.MapShared);
                break;
            case Op.Unmap:
                mm.Munmap(at, (long)bytes).Should().Be(Errno.None);
                Array.Clear(_pages, first, count);
                break;
            case Op.Protect:
                bool whole = !_pages.AsSpan(first, count).Contains(null);
                mm.Mprotect(at, (long)bytes, step.Prot).Should().Be(whole ? Errno.None : Errno.ENOMEM);
                for (int i = first; i < first + count && _pages[i] is { } page; i++)
                {
                    _pages[i] = page with { Prot = step.Prot };
                }

                break;
            case Op.DontNeed:
                for (int i = 0; i < count; i++)
                {
                    // Locked pages refuse.
                    Forget(first + i, 1, mm.Madvise(at + (i << PageGeometry.PageShift), PageGeometry.PageSize, MemoryAdvice.DontNeed) == Errno.None);
                }

                break;
            case Op.DontNeedRange:
                Forget(first, count, mm.Madvise(at, (long)bytes, MemoryAdvice.DontNeed) != Errno.EINVAL);
                break;
            case Op.Fork when run.Alive.Count < run.Shape.Processes:
                run.Alive.Add(new ProcessModel(run, Process.Fork()) { _pages = [.. _pages] });
                break;
            case Op.Exit when run.Alive.Count > 1:
                run.Alive.Remove(this);
                Process.Exit();
                break;
            case Op.Move:
                Move(first, step.To % _pages.Length, count);
                break;
            case Op.Lock:
                mm.Mlock(at, (long)bytes);
                break;
            case Op.Unlock:
                mm.Munlock(at, (long)bytes);
                break;
            case Op.Touch:
                for (int i = 0; i < step.Count; i++)
                {
                    Touch(on, (first + (i * step.Stride)) % _pages.Length, (step.Writes >> i & 1) != 0);
                }

                break;
            default:
                Advise(step.Op, on, at, bytes);
                break;
        }
    }

    public void Map(int first, int count, Prot prot, bool shared)
    {
        VirtualAddress at = AddressOf(first);
        Process.Mm.Mmap(at, (long)count << PageGeometry.PageShift, prot, MapFlags.Fixed | MapFlags.Anonymous | (shared ? MapFlags.Shared : MapFlags.Private)).Value.Should().Be(at);
        for (int i = first; i < first + count; i++)
        {
            _pages[i] = (prot, 0, shared ? new Cell() : null);
        }
    }

    public void CheckAll(Cpu cpu)
    {
        using ContextScope scope = cpu.Run(Process);
        for (int i = 0; i < _pages.Length; i++)
        {
            if (_pages[i] is { } page && page.Prot != Prot.None)
            {
                cpu.Read<int>(AddressOf(i) + 8).Should().Be(Holds(page), "page {0} holds that", i);
            }
        }
    }

    private static int Holds((Prot Prot, int Value, Cell? Shared) page) => page.Shared?.Value ?? page.Value;

    private VirtualAddress AddressOf(int page) => new(run.Window + ((ulong)page << PageGeometry.PageShift));

    private void Forget(int first, int count, bool done)
    {
        for (int i = first; done && i < first + count; i++)
        {
            _pages[i] = _pages[i] is { } page ? page with { Value = 0 } : null;
        }
    }

    private void Move(int from, int to, int count)
    {
        count = Math.Min(count, _pages.Length - Math.Max(from, to));
        Span<(Prot Prot, int Value, Cell? Shared)?> moving = _pages.AsSpan(from, count);
        if (Math.Abs(from - to) < count || moving.Contains(null) || moving.ToArray().Any(p => p!.Value.Shared is not null))
        {
            return;
        }

        Result<VirtualAddress> moved = Process.Mm.Mremap(AddressOf(from), (long)count << PageGeometry.PageShift, (long)count << PageGeometry.PageShift, RemapFlags.MayMove | RemapFlags.Fixed, AddressOf(to));
        if (moved.Succeeded)
        {
            Array.Copy(_pages, from, _pages, to, count);
            Array.Clear(_pages, from, count);
        }
        else
        {
            // More than one area.
            moved.Error.Should().Be(count == 1 ? Errno.None : Errno.EFAULT);
        }
    }

    private void Touch(Cpu cpu, int index, bool write)
    {
        VirtualAddress at = AddressOf(index);
        bool allowed = _pages[index] is { } page && (page.Prot & (write ? Prot.Write : Prot.Read)) != 0;
        try
        {
            if (write)
            {
                int value = run.NextValue();
                cpu.Write(at + 8, value);
                allowed.Should().BeTrue("page {0} was written", index);
                (Prot prot, _, Cell? shared) = _pages[index]!.Value;
                if (shared is not null)
                {
                    shared.Value = value;
                }

                _pages[index] = (prot, value, shared);
            }
            else
            {
                cpu.Read<int>(at + 8).Should().Be(allowed ? Holds(_pages[index]!.Value) : -1, "page {0} holds that", index);
                cpu.Read<int>(at + (PageGeometry.PageSize - 16)).Should().Be(0);
            }
        }
        catch (SignalException signal)
        {
            allowed.Should().BeFalse("page {0} may be {1}", index, write ? "written" : "read");
            signal.SignalInfo.Code.Should().Be(_pages[index] is null ? SignalCode.MapError : SignalCode.AccessError);
        }
    }

    private void Advise(Op op, Cpu on, VirtualAddress at, ulong bytes)
    {
        Machine machine = on.Machine;
        switch (op)
        {
            case Op.Cold:
                Process.Mm.Madvise(at, (long)bytes, MemoryAdvice.Cold);
                break;
            case Op.WantHuge or Op.WantSmall:
                Process.Mm.Madvise(at, (long)bytes, op == Op.WantHuge ? MemoryAdvice.HugePage : MemoryAdvice.NoHugePage);
                break;
            case Op.SplitPage:
                ulong word = Process.PageMap(at, 1)[0];
                machine.HugePages.Split(on, word >> 63 == 1 ? machine.GetPage(new Pfn((long)(word & 0xffffffff))) : default);
                break;
            case Op.SplitDeferred:
                machine.Mm!.Huge.SplitDeferred(on, machine.Nodes[0], 3);
                break;
            case Op.Collapse:
                machine.HugePages.Khugepaged.Run(on);
                break;
        }
    }

    private sealed class Cell
    {
        public int Value { get; set; }
    }
}
