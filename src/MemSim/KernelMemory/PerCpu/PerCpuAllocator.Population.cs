using MemSim.KernelMemory;

namespace MemSim;

/// <content>Chunks beyond the first: their pages come when an area is laid on them and go when nothing is left.</content>
public sealed partial class PerCpuAllocator
{
    /// <summary>Empty pages kept ready for requests that may not sleep (<c>PCPU_EMPTY_POP_PAGES_LOW</c> and <c>_HIGH</c>).</summary>
    private const int EmptyPagesLow = 2;

    private const int EmptyPagesHigh = 4;

    /// <summary>Whether work for <see cref="Balance"/> is waiting.</summary>
    public bool NeedsBalance => _needsBalance;

    /// <summary>What the kernel's <c>pcpu_balance_workfn()</c> does: frees chunks that hold nothing but one, takes pages from sparse chunks, keeps a few empty pages ready for atomic requests.</summary>
    /// <remarks>Runs by itself when a call that may sleep finds work; atomic calls leave it to whoever runs the machine's background.</remarks>
    /// <param name="cpu">The CPU it runs on, in a context that may sleep.</param>
    public void Balance(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        cpu.Context.MightSleep("pcpu_balance_workfn");
        Lock();
        _needsBalance = false;
        FreeEmptyChunks(cpu);
        Depopulate(cpu);
        PopulateReserve(cpu);
        Unlock();
    }

    private void ScheduleBalance(Cpu cpu, bool atomic)
    {
        _needsBalance = true;
        if (!atomic && !cpu.Context.InAtomic)
        {
            Balance(cpu);
        }
    }

    private PerCpuChunk? AddChunk(int bits, int alignBits, out int at)
    {
        int number = 1;
        while (number < _chunks.Length && _chunks[number] is not null)
        {
            number++;
        }

        if (number == _chunks.Length)
        {
            Array.Resize(ref _chunks, _chunks.Length * 2);
        }

        PerCpuChunk chunk = new(number, _unitBytes, _unitOffsets.Length);
        _chunks[number] = chunk;
        _chunkCount++;
        Link(chunk, _freeSlot, front: true);
        at = chunk.Find(bits, alignBits, populatedOnly: false);
        return at < 0 ? null : chunk;
    }

    private bool PopulateArea(Cpu cpu, PerCpuChunk chunk, int at, int bits, Gfp gfp)
    {
        const int bitsPerPage = PageGeometry.PageSize / PerCpuChunk.MinBytes;
        int first = at / bitsPerPage;
        int last = (at + bits - 1) / bitsPerPage;
        return (chunk.IsPopulated(first) && chunk.IsPopulated(last) && last - first < 2) || PopulateRange(cpu, chunk, first, last, gfp);
    }

    /// <summary>Gives every unit's pages of a range memory; on failure what was populated stays for the next request.</summary>
    private bool PopulateRange(Cpu cpu, PerCpuChunk chunk, int first, int last, Gfp gfp)
    {
        for (int page = first; page <= last; page++)
        {
            if (chunk.IsPopulated(page))
            {
                continue;
            }

            if (!TakePages(cpu, gfp))
            {
                return false;
            }

            int empty = chunk.EmptyPopulatedPages;
            chunk.Populate(page, _populating);
            _emptyPages += chunk.EmptyPopulatedPages - empty;
        }

        return true;
    }

    /// <summary>Takes a page for every CPU, on its node.</summary>
    private bool TakePages(Cpu cpu, Gfp gfp)
    {
        gfp = (gfp & (Gfp.Kernel | Gfp.NoRetry | Gfp.NoWarn)) | Gfp.HighMem;
        for (int i = 0; i < _populating.Length; i++)
        {
            _populating[i] = _machine.Pages.AllocateChecked(cpu, gfp, 0, _machine.Cpus[i].Node);
            if (_populating[i] >= 0)
            {
                continue;
            }

            while (--i >= 0)
            {
                _machine.Pages.FreeBlock(cpu, _populating[i], 0);
            }

            return false;
        }

        return true;
    }

    private void GivePages(Cpu cpu, PerCpuChunk chunk, int page)
    {
        int empty = chunk.EmptyPopulatedPages;
        for (int i = 0; i < _unitOffsets.Length; i++)
        {
            _machine.Pages.FreeBlock(cpu, chunk.Frame(i, page), 0);
        }

        chunk.Depopulate(page);
        _emptyPages += chunk.EmptyPopulatedPages - empty;
    }

    private void FreeEmptyChunks(Cpu cpu)
    {
        PerCpuChunk? next;
        for (PerCpuChunk? chunk = _slots[_freeSlot]?.Next; chunk is not null; chunk = next)
        {
            next = chunk.Next;
            if (chunk == _first)
            {
                continue;
            }

            for (int page = 0; page < chunk.UnitPages; page++)
            {
                if (chunk.IsPopulated(page))
                {
                    GivePages(cpu, chunk, page);
                }
            }

            Unlink(chunk);
            _chunks[chunk.Number] = null;
            _chunkCount--;
        }
    }

    /// <summary>A quarter of its pages hold nothing while others have enough ready.</summary>
    private bool ShouldDepopulate(PerCpuChunk chunk) =>
        chunk != _first && chunk.EmptyPopulatedPages >= chunk.UnitPages / 4 && _emptyPages > EmptyPagesHigh + chunk.EmptyPopulatedPages;

    private void Depopulate(Cpu cpu)
    {
        foreach (PerCpuChunk? chunk in _chunks)
        {
            if (chunk is null || !ShouldDepopulate(chunk))
            {
                continue;
            }

            for (int page = chunk.UnitPages - 1; page >= 0 && _emptyPages > EmptyPagesHigh; page--)
            {
                if (chunk.IsPopulated(page) && chunk.IsPageEmpty(page))
                {
                    GivePages(cpu, chunk, page);
                }
            }
        }
    }

    private void PopulateReserve(Cpu cpu)
    {
        for (int slot = 1; slot <= _freeSlot && _emptyPages < EmptyPagesHigh; slot++)
        {
            for (PerCpuChunk? chunk = _slots[slot]; chunk is not null && _emptyPages < EmptyPagesHigh; chunk = chunk.Next)
            {
                for (int page = 0; page < chunk.UnitPages && _emptyPages < EmptyPagesHigh; page++)
                {
                    if (!chunk.IsPopulated(page) && chunk.IsPageEmpty(page) && !PopulateRange(cpu, chunk, page, page, Gfp.Kernel | Gfp.NoRetry | Gfp.NoWarn))
                    {
                        return;
                    }
                }
            }
        }
    }
}
