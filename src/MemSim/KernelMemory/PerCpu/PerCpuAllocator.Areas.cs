using System.Numerics;
using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.KernelMemory;
using Microsoft.Extensions.Logging;

namespace MemSim;

/// <content>Allocation and free of areas; the lists of chunks by their largest free run.</content>
public sealed partial class PerCpuAllocator
{
    internal PerCpuPointer Alloc(Cpu cpu, long size, long align, Gfp gfp)
    {
        if (size is <= 0 or > MaxBytes || align is <= 0 or > PageGeometry.PageSize || !BitOperations.IsPow2(align))
        {
            IllegalRequest(cpu, size, align);
            return default;
        }

        bool atomic = (gfp & Gfp.Kernel) != Gfp.Kernel;
        if (cpu.IsSpecial && !MayRun(cpu, atomic))
        {
            return default;
        }

        int bits = BitsOf(size);
        int alignBits = Math.Max(BitsOf(align), 1);
        Lock();
        PerCpuChunk? chunk = FindArea(bits, alignBits, atomic, out int at);
        if (_parallel)
        {
            _machine.Interleaver?.Pass("PerCpuAllocator.Alloc");
        }

        if (chunk is null)
        {
            chunk = atomic ? null : AddChunk(bits, alignBits, out at);
        }

        if (chunk is not null)
        {
            TakeArea(chunk, at, bits);
            if (!atomic && !PopulateArea(cpu, chunk, at, bits, gfp))
            {
                GiveBackArea(chunk, at, bits);
                chunk = null;
            }
        }

        Unlock();
        if (chunk is null)
        {
            Failed(cpu, size, align, gfp, atomic);
            return default;
        }

        if (_emptyPages < EmptyPagesLow)
        {
            ScheduleBalance(cpu, atomic);
        }

        PerCpuPointer pointer = PointerTo(chunk, at);
        if (_machine.Ram.HasContents)
        {
            Zero(chunk, at << PerCpuChunk.BitShift, bits << PerCpuChunk.BitShift);
        }

        return pointer;
    }

    // Out of line: inlined into a caller's loop it would leave no room there for what it calls itself.
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void Free(Cpu cpu, PerCpuPointer pointer)
    {
        if (pointer.IsNull)
        {
            return;
        }

        Lock();
        PerCpuChunk? chunk = ChunkOf(pointer, out int inUnit);
        int bits = chunk is null || (inUnit & (PerCpuChunk.MinBytes - 1)) != 0 ? 0 : chunk.AreaBits(inUnit >> PerCpuChunk.BitShift);
        if (bits == 0)
        {
            Unlock();
            BadFree(cpu, pointer, chunk);
            return;
        }

        ReturnArea(chunk!, inUnit >> PerCpuChunk.BitShift, bits);
        bool superfluous = chunk!.IsEmpty && (chunk.Next is not null || chunk.Previous is not null);
        Unlock();
        if (superfluous || ShouldDepopulate(chunk))
        {
            ScheduleBalance(cpu, atomic: false);
        }
    }

    /// <summary>Checks counters, free runs and lists.</summary>
    /// <exception cref="KernelBugException">Something is inconsistent; the message names the first thing found.</exception>
    internal void Verify()
    {
        int empty = 0;
        long used = 0;
        int chunks = 0;
        foreach (PerCpuChunk? chunk in _chunks)
        {
            if (chunk is null)
            {
                continue;
            }

            if ((IsEmbedded || chunk != _first) && chunk.Check() is { } wrong)
            {
                BugReporter.Corrupt($"percpu chunk {chunk.Number}: {wrong}");
            }

            if (chunk.Slot != SlotOf(chunk) && chunk.Slot != 0)
            {
                BugReporter.Corrupt($"percpu chunk {chunk.Number}: on list {chunk.Slot} but its largest free run of {chunk.BestBits} bits belongs on {SlotOf(chunk)}");
            }

            bool listed = false;
            for (PerCpuChunk? at = _slots[chunk.Slot]; at is not null; at = at.Next)
            {
                listed |= at == chunk;
            }

            if (!listed)
            {
                BugReporter.Corrupt($"percpu chunk {chunk.Number}: not on list {chunk.Slot}");
            }

            VerifyFrames(chunk);
            chunks++;
            empty += chunk.EmptyPopulatedPages;
            used += (long)(chunk.Bits - chunk.FreeBits) << PerCpuChunk.BitShift;
        }

        used -= (long)BitsOf(_layout.StaticBytes + _layout.ReservedBytes) << PerCpuChunk.BitShift;
        if (empty != _emptyPages || used != UsedBytes || chunks != _chunkCount)
        {
            BugReporter.Corrupt($"percpu: {chunks} chunks, {used} bytes used, {empty} empty populated pages; counted were {_chunkCount}, {UsedBytes} and {_emptyPages}");
        }
    }

    private void VerifyFrames(PerCpuChunk chunk)
    {
        if (chunk == _first && IsEmbedded)
        {
            return;
        }

        for (int page = 0; page < chunk.UnitPages; page++)
        {
            for (int cpu = 0; cpu < _unitOffsets.Length; cpu++)
            {
                int frame = chunk.Frame(cpu, page);
                if (frame >= 0 != chunk.IsPopulated(page) || (frame >= 0 && !_machine.Frames.IsAllocatedHead(frame, 0)))
                {
                    BugReporter.Corrupt($"percpu chunk {chunk.Number}: page {page} of CPU {cpu} should have a page of its own, pfn 0x{frame:x} is none");
                }
            }
        }
    }

    private static int SlotOfBytes(int bytes) => Math.Max(BitOperations.Log2((uint)bytes) + 1 - SlotBaseShift + 2, 1);

    private int SlotOf(PerCpuChunk chunk) =>
        chunk.BestBits == 0 ? 0 : chunk.IsEmpty ? _freeSlot : SlotOfBytes(chunk.BestBits << PerCpuChunk.BitShift);

    private PerCpuChunk? FindArea(int bits, int alignBits, bool atomic, out int at)
    {
        // Chunks only move down meanwhile, out of what is still to be looked at.
        for (uint slots = _usedSlots & (uint.MaxValue << SlotOfBytes(bits << PerCpuChunk.BitShift)); slots != 0; slots &= slots - 1)
        {
            int slot = BitOperations.TrailingZeroCount(slots);
            PerCpuChunk? next;
            for (PerCpuChunk? chunk = _slots[slot]; chunk is not null; chunk = next)
            {
                next = chunk.Next;
                at = chunk.Find(bits, alignBits, atomic);
                if (at >= 0)
                {
                    return chunk;
                }

                if (slot < SlotFailThreshold)
                {
                    // It promised room and has none that fits: not looked at again until something in it is freed.
                    Unlink(chunk);
                    Link(chunk, 0, front: true);
                }
            }
        }

        at = -1;
        return null;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void TakeArea(PerCpuChunk chunk, int at, int bits)
    {
        int empty = chunk.EmptyPopulatedPages;
        chunk.Take(at, bits);
        _emptyPages += chunk.EmptyPopulatedPages - empty;
        UsedBytes += (long)bits << PerCpuChunk.BitShift;
        LiveAllocations++;
        Relocate(chunk);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void ReturnArea(PerCpuChunk chunk, int at, int bits)
    {
        int empty = chunk.EmptyPopulatedPages;
        chunk.Return(at, bits);
        _emptyPages += chunk.EmptyPopulatedPages - empty;
        UsedBytes -= (long)bits << PerCpuChunk.BitShift;
        LiveAllocations--;
        Relocate(chunk);
    }

    /// <summary>The same where there was no memory for the area: out of line, for what is inlined here would be missing where it matters.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void GiveBackArea(PerCpuChunk chunk, int at, int bits) => ReturnArea(chunk, at, bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Relocate(PerCpuChunk chunk)
    {
        int slot = SlotOf(chunk);
        if (slot != chunk.Slot)
        {
            bool front = chunk.Slot < slot;
            Unlink(chunk);
            Link(chunk, slot, front);
        }
    }

    private void Link(PerCpuChunk chunk, int slot, bool front)
    {
        chunk.Slot = slot;
        _usedSlots |= 1u << slot;
        PerCpuChunk? at = _slots[slot];
        if (front || at is null)
        {
            chunk.Next = at;
            chunk.Previous = null;
            if (at is not null)
            {
                at.Previous = chunk;
            }

            _slots[slot] = chunk;
            return;
        }

        while (at.Next is not null)
        {
            at = at.Next;
        }

        at.Next = chunk;
        chunk.Previous = at;
        chunk.Next = null;
    }

    private void Unlink(PerCpuChunk chunk)
    {
        if (chunk.Previous is null)
        {
            _slots[chunk.Slot] = chunk.Next;
            _usedSlots &= chunk.Next is null ? ~(1u << chunk.Slot) : uint.MaxValue;
        }
        else
        {
            chunk.Previous.Next = chunk.Next;
        }

        if (chunk.Next is not null)
        {
            chunk.Next.Previous = chunk.Previous;
        }

        chunk.Next = chunk.Previous = null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool MayRun(Cpu cpu, bool atomic)
    {
        _machine.ThrowIfDisposed();
        if (!atomic && cpu.Context.InAtomic)
        {
            _machine.Bugs.SleepingInAtomic(cpu, "pcpu_alloc", Gfp.Kernel);
            return false;
        }

        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void IllegalRequest(Cpu cpu, long size, long align) =>
        _machine.Bugs.Raise(KernelBugKind.IllegalFlags, $"WARNING: illegal size ({size}) or align ({align}) for percpu allocation", $"CPU {cpu.Id}: sizes of 1 to {MaxBytes} bytes and alignments that are powers of two up to {PageGeometry.PageSize} are possible\n");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void BadFree(Cpu cpu, PerCpuPointer pointer, PerCpuChunk? chunk)
    {
        _machine.ThrowIfDisposed();
        (KernelBugKind kind, string why) = chunk is null
            ? (KernelBugKind.ForeignAddress, "it leads to no per-CPU memory of this machine")
            : pointer.Value < (ulong)(_layout.StaticBytes + _layout.ReservedBytes)
                ? (KernelBugKind.ReservedPage, "it names a static variable")
                : (KernelBugKind.DoubleFree, "no live allocation starts there: freed twice, or not the pointer that was returned");
        _machine.Bugs.Raise(kind, $"BUG: free_percpu of {pointer}: {why}", $"CPU {cpu.Id}, {LiveAllocations} live per-CPU allocations in {_chunkCount} chunks\n");
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Failed(Cpu cpu, long size, long align, Gfp gfp, bool atomic)
    {
        if (atomic)
        {
            _needsBalance = true;
        }

        if ((gfp & Gfp.NoWarn) == 0)
        {
            LogFailure(_logger, cpu.Id, size, align, atomic ? 1 : 0, atomic ? "atomic alloc failed, no space left" : "failed to populate");
        }
    }

    private void Zero(PerCpuChunk chunk, int start, int bytes)
    {
        for (int cpu = 0; cpu < _unitOffsets.Length; cpu++)
        {
            for (int at = start; at < start + bytes;)
            {
                int inPage = at & (PageGeometry.PageSize - 1);
                int here = Math.Min(start + bytes - at, PageGeometry.PageSize - inPage);
                _machine.Ram.Frame(chunk.Frame(cpu, at >> PageGeometry.PageShift)).Slice(inPage, here).Clear();
                at += here;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Lock()
    {
        if (_parallel)
        {
            _lock.Enter();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Unlock()
    {
        if (_parallel)
        {
            _lock.Exit();
        }
    }

    [LoggerMessage(EventId = 20, Level = LogLevel.Warning, Message = "percpu: allocation failed, size={Size} align={Align} atomic={Atomic}, {Why} (CPU {Cpu})")]
    private static partial void LogFailure(ILogger logger, int cpu, long size, long align, int atomic, string why);
}
